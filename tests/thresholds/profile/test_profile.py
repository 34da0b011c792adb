"""From what a sample answered at every shape to the thresholds of EECS-2023-182, section 3.2."""

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


def groups(made: Profile):
    """Mean scores by label, shape, and largest shape."""
    return {(g.label, str(g.shape), str(g.largest)): g.score.mean for g in made.groups}


def test_largest() -> None:
    """An object belongs, at each shape that finds it, to the largest shape that does."""
    truth = {"a": [detection("cat", 1.0, *LEFT), detection("cat", 1.0, *RIGHT)]}
    answers = {
        ALONE: {"a": [[detection("cat", 0.9, *LEFT), detection("cat", 0.8, *RIGHT)]]},
        TWO: {"a": [[detection("cat", 0.6, *LEFT), detection("cat", 0.7, *RIGHT)]]},
        FIVE: {"a": [[detection("cat", 0.5, *RIGHT)]]},
    }
    assert groups(profile_of_answers(truth, answers)) == {
        ("cat", "1x1", "2x2"): 0.9,
        ("cat", "2x2", "2x2"): 0.6,
        ("cat", "1x1", "5x5"): 0.8,
        ("cat", "2x2", "5x5"): 0.7,
        ("cat", "5x5", "5x5"): 0.5,
    }


def test_order_of_shapes() -> None:
    """Larger is what has more cells, in whatever order the shapes were asked."""
    found = {"a": [[detection("cat", 0.5)]]}
    for shapes in ([ALONE, TWO, FIVE], [FIVE, ALONE, TWO]):
        made = profile_of_answers({"a": [detection("cat", 1.0)]}, dict.fromkeys(shapes, found))
        assert {str(group.largest) for group in made.groups} == {"5x5"}


def test_gap() -> None:
    """An object that a middle shape misses still belongs to the largest that finds it."""
    found = {"a": [[detection("cat", 0.5)]]}
    made = profile_of_answers(
        {"a": [detection("cat", 1.0)]}, {ALONE: found, TWO: {"a": [[]]}, FIVE: found}
    )
    assert groups(made) == {("cat", "1x1", "5x5"): 0.5, ("cat", "5x5", "5x5"): 0.5}


def test_means() -> None:
    """A group's score has the mean, the population's deviation and the number of its objects'
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


def test_area() -> None:
    """The mean area is that of the true boxes, overlaps counted twice, and photos without any count
    as nothing."""
    truth = {
        "a": [detection("cat", 1.0, *LEFT), detection("cat", 1.0, *LEFT)],
        "b": [detection("cat", 1.0, *RIGHT)],
        "c": [],
        "d": [],
    }
    made = profile_of_answers(truth, {})
    assert made.photos == 4
    assert made.area.mean == pytest.approx(1.5 / 4)
    assert made.area.std == pytest.approx(pstdev([1, 0.5, 0, 0]))


def test_empty_truth() -> None:
    """What is found where nothing is true makes no group."""
    made = profile_of_answers({"a": []}, {ALONE: {"a": [[detection("cat", 0.9)]]}})
    assert made.groups == ()
    assert (made.area.mean, made.area.count) == (0.0, 1)


def test_never_found() -> None:
    """A true object that no shape finds belongs to no group."""
    assert (
        profile_of_answers({"a": [detection("cat", 1.0)]}, {ALONE: {"a": [[]]}, TWO: {}}).groups
        == ()
    )


def test_own_answers_as_truth() -> None:
    """Where there is no truth, the provider's answer alone stands in: each of its objects is found
    at 1x1."""
    alone = [detection("cat", 0.8, *LEFT), detection("dog", 0.6, *RIGHT)]
    answers = {ALONE: {"a": [alone]}, TWO: {"a": [[detection("cat", 0.7, *LEFT)]]}}
    made = profile_of_answers({"a": alone}, answers)
    assert groups(made) == {
        ("cat", "1x1", "2x2"): 0.8,
        ("cat", "2x2", "2x2"): 0.7,
        ("dog", "1x1", "1x1"): 0.6,
    }
    assert made.area.mean == 1.0


def test_floor() -> None:
    """Detections under the floor were not seen."""
    answers = {ALONE: {"a": [[detection("cat", 0.5)]]}, TWO: {"a": [[detection("cat", 0.39)]]}}
    made = profile_of_answers({"a": [detection("cat", 1.0)]}, answers, floor=0.4)
    assert groups(made) == {("cat", "1x1", "1x1"): 0.5}
    assert made.rule(ALONE).floor == 0.4


@pytest.mark.parametrize(
    ("hits", "groupings", "found"), [(1, 1, True), (1, 2, False), (2, 3, True), (2, 4, False)]
)
def test_groupings(hits: int, groupings: int, found: bool) -> None:
    """Asked among several sets of neighbours, an object counts as found if more than half of the
    answers have it, with the mean of their scores."""
    asked = [
        [detection("cat", 0.4 + 0.2 * index)] if index < hits else [] for index in range(groupings)
    ]
    made = profile_of_answers({"a": [detection("cat", 1.0)]}, {TWO: {"a": asked}})
    assert groups(made) == (
        {("cat", "2x2", "2x2"): pytest.approx(fmean([0.4, 0.6][:hits]))} if found else {}
    )


def test_places_and_labels() -> None:
    """A box in another place or of another label does not find the object."""
    answers = {ALONE: {"a": [[detection("cat", 0.9, *RIGHT), detection("dog", 0.9, *LEFT)]]}}
    assert profile_of_answers({"a": [detection("cat", 1.0, *LEFT)]}, answers).groups == ()


def test_provider_label() -> None:
    """Groups bear the label as the provider writes it, for it is the provider's answers that rules
    will see."""
    made = profile_of_answers(
        {"a": [detection("cat", 1.0)]}, {ALONE: {"a": [[detection("Cat", 0.9)]]}}
    )
    assert [group.label for group in made.groups] == ["Cat"]


@pytest.fixture
def made() -> Profile:
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


def test_rule(made: Profile) -> None:
    """The rule of a shape has the mean scores there of what no larger shape finds."""
    rule = made.rule(TWO, factor=0.9, deviations=-0.5)
    assert rule.area.mean == pytest.approx(1.0)
    assert {label: score.mean for label, score in rule.scores.items()} == pytest.approx(
        {"cat": 0.7, "dog": 0.4}
    )
    assert (rule.factor, rule.deviations, rule.floor) == (0.9, -0.5, 0.3)


def test_unknown(made: Profile) -> None:
    """Other labels are held to the spread of all those scores together."""
    unknown = made.rule(TWO).unknown
    assert unknown.count == 3
    assert unknown.mean == pytest.approx(fmean([0.6, 0.8, 0.4]))
    assert unknown.std == pytest.approx(pstdev([0.6, 0.8, 0.4]))


@pytest.mark.parametrize("shape", [ALONE, THREE])
def test_not_profiled(made: Profile, shape: Shape) -> None:
    """There is no rule for a shape that was not profiled."""
    with pytest.raises(ValueError, match=f"shape {shape} is not in the profile"):
        made.rule(shape)


def test_cascade(made: Profile) -> None:
    """A cascade holds every stage but the last to its rule; the last need not have been
    profiled."""
    cascade = made.cascade([FIVE, TWO, ALONE], factor=1.2)
    assert cascade.shapes == "5x5, 2x2, 1x1"
    assert [stage.rule.kind for stage in cascade.stages] == ["imgrid", "imgrid", "always"]
    assert cascade.stages[0].rule == made.rule(FIVE, factor=1.2)


def test_saved(made: Profile, tmp_path: Path) -> None:
    """A profile survives its file."""
    made.save(tmp_path / "profile.json")
    assert Profile.load(tmp_path / "profile.json") == made


def test_no_profile(tmp_path: Path) -> None:
    """A file that is not there, or something else, is named, with how to make one."""
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


def test_spread_of_nothing() -> None:
    """Nothing has no spread: all is 0."""
    assert spread([]).model_dump() == {"mean": 0.0, "std": 0.0, "count": 0}


@given(st.lists(st.floats(0.3, 1), min_size=1, max_size=6), st.integers(0, 99))
def test_order_of_photos(scores, seed) -> None:
    """In whatever order the photos come, the profile is the same."""
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
