"""Rules say whether an answer may be trusted: a suite over every kind, then each kind's own behaviour."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Box, Detection
from thresholds import rules
from thresholds.rules import ACCEPT, Verdict
from thresholds.rules.imgrid import Rule, Spread

SCORES = st.floats(0, 1)
BOXES = st.tuples(SCORES, SCORES, SCORES, SCORES).map(
    lambda c: Box(min(c[0], c[1]), min(c[2], c[3]), max(c[0], c[1]), max(c[2], c[3]))
)
ANSWERS = st.lists(st.builds(Detection, st.sampled_from(["cat", "dog", "owl"]), SCORES, BOXES), max_size=5)
SPREADS = st.builds(Spread, mean=SCORES, std=st.floats(0, 0.5))


def test_every_kind_has_an_example(examples):
    """Every rule there is runs through this suite."""
    assert set(rules.kinds()) == set(examples)


def test_round_trip(example):
    """A rule survives being written as JSON and read again."""
    rule = rules.read(example)
    written = json.loads(rule.model_dump_json())
    assert rules.read(written) == rule
    assert written["kind"] == example["kind"]


def test_kind(example):
    """A rule knows its kind, which is its file's name."""
    assert rules.read(example).kind == example["kind"]
    assert type(rules.read(example)).__module__ == f"thresholds.rules.{example['kind']}"


def test_unknown_key(example):
    """A key that a rule does not know is refused, as it may be a threshold misspelt."""
    with pytest.raises(ValueError, match="treshold"):
        rules.read({**example, "treshold": 1})


def test_frozen(example):
    """A rule cannot be changed once it is made."""
    with pytest.raises(ValueError, match="frozen"):
        rules.read(example).kind = "other"


def test_empty_answer(example):
    """Every rule judges a photo in which nothing was found, and says why."""
    verdict = rules.read(example).judge([])
    assert isinstance(verdict, Verdict)
    assert verdict.skip >= 0
    assert verdict.reason


@given(found=ANSWERS)
def test_pure(example, found):
    """The same answer gets the same verdict each time, and is not touched."""
    rule, kept = rules.read(example), list(found)
    first = rule.judge(found)
    assert rule.judge(tuple(found)) == rules.read(example).judge(found) == first
    assert first.accepted == (first.skip == 0)
    assert found == kept


def test_unknown_kind():
    """A kind that is not there is refused with those that are."""
    with pytest.raises(ValueError, match="no rule kind 'magic'; known: always, imgrid"):
        rules.read({"kind": "magic"})


@pytest.mark.parametrize("value", [None, 3, "always", ["always"]])
def test_no_rule(value):
    """What is no object is no rule."""
    with pytest.raises(ValueError, match="a rule is an object with a kind"):
        rules.read(value)


def test_no_kind():
    """A rule without a kind is refused like one of an unknown kind."""
    with pytest.raises(ValueError, match="no rule kind None"):
        rules.read({"area": {"mean": 0.1}})


@given(found=ANSWERS)
def test_always(found):
    """Kind `always` accepts whatever was found."""
    assert rules.read({"kind": "always"}).judge(found) == ACCEPT


# -- imgrid: EECS-2023-182, section 3.2


def held_to(mean, std=0.0):
    return Spread(mean=mean, std=std)


def test_paper_example(seen):
    """Table 4.1: a motorcycle of 0.3998 under its 0.402 has the photo asked again, though all else would do."""
    scores = {"person": held_to(0.415), "bicycle": held_to(0.447), "motorcycle": held_to(0.402)}
    rule = Rule(area=held_to(0.1), scores=scores)
    sure = [seen("person", 0.8302), seen("bicycle", 0.6745)]
    assert rule.judge(sure).accepted
    assert rule.judge([*sure, seen("motorcycle", 0.3998)]) == Verdict(1, "motorcycle 0.40 under 0.40")


@pytest.mark.parametrize(("width", "accepted"), [(0.5, True), (0.4999, False), (0.75, True), (0.0, False)])
def test_area(seen, width, accepted):
    """A photo is asked again if its boxes cover less of it than the mean; the mean itself is enough."""
    rule = Rule(area=held_to(0.5))
    assert rule.judge([seen("cat", 0.9, 0, 0, width, 1)]).accepted is accepted


def test_overlaps(seen):
    """What two boxes cover counts twice."""
    once = [seen("cat", 0.9, 0, 0, 0.5, 0.5)]
    assert Rule(area=held_to(0.5)).judge(once) == Verdict(1, "area 0.250 under 0.500")
    assert Rule(area=held_to(0.5)).judge(once * 2).accepted


def test_nothing_found(seen):
    """A photo with nothing on it is asked again, unless the mean is nothing too."""
    assert Rule(area=held_to(0.01)).judge([]) == Verdict(1, "area 0.000 under 0.010")
    assert Rule(area=held_to(0.0)).judge([]).accepted


@pytest.mark.parametrize(("label", "score", "accepted"), [
    ("cat", 0.6, True), ("cat", 0.59, False), ("dog", 0.4, True), ("dog", 0.39, False),
    ("owl", 0.5, True), ("owl", 0.49, False), ("Cat", 0.55, True),
])  # fmt: skip
def test_scores(seen, label, score, accepted):
    """Each label has a threshold of its own, which its mean just passes; a label never profiled is held to that of
    all."""
    rule = Rule(area=held_to(0.0), scores={"cat": held_to(0.6), "dog": held_to(0.4)}, unknown=held_to(0.5))
    assert rule.judge([seen(label, score)]).accepted is accepted


def test_unknown_of_nothing(seen):
    """Where the profile saw nothing at all at this shape, no score is too low."""
    assert Rule(area=held_to(0.0)).judge([seen("cat", 0.31)]).accepted


def test_any_box(seen):
    """One unsure box is enough, wherever it stands in the answer."""
    rule = Rule(area=held_to(0.0), unknown=held_to(0.5))
    sure, unsure = seen("cat", 0.9), seen("dog", 0.4)
    for answer in ([unsure], [sure, unsure], [unsure, sure], [sure, unsure, sure]):
        assert rule.judge(answer) == Verdict(1, "dog 0.40 under 0.50")
    assert rule.judge([sure, sure]).accepted


def test_floor(seen):
    """Boxes under the floor neither count as area nor as unsure."""
    rule = Rule(area=held_to(0.5), unknown=held_to(0.5), floor=0.2)
    faint, sure = seen("cat", 0.19, 0, 0, 1, 1), seen("cat", 0.9, 0, 0, 0.5, 1)
    assert not rule.judge([faint]).accepted
    assert rule.judge([sure, faint]).accepted
    assert not rule.judge([sure, seen("cat", 0.2)]).accepted


@pytest.mark.parametrize(("factor", "deviations", "needed"), [
    (1.0, 0.0, 0.4), (0.5, 0.0, 0.2), (1.5, 0.0, 0.6), (1.0, 1.0, 0.5), (1.0, -2.0, 0.2), (2.0, -1.0, 0.7),
    (0.0, 0.0, 0.0),
])  # fmt: skip
def test_stricter(seen, factor, deviations, needed):
    """The thresholds of area and scores are factor x mean + deviations x standard deviation."""
    rule = Rule(area=held_to(0.4, 0.1), unknown=held_to(0.4, 0.1), floor=0.0, factor=factor, deviations=deviations)
    above, below = needed + 1e-9, needed - 1e-9
    assert rule.judge([seen("cat", 1.0, 0, 0, above, 1)]).accepted
    assert rule.judge([seen("cat", above)]).accepted
    if needed:
        assert not rule.judge([seen("cat", 1.0, 0, 0, below, 1)]).accepted
        assert not rule.judge([seen("cat", below)]).accepted


@given(
    found=ANSWERS,
    area=SPREADS,
    scores=st.dictionaries(st.sampled_from(["cat", "dog"]), SPREADS),
    unknown=st.none() | SPREADS,
    factors=st.tuples(st.floats(0, 3), st.floats(0, 3)).map(sorted),
    deviations=st.tuples(st.floats(-3, 3), st.floats(-3, 3)).map(sorted),
)
def test_raising_never_accepts_more(found, area, scores, unknown, factors, deviations):
    """What passes a threshold passes every lower one."""
    lax, strict = (
        Rule(area=area, scores=scores, unknown=unknown, factor=factor, deviations=shift)
        for factor, shift in zip(factors, deviations, strict=True)
    )
    assert lax.judge(found).accepted or not strict.judge(found).accepted
