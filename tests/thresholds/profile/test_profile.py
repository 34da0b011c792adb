"""From a sample's answers at every shape to the thresholds of EECS-2023-182, section 3.2."""

from __future__ import annotations

import random
from pathlib import Path
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.detection import Box, Detection
from tests.support.detections import detection
from thresholds.profile.profile import Profile, profile_of_answers, spread
from thresholds.shape import ALONE, Shape

TWO, THREE, FIVE = Shape(2, 2), Shape(3, 3), Shape(5, 5)
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


def mean_scores(profile: Profile) -> dict[tuple[str, str, str], float]:
    """Mean scores by label, shape, and largest shape."""
    return {
        (group.label, str(group.shape), str(group.largest)): group.score.mean
        for group in profile.groups
    }


def test_an_object_belongs_to_the_largest_detecting_shape() -> None:
    """An object belongs, at each shape that detects it, to the largest shape that does."""
    truth = {"a": [detection("cat", 1.0, *LEFT), detection("cat", 1.0, *RIGHT)]}
    answers = {
        ALONE: {"a": [[detection("cat", 0.9, *LEFT), detection("cat", 0.8, *RIGHT)]]},
        TWO: {"a": [[detection("cat", 0.6, *LEFT), detection("cat", 0.7, *RIGHT)]]},
        FIVE: {"a": [[detection("cat", 0.5, *RIGHT)]]},
    }
    assert mean_scores(profile_of_answers(truth, answers)) == {
        ("cat", "1x1", "2x2"): 0.9,
        ("cat", "2x2", "2x2"): 0.6,
        ("cat", "1x1", "5x5"): 0.8,
        ("cat", "2x2", "5x5"): 0.7,
        ("cat", "5x5", "5x5"): 0.5,
    }


def test_the_order_of_shapes_does_not_matter() -> None:
    """The largest shape is the one with most cells, in any order of the shapes."""
    answer = {"a": [[detection("cat", 0.5)]]}
    for shapes in ([ALONE, TWO, FIVE], [FIVE, ALONE, TWO]):
        profile = profile_of_answers({"a": [detection("cat", 1.0)]}, dict.fromkeys(shapes, answer))
        assert {str(group.largest) for group in profile.groups} == {"5x5"}


def test_a_gap_between_shapes_does_not_matter() -> None:
    """An object that a middle shape misses still belongs to the largest shape that detects it."""
    answer = {"a": [[detection("cat", 0.5)]]}
    profile = profile_of_answers(
        {"a": [detection("cat", 1.0)]}, {ALONE: answer, TWO: {"a": [[]]}, FIVE: answer}
    )
    assert mean_scores(profile) == {("cat", "1x1", "5x5"): 0.5, ("cat", "5x5", "5x5"): 0.5}


def test_a_group_has_mean_deviation_and_count() -> None:
    """A group has the mean, the population's standard deviation and the number of its objects'
    scores."""
    scores = [0.4, 0.5, 0.9]
    truth = {name: [detection("cat", 1.0)] for name in "abc"}
    answers = {
        TWO: {name: [[detection("cat", score)]] for name, score in zip("abc", scores, strict=True)}
    }
    (group,) = profile_of_answers(truth, answers).groups
    assert group.score.mean == pytest.approx(0.6)
    assert group.score.std == pytest.approx(((0.04 + 0.01 + 0.09) / 3) ** 0.5)
    assert group.score.count == 3


def test_the_mean_area_is_that_of_the_true_boxes() -> None:
    """The mean area is that of the true boxes: overlaps count twice, and photos without objects
    count as 0."""
    truth = {
        "a": [detection("cat", 1.0, *LEFT), detection("cat", 1.0, *LEFT)],
        "b": [detection("cat", 1.0, *RIGHT)],
        "c": [],
        "d": [],
    }
    profile = profile_of_answers(truth, {})
    assert profile.photos == 4
    assert profile.area.mean == pytest.approx(1.5 / 4)
    assert profile.area.std == pytest.approx(pstdev([1, 0.5, 0, 0]))


def test_detections_without_an_object_make_no_group() -> None:
    """Detections where nothing is true make no group."""
    profile = profile_of_answers({"a": []}, {ALONE: {"a": [[detection("cat", 0.9)]]}})
    assert profile.groups == ()
    assert (profile.area.mean, profile.area.count) == (0.0, 1)


def test_an_undetected_object_belongs_to_no_group() -> None:
    """A true object that no shape detects belongs to no group."""
    assert (
        profile_of_answers({"a": [detection("cat", 1.0)]}, {ALONE: {"a": [[]]}, TWO: {}}).groups
        == ()
    )


def test_answers_alone_stand_in_for_ground_truth() -> None:
    """Without ground truth the provider's answer alone stands in: each of its objects is detected
    at 1x1."""
    alone = [detection("cat", 0.8, *LEFT), detection("dog", 0.6, *RIGHT)]
    answers = {ALONE: {"a": [alone]}, TWO: {"a": [[detection("cat", 0.7, *LEFT)]]}}
    profile = profile_of_answers({"a": alone}, answers)
    assert mean_scores(profile) == {
        ("cat", "1x1", "2x2"): 0.8,
        ("cat", "2x2", "2x2"): 0.7,
        ("dog", "1x1", "1x1"): 0.6,
    }
    assert profile.area.mean == 1.0


def test_detections_under_the_floor_do_not_count() -> None:
    """Detections under the floor do not count."""
    answers = {ALONE: {"a": [[detection("cat", 0.5)]]}, TWO: {"a": [[detection("cat", 0.39)]]}}
    profile = profile_of_answers({"a": [detection("cat", 1.0)]}, answers, floor=0.4)
    assert mean_scores(profile) == {("cat", "1x1", "1x1"): 0.5}
    assert profile.rule(ALONE).floor == 0.4


@pytest.mark.parametrize(
    ("hits", "groupings", "is_detected"), [(1, 1, True), (1, 2, False), (2, 3, True), (2, 4, False)]
)
def test_an_object_is_detected_if_most_groupings_have_it(
    hits: int, groupings: int, is_detected: bool
) -> None:
    """With several sets of neighbours an object counts as detected if more than half of the answers
    have it, with the mean of their scores."""
    answers = [
        [detection("cat", 0.4 + 0.2 * index)] if index < hits else [] for index in range(groupings)
    ]
    profile = profile_of_answers({"a": [detection("cat", 1.0)]}, {TWO: {"a": answers}})
    assert mean_scores(profile) == (
        {("cat", "2x2", "2x2"): pytest.approx(fmean([0.4, 0.6][:hits]))} if is_detected else {}
    )


def test_another_place_or_label_is_not_the_object() -> None:
    """A box in another place or of another label does not match the object."""
    answers = {ALONE: {"a": [[detection("cat", 0.9, *RIGHT), detection("dog", 0.9, *LEFT)]]}}
    assert profile_of_answers({"a": [detection("cat", 1.0, *LEFT)]}, answers).groups == ()


def test_groups_have_the_providers_spelling() -> None:
    """Groups have the label as the provider writes it, because rules will compare it with the
    provider's answers."""
    profile = profile_of_answers(
        {"a": [detection("cat", 1.0)]}, {ALONE: {"a": [[detection("Cat", 0.9)]]}}
    )
    assert [group.label for group in profile.groups] == ["Cat"]


@pytest.fixture
def profile() -> Profile:
    """Cats to 2x2 at .6 and .8 there, a dog to 2x2 at .4 there, an owl to 5x5 at .9 in 2x2 and .5
    in 5x5."""
    truth = {
        "a": [detection("cat", 1.0, *LEFT), detection("dog", 1.0, *RIGHT)],
        "b": [detection("cat", 1.0)],
        "c": [detection("owl", 1.0)],
    }
    answers = {
        TWO: {
            "a": [[detection("cat", 0.6, *LEFT), detection("dog", 0.4, *RIGHT)]],
            "b": [[detection("cat", 0.8)]],
            "c": [[detection("owl", 0.9)]],
        },
        FIVE: {"a": [[]], "b": [[]], "c": [[detection("owl", 0.5)]]},
    }
    return profile_of_answers(truth, answers)


def test_a_rule_has_the_mean_scores_of_its_shape(profile: Profile) -> None:
    """The rule of a shape has the mean scores there of the objects that no larger shape detects."""
    rule = profile.rule(TWO, factor=0.9, deviations=-0.5)
    assert rule.area.mean == pytest.approx(1.0)
    assert {label: score.mean for label, score in rule.scores.items()} == pytest.approx(
        {"cat": 0.7, "dog": 0.4}
    )
    assert (rule.factor, rule.deviations, rule.floor) == (0.9, -0.5, 0.3)


def test_other_labels_have_the_spread_of_all_scores(profile: Profile) -> None:
    """Other labels have the spread of all those scores together."""
    unknown = profile.rule(TWO).unknown
    assert unknown.count == 3
    assert unknown.mean == pytest.approx(fmean([0.6, 0.8, 0.4]))
    assert unknown.std == pytest.approx(pstdev([0.6, 0.8, 0.4]))


@pytest.mark.parametrize("shape", [ALONE, THREE])
def test_a_shape_outside_the_profile_has_no_rule(profile: Profile, shape: Shape) -> None:
    """The error for the rule of a shape outside the profile names the shape."""
    with pytest.raises(ValueError, match=f"shape {shape} is not in the profile"):
        profile.rule(shape)


def test_every_stage_but_the_last_has_its_rule(profile: Profile) -> None:
    """A cascade has a rule at every stage but the last, whose shape need not be in the profile."""
    cascade = profile.cascade([FIVE, TWO, ALONE], factor=1.2)
    assert cascade.shapes == "5x5, 2x2, 1x1"
    assert [stage.rule.kind for stage in cascade.stages] == ["imgrid", "imgrid", "always"]
    assert cascade.stages[0].rule == profile.rule(FIVE, factor=1.2)


def test_a_profile_survives_its_file(profile: Profile, tmp_path: Path) -> None:
    """A profile survives its file."""
    profile.save(tmp_path / "profile.json")
    assert Profile.load(tmp_path / "profile.json") == profile


def test_a_bad_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    """The error for a file that is missing, or no profile, names it and says how to make one."""
    file = tmp_path / "profile.json"
    with pytest.raises(
        ValueError, match=r"profile\.json: cannot be read \(No such file.*imgrid profile"
    ):
        Profile.load(file)
    for content in (b"{", b'{"photos": 3}', b"\xff"):
        file.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"profile\.json: is no profile; make it anew with: imgrid profile"
        ):
            Profile.load(file)


def test_the_spread_of_no_values_is_0() -> None:
    """The spread of no values is 0 throughout."""
    assert spread([]).model_dump() == {"mean": 0.0, "std": 0.0, "count": 0}


@given(st.lists(st.floats(0.3, 1), min_size=1, max_size=6), st.integers(0, 99))
def test_the_order_of_photos_does_not_matter(scores: list[float], seed: int) -> None:
    """A profile is the same for any order of the photos."""
    names = [str(index) for index in range(len(scores))]
    shuffled = random.Random(seed).sample(names, len(names))
    whole = Box(0, 0, 1, 1)
    answers = {
        TWO: {
            name: [[Detection("cat", score, whole)]]
            for name, score in zip(names, scores, strict=True)
        }
    }
    one, other = (
        profile_of_answers({name: [Detection("cat", 1, whole)] for name in order}, answers)
        for order in (names, shuffled)
    )
    assert one.groups[0].score.mean == pytest.approx(other.groups[0].score.mean)
    assert one.groups[0].score.count == other.groups[0].score.count == len(scores)
