"""Rules say whether an answer may be trusted: a suite over every kind, then each kind's own
behaviour."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.detection import Box, Detection
from thresholds.fusion.fusion import Fusion
from thresholds.fusion.looks import Evidence, Look, PhotoFacts
from thresholds.fusion.trees import Trees
from thresholds.rules import clean, gain
from thresholds.rules import registry as rules
from thresholds.rules.base import ACCEPT, Verdict
from thresholds.rules.imgrid import Rule, Spread
from thresholds.shape import Shape

SCORES = st.floats(0, 1)
BOXES = st.tuples(SCORES, SCORES, SCORES, SCORES).map(
    lambda c: Box(min(c[0], c[1]), min(c[2], c[3]), max(c[0], c[1]), max(c[2], c[3]))
)
ANSWERS = st.lists(
    st.builds(Detection, st.sampled_from(["cat", "dog", "owl"]), SCORES, BOXES), max_size=5
)


FUSION = Fusion(labels=("cat", "dog"), weights=(1.0, 1.5), rescore={})


def seen_once(found):
    """A photo with this answer alone, and what a fusion makes of it."""
    seen = Evidence(PhotoFacts(640, 480, 50_000), (Look(Shape(2, 2), found),))
    return replace(seen, belief=FUSION.belief(seen))


SPREADS = st.builds(Spread, mean=SCORES, std=st.floats(0, 0.5))


def test_every_kind_has_an_example(
    examples: dict[
        str,
        dict[str, dict[str, dict[Any, Any]] | dict[str, float] | float | str]
        | dict[str, dict[str, float] | float | str]
        | dict[str, float | list[dict[Any, Any]] | str]
        | dict[str, str],
    ],
) -> None:
    """Every rule there is runs through this suite."""
    assert set(rules.kinds()) == set(examples)


def test_round_trip(
    example: dict[str, dict[str, dict[str, float]] | dict[str, float] | float | str]
    | dict[str, dict[str, float] | float | str]
    | dict[str, float | list[dict[str, dict[Any, Any] | float]] | str]
    | dict[str, str],
) -> None:
    """A rule survives being written as JSON and read again."""
    rule = rules.read(example)
    written = json.loads(rule.model_dump_json())
    assert rules.read(written) == rule
    assert written["kind"] == example["kind"]


def test_kind(
    example: dict[str, dict[str, dict[str, float]] | dict[str, float] | float | str]
    | dict[str, dict[str, float] | float | str]
    | dict[str, float | list[dict[str, dict[Any, Any] | float]] | str]
    | dict[str, str],
) -> None:
    """A rule knows its kind, which is its file's name."""
    assert rules.read(example).kind == example["kind"]
    assert type(rules.read(example)).__module__ == f"thresholds.rules.{example['kind']}"


def test_unknown_key(
    example: dict[str, dict[str, dict[str, float]] | dict[str, float] | float | str]
    | dict[str, dict[str, float] | float | str]
    | dict[str, float | list[dict[str, dict[Any, Any] | float]] | str]
    | dict[str, str],
) -> None:
    """A key that a rule does not know is refused, as it may be a threshold misspelt."""
    with pytest.raises(ValueError, match="treshold"):
        rules.read({**example, "treshold": 1})


def test_frozen(
    example: dict[str, dict[str, dict[str, float]] | dict[str, float] | float | str]
    | dict[str, dict[str, float] | float | str]
    | dict[str, float | list[dict[str, dict[Any, Any] | float]] | str]
    | dict[str, str],
) -> None:
    """A rule cannot be changed once it is made."""
    with pytest.raises(ValueError, match="frozen"):
        rules.read(example).kind = "other"


def test_empty_answer(
    example: dict[str, dict[str, dict[str, float]] | dict[str, float] | float | str]
    | dict[str, dict[str, float] | float | str]
    | dict[str, float | list[dict[str, dict[Any, Any] | float]] | str]
    | dict[str, str],
) -> None:
    """Every rule judges a photo in which nothing was found, and says why."""
    verdict = rules.read(example).judge(seen_once([]))
    assert isinstance(verdict, Verdict)
    assert verdict.skip >= 0
    assert verdict.reason


@given(found=ANSWERS)
def test_pure(example, found) -> None:
    """The same answer gets the same verdict each time, and is not touched."""
    rule, kept = rules.read(example), list(found)
    first = rule.judge(seen_once(found))
    assert (
        rule.judge(seen_once(tuple(found))) == rules.read(example).judge(seen_once(found)) == first
    )
    assert first.accepted == (first.skip == 0)
    assert found == kept


@given(found=ANSWERS)
def test_never_laxer(example, found) -> None:
    """What a rule asks about again, its stricter form does too, and that is a rule of the same
    kind."""
    rule = rules.read(example)
    strict = rule.stricter()
    assert rules.read(strict.model_dump(mode="json")) == strict
    assert strict.kind == rule.kind
    if strict.judge(seen_once(found)).accepted:
        assert rule.judge(seen_once(found)).accepted


@given(found=ANSWERS)
def test_reach(example, found) -> None:
    """No verdict skips more stages than the rule says it may."""
    rule = rules.read(example)
    assert rule.judge(seen_once(found)).skip <= rule.reach


def test_unknown_kind() -> None:
    """A kind that is not there is refused with those that are."""
    with pytest.raises(
        ValueError, match="no rule kind 'magic'; known: always, clean, gain, imgrid, onward"
    ):
        rules.read({"kind": "magic"})


@pytest.mark.parametrize("value", [None, 3, "always", ["always"]])
def test_no_rule(value: int | list[str] | str | None) -> None:
    """What is no object is no rule."""
    with pytest.raises(ValueError, match="a rule is an object with a kind"):
        rules.read(value)


def test_no_kind() -> None:
    """A rule without a kind is refused like one of an unknown kind."""
    with pytest.raises(ValueError, match="no rule kind None"):
        rules.read({"area": {"mean": 0.1}})


@given(found=ANSWERS)
def test_always(found) -> None:
    """Kind `always` accepts whatever was found."""
    assert rules.read({"kind": "always"}).judge(seen_once(found)) == ACCEPT


@given(found=ANSWERS)
def test_onward(found) -> None:
    """Kind `onward` asks the next stage whatever was found, however strict."""
    rule = rules.read({"kind": "onward"})
    assert rule.judge(seen_once(found)).skip == rule.stricter().judge(seen_once(found)).skip == 1


# -- gain


def priced(price, *targets, path="2x2"):
    """Under a rule that expects these gains of everything: pairs of cost and gain, of one stage
    after the other."""
    each = [
        gain.Target(ahead=ahead, cost=cost, gain=Trees.constant(worth))
        for ahead, (cost, worth) in enumerate(targets, 1)
    ]
    return gain.Rule(path=path, price=price, targets=each)


@pytest.mark.parametrize(
    ("price", "skip"), [(0.0, 2), (0.15, 2), (0.25, 1), (0.39, 1), (0.4, 0), (1.0, 0)]
)
def test_gain_for_its_price(price: float, skip: int) -> None:
    """The target that gains most over its price is asked; where none gains more than its price, the
    answer stands."""
    assert priced(price, (0.5, 0.2), (1.0, 0.3)).judge(seen_once([])).skip == skip


def test_gain_past_a_stage() -> None:
    """A target may lie several stages ahead; how far a rule reaches is where the furthest lies."""
    near, far = (
        gain.Target(ahead=ahead, cost=1.0, gain=Trees.constant(0.1 * ahead)) for ahead in (2, 3)
    )
    assert gain.Rule(path="2x2", price=0.0, targets=[far, near]).reach == 3
    assert gain.Rule(path="2x2", price=0.0, targets=[far, near]).judge(seen_once([])).skip == 3
    assert gain.Rule(path="2x2", price=0.0, targets=[near]).judge(seen_once([])).skip == 2


def test_gain_says(seen: Callable[..., Any]) -> None:
    """The verdict says what is expected to be gained, and for how much of an image."""
    assert (
        priced(0.1, (0.5, 0.2)).judge(seen_once([seen("cat", 0.9)])).reason
        == "gain 0.200 for 0.50 of an image"
    )


def test_gain_of_what_was_seen(
    seen: Callable[..., Any],
    examples: dict[
        str,
        dict[str, dict[str, dict[Any, Any]] | dict[str, float] | float | str]
        | dict[str, dict[str, float] | float | str]
        | dict[str, float | list[dict[Any, Any]] | str]
        | dict[str, str],
    ],
) -> None:
    """What is expected depends on the photo: here on whether anything was found."""
    rule = rules.read(examples["gain"])
    assert rule.judge(seen_once([])).accepted
    assert rule.judge(seen_once([seen("cat", 0.4)])).skip == 2


def test_gain_of_another_path() -> None:
    """A photo that was looked at otherwise than the model knows, or without a fusion, is asked at
    the last target."""
    rule = priced(10.0, (0.5, 0.2), (1.0, 0.3), path="3x3")
    assert rule.judge(seen_once([])) == Verdict(2, "seen as 2x2, which no profile knows")
    assert priced(10.0, (0.5, 0.2)).judge(replace(seen_once([]), belief=None)).skip == 1


def test_gain_of_a_longer_path(seen: Callable[..., Any]) -> None:
    """A photo that was asked again already is left at that; not one that its companion did not
    see."""
    looks = [
        Look(Shape(1, 1), [], "free"),
        *(Look(Shape.parse(text), [seen("cat", 0.2)]) for text in ("3x2", "2x2")),
    ]
    rule, facts = priced(0.0, (0.5, 0.2), path="free:1x1,2x2"), PhotoFacts(640, 480, 50_000)
    assert rule.judge(Evidence(facts, tuple(looks))).accepted
    assert rule.judge(Evidence(facts, tuple(looks[2:]))).skip == 1
    assert priced(0.0, (0.5, 0.2), path="2x2").judge(Evidence(facts, tuple(looks[1:]))).accepted


def test_gain_of_features_that_are_not_there(
    examples: dict[
        str,
        dict[str, dict[str, dict[Any, Any]] | dict[str, float] | float | str]
        | dict[str, dict[str, float] | float | str]
        | dict[str, float | list[dict[Any, Any]] | str]
        | dict[str, str],
    ],
) -> None:
    """Trees that ask for more features than a photo has are refused when they are read, not at the
    first photo."""
    target = {
        "ahead": 1,
        "cost": 1.0,
        "gain": {**examples["gain"]["targets"][0]["gain"], "feature": [36, 0, 0]},
    }
    with pytest.raises(ValueError, match="a photo seen as 2x2 does not have"):
        rules.read({**examples["gain"], "targets": [target]})
    assert rules.read({**examples["gain"], "targets": [target], "path": "free:1x1,2x2"}).reach == 1


@given(found=ANSWERS, prices=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted))
def test_a_lower_price_never_accepts_more(examples, found, prices) -> None:
    """What is accepted at a price is accepted at every higher one."""
    low, high = (rules.read({**examples["gain"], "price": price}) for price in prices)
    assert high.judge(seen_once(found)).accepted or not low.judge(seen_once(found)).accepted


@given(looks=st.lists(ANSWERS, min_size=1, max_size=3))
def test_gain_features(looks) -> None:
    """What a gain is foreseen from is as wide as the path is long says, finite, and the same
    whatever labels are called."""
    fusion = Fusion(labels=("cat", "dog", "owl"), weights=(1.0, 1.0, 1.0), rescore={})
    other = Fusion(labels=("owl", "dog", "cat"), weights=(1.0, 1.0, 1.0), rescore={})
    seen = Evidence(
        PhotoFacts(640, 480, 50_000),
        tuple(Look(Shape(4 - n, 1), found) for n, found in enumerate(looks)),
    )
    row = gain.gain_features(seen.facts, fusion.belief(seen))
    assert row.shape == (4 + 17 * len(looks) + 15,)
    assert np.isfinite(row).all()
    assert gain.gain_features(seen.facts, other.belief(seen)) == pytest.approx(row)


# -- imgrid: EECS-2023-182, section 3.2


def held_to(mean, std=0.0):
    return Spread(mean=mean, std=std)


def test_paper_example(seen: Callable[..., Any]) -> None:
    """Table 4.1: a motorcycle of 0.3998 under its 0.402 has the photo asked again, though all else
    would do."""
    scores = {"person": held_to(0.415), "bicycle": held_to(0.447), "motorcycle": held_to(0.402)}
    rule = Rule(area=held_to(0.1), scores=scores)
    sure = [seen("person", 0.8302), seen("bicycle", 0.6745)]
    assert rule.judge(seen_once(sure)).accepted
    assert rule.judge(seen_once([*sure, seen("motorcycle", 0.3998)])) == Verdict(
        1, "motorcycle 0.40 under 0.40"
    )


@pytest.mark.parametrize(
    ("width", "accepted"), [(0.5, True), (0.4999, False), (0.75, True), (0.0, False)]
)
def test_area(seen: Callable[..., Any], width: float, accepted: bool) -> None:
    """A photo is asked again if its boxes cover less of it than the mean; the mean itself is
    enough."""
    rule = Rule(area=held_to(0.5))
    assert rule.judge(seen_once([seen("cat", 0.9, 0, 0, width, 1)])).accepted is accepted


def test_overlaps(seen: Callable[..., Any]) -> None:
    """What two boxes cover counts twice."""
    once = [seen("cat", 0.9, 0, 0, 0.5, 0.5)]
    assert Rule(area=held_to(0.5)).judge(seen_once(once)) == Verdict(1, "area 0.250 under 0.500")
    assert Rule(area=held_to(0.5)).judge(seen_once(once * 2)).accepted


def test_nothing_found(seen: Callable[..., Any]) -> None:
    """A photo with nothing on it is asked again, unless the mean is nothing too."""
    assert Rule(area=held_to(0.01)).judge(seen_once([])) == Verdict(1, "area 0.000 under 0.010")
    assert Rule(area=held_to(0.0)).judge(seen_once([])).accepted


@pytest.mark.parametrize(
    ("label", "score", "accepted"),
    [
        ("cat", 0.6, True),
        ("cat", 0.59, False),
        ("dog", 0.4, True),
        ("dog", 0.39, False),
        ("owl", 0.5, True),
        ("owl", 0.49, False),
        ("Cat", 0.55, True),
    ],
)
def test_scores(seen: Callable[..., Any], label: str, score: float, accepted: bool) -> None:
    """Each label has a threshold of its own, which its mean just passes; a label never profiled is
    held to that of all."""
    rule = Rule(
        area=held_to(0.0), scores={"cat": held_to(0.6), "dog": held_to(0.4)}, unknown=held_to(0.5)
    )
    assert rule.judge(seen_once([seen(label, score)])).accepted is accepted


def test_unknown_of_nothing(seen: Callable[..., Any]) -> None:
    """Where the profile saw nothing at all at this shape, no score is too low."""
    assert Rule(area=held_to(0.0)).judge(seen_once([seen("cat", 0.31)])).accepted


def test_any_box(seen: Callable[..., Any]) -> None:
    """One unsure box is enough, wherever it stands in the answer."""
    rule = Rule(area=held_to(0.0), unknown=held_to(0.5))
    sure, unsure = seen("cat", 0.9), seen("dog", 0.4)
    for answer in ([unsure], [sure, unsure], [unsure, sure], [sure, unsure, sure]):
        assert rule.judge(seen_once(answer)) == Verdict(1, "dog 0.40 under 0.50")
    assert rule.judge(seen_once([sure, sure])).accepted


def test_floor(seen: Callable[..., Any]) -> None:
    """Boxes under the floor neither count as area nor as unsure."""
    rule = Rule(area=held_to(0.5), unknown=held_to(0.5), floor=0.2)
    faint, sure = seen("cat", 0.19, 0, 0, 1, 1), seen("cat", 0.9, 0, 0, 0.5, 1)
    assert not rule.judge(seen_once([faint])).accepted
    assert rule.judge(seen_once([sure, faint])).accepted
    assert not rule.judge(seen_once([sure, seen("cat", 0.2)])).accepted


@pytest.mark.parametrize(
    ("factor", "deviations", "needed"),
    [
        (1.0, 0.0, 0.4),
        (0.5, 0.0, 0.2),
        (1.5, 0.0, 0.6),
        (1.0, 1.0, 0.5),
        (1.0, -2.0, 0.2),
        (2.0, -1.0, 0.7),
        (0.0, 0.0, 0.0),
    ],
)
def test_stricter(
    seen: Callable[..., Any], factor: float, deviations: float, needed: float
) -> None:
    """The thresholds of area and scores are factor x mean + deviations x standard deviation."""
    rule = Rule(
        area=held_to(0.4, 0.1),
        unknown=held_to(0.4, 0.1),
        floor=0.0,
        factor=factor,
        deviations=deviations,
    )
    above, below = needed + 1e-9, needed - 1e-9
    assert rule.judge(seen_once([seen("cat", 1.0, 0, 0, above, 1)])).accepted
    assert rule.judge(seen_once([seen("cat", above)])).accepted
    if needed:
        assert not rule.judge(seen_once([seen("cat", 1.0, 0, 0, below, 1)])).accepted
        assert not rule.judge(seen_once([seen("cat", below)])).accepted


@given(
    found=ANSWERS,
    area=SPREADS,
    scores=st.dictionaries(st.sampled_from(["cat", "dog"]), SPREADS),
    unknown=st.none() | SPREADS,
    factors=st.tuples(st.floats(0, 3), st.floats(0, 3)).map(sorted),
    deviations=st.tuples(st.floats(-3, 3), st.floats(-3, 3)).map(sorted),
)
def test_raising_never_accepts_more(found, area, scores, unknown, factors, deviations) -> None:
    """What passes a threshold passes every lower one."""
    lax, strict = (
        Rule(area=area, scores=scores, unknown=unknown, factor=factor, deviations=shift)
        for factor, shift in zip(factors, deviations, strict=True)
    )
    assert lax.judge(seen_once(found)).accepted or not strict.judge(seen_once(found)).accepted


def test_a_quarter_stricter(seen: Callable[..., Any]) -> None:
    """The stricter form holds areas and scores to means a quarter higher."""
    rule = Rule(area=held_to(0.4), unknown=held_to(0.6), factor=0.8).stricter()
    assert rule.judge(seen_once([seen("cat", 0.61, 0, 0, 0.41, 1)])).accepted
    assert rule.judge(seen_once([seen("cat", 0.61, 0, 0, 0.39, 1)])) == Verdict(
        1, "area 0.390 under 0.400"
    )
    assert rule.judge(seen_once([seen("cat", 0.59, 0, 0, 0.41, 1)])) == Verdict(
        1, "cat 0.59 under 0.60"
    )


def judged(rule, *found):
    return rule.judge(seen_once(list(found)))


def test_clean(seen: Callable[..., Any]) -> None:
    """What reaches the threshold flags; a label may have its own, whatever its case. The reason
    names nothing."""
    rule = clean.Rule(threshold=0.3, labels={"Cat": 0.1})
    assert judged(rule, seen("dog", 0.29), seen("cat", 0.09)).accepted
    assert (
        judged(rule, seen("dog", 0.3))
        == judged(rule, seen("CAT", 0.1))
        == Verdict(1, "flagged together")
    )


def test_clean_of_grades(seen: Callable[..., Any]) -> None:
    """Of grades the lowest alone is clean: one step up may be anybody's."""
    rule = clean.Rule(threshold=1.0)
    assert judged(rule, seen("adult", 0.0, details={"graded": True})).accepted
    assert not judged(rule, seen("adult", 0.25, details={"graded": True})).accepted


def test_clean_half_as_high(seen: Callable[..., Any]) -> None:
    """The stricter form has thresholds half as high."""
    rule = clean.Rule(threshold=0.3, labels={"cat": 0.1}).stricter()
    assert judged(rule, seen("dog", 0.149), seen("cat", 0.049)).accepted
    assert not judged(rule, seen("dog", 0.15)).accepted
    assert not judged(rule, seen("cat", 0.05)).accepted


@pytest.mark.parametrize("threshold", [0, 1.1])
def test_clean_of_everything(threshold: float) -> None:
    """A threshold that flags every canvas, or none, is refused."""
    with pytest.raises(ValueError, match="threshold"):
        clean.Rule(threshold=threshold)
