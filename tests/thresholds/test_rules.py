"""Rules decide whether an answer is accepted: a suite over every kind, then the behaviour of each
kind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.detection import Box, Detection
from tests.support.detections import detection
from thresholds.fusion.fusion import Fusion
from thresholds.fusion.looks import Evidence, Look, PhotoFacts
from thresholds.fusion.trees import Trees
from thresholds.rules import clean, confidence, gain, risk
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


def evidence_of(detections: Sequence[Detection]) -> Evidence:
    """The evidence of a photo with this answer alone, with the belief of a fusion."""
    evidence = Evidence(PhotoFacts(640, 480, 50_000), (Look(Shape(2, 2), detections),))
    return replace(evidence, belief=FUSION.belief(evidence))


SPREADS = st.builds(Spread, mean=SCORES, std=st.floats(0, 0.5))


def test_every_kind_has_an_example(examples: Mapping[str, Any]) -> None:
    """Every kind of rule has an example that runs through this suite."""
    assert set(rules.kinds()) == set(examples)


def test_a_rule_survives_json(example: Mapping[str, Any]) -> None:
    """A rule that is written as JSON and read again is the same."""
    rule = rules.read(example)
    document = json.loads(rule.model_dump_json())
    assert rules.read(document) == rule
    assert document["kind"] == example["kind"]


def test_the_kind_is_the_name_of_the_file(example: Mapping[str, Any]) -> None:
    """A rule's kind is the name of its file."""
    assert rules.read(example).kind == example["kind"]
    assert type(rules.read(example)).__module__ == f"thresholds.rules.{example['kind']}"


def test_an_unknown_key_is_refused(example: Mapping[str, Any]) -> None:
    """An unknown key is refused, as it may be a misspelt threshold."""
    with pytest.raises(ValueError, match="treshold"):
        rules.read({**example, "treshold": 1})


def test_a_rule_cannot_be_changed(example: Mapping[str, Any]) -> None:
    """A rule cannot be changed after it is made."""
    with pytest.raises(ValueError, match="frozen"):
        rules.read(example).kind = "other"


def test_every_rule_judges_an_empty_answer(example: Mapping[str, Any]) -> None:
    """Every rule judges a photo without detections, and gives a reason."""
    verdict = rules.read(example).judge(evidence_of([]))
    assert isinstance(verdict, Verdict)
    assert verdict.skip >= 0
    assert verdict.reason


@given(detections=ANSWERS)
def test_judging_is_pure(example: Mapping[str, Any], detections: list[Detection]) -> None:
    """The same answer has the same verdict each time, and is not changed."""
    rule, copy = rules.read(example), list(detections)
    verdict = rule.judge(evidence_of(detections))
    assert (
        rule.judge(evidence_of(tuple(detections)))
        == rules.read(example).judge(evidence_of(detections))
        == verdict
    )
    assert verdict.accepted == (verdict.skip == 0)
    assert detections == copy


@given(detections=ANSWERS)
def test_the_stricter_form_is_never_laxer(
    example: Mapping[str, Any], detections: list[Detection]
) -> None:
    """The stricter form of a rule is of the same kind and accepts no answer that the rule does
    not."""
    rule = rules.read(example)
    strict = rule.stricter()
    assert rules.read(strict.model_dump(mode="json")) == strict
    assert strict.kind == rule.kind
    if strict.judge(evidence_of(detections)).accepted:
        assert rule.judge(evidence_of(detections)).accepted


@given(detections=ANSWERS)
def test_no_verdict_skips_beyond_the_reach(
    example: Mapping[str, Any], detections: list[Detection]
) -> None:
    """No verdict skips more stages than the rule's reach."""
    rule = rules.read(example)
    assert rule.judge(evidence_of(detections)).skip <= rule.reach


def test_the_error_for_an_unknown_kind_lists_the_known() -> None:
    """The error for an unknown kind lists the known ones."""
    with pytest.raises(
        ValueError,
        match="no rule kind 'magic'; known: always, clean, confidence, gain, imgrid, onward, risk",
    ):
        rules.read({"kind": "magic"})


@pytest.mark.parametrize("value", [None, 3, "always", ["always"]])
def test_a_rule_must_be_an_object(value: Any) -> None:
    """A value that is no object is refused as a rule."""
    with pytest.raises(ValueError, match="a rule is an object with a kind"):
        rules.read(value)


def test_a_rule_needs_a_kind() -> None:
    """A rule without a kind is refused like one of an unknown kind."""
    with pytest.raises(ValueError, match="no rule kind None"):
        rules.read({"area": {"mean": 0.1}})


@given(detections=ANSWERS)
def test_always_accepts_every_answer(detections: list[Detection]) -> None:
    """Kind `always` accepts every answer."""
    assert rules.read({"kind": "always"}).judge(evidence_of(detections)) == ACCEPT


@given(detections=ANSWERS)
def test_onward_asks_the_next_stage_every_time(detections: list[Detection]) -> None:
    """Kind `onward` asks the next stage whatever the answer is, and so does its stricter form."""
    rule = rules.read({"kind": "onward"})
    assert (
        rule.judge(evidence_of(detections)).skip
        == rule.stricter().judge(evidence_of(detections)).skip
        == 1
    )


# -- risk

RISK = risk.Rule(intercept=-4.0, weights={"cat": 6.0, "dog": 1.0}, alone=0.5, skip=3)


def test_a_likely_photo_skips_the_groups() -> None:
    """A photo whose probability of being flagged reaches `alone` is asked about alone, by the
    highest score of each label that has a weight; any other goes into a group."""
    likely = [detection("cat", 0.6), detection("cat", 0.3), detection("dog", 0.5)]
    assert RISK.prior(likely) == pytest.approx(-4 + 6 * 0.6 + 0.5)
    assert RISK.judge(evidence_of(likely)).skip == 3
    assert RISK.judge(evidence_of([detection("cat", 0.6)])).skip == 1
    assert RISK.judge(evidence_of([detection("owl", 1.0)])).skip == 1


@given(detections=ANSWERS)
def test_a_probability_of_one_sends_no_photo_alone(detections: list[Detection]) -> None:
    """Where only certainty sends photos alone, all go into groups."""
    rule = RISK.model_copy(update={"alone": 1.0})
    assert rule.judge(evidence_of(detections)).skip == 1


# -- clean, by a posterior

POSTERIOR = clean.Rule(
    threshold=0.3, posterior=clean.Posterior(offset=1.0, slope=1.0, clean=0.01), positive=0.5
)


def posterior_verdict(prior: float | None, *detections: Detection) -> bool:
    """Whether the rule clears a photo with these prior log-odds."""
    evidence = replace(evidence_of(detections), prior=prior)
    return POSTERIOR.judge(evidence).accepted


@pytest.mark.parametrize(
    ("prior", "score", "clean"),
    [(-7.0, 0.7, True), (-7.0, 0.9, False), (-4.0, 0.1, True), (-4.0, 0.3, False)],
)
def test_an_unlikely_photo_is_cleared_at_a_higher_score(
    prior: float, score: float, clean: bool
) -> None:
    """A photo is cleared where the odds of its prior times the likelihood ratio of the canvas are
    below those of the rule's probability: the likelier it is, the less its canvas may show."""
    assert posterior_verdict(prior, detection("cat", score)) is clean


def test_a_certain_canvas_clears_no_photo() -> None:
    """A score of 1 and a grade above the lowest clear no photo, however unlikely it is."""
    graded = replace(detection("cat", 0.25), details={"graded": True})
    assert not posterior_verdict(-50.0, detection("cat", 1.0))
    assert not posterior_verdict(-50.0, graded)


def test_without_a_prior_the_threshold_judges() -> None:
    """A photo that no companion saw is judged by the threshold."""
    assert posterior_verdict(None, detection("cat", 0.29))
    assert not posterior_verdict(None, detection("cat", 0.3))


# -- confidence


def looks_of(*answers: Sequence[Detection]) -> Evidence:
    """The evidence of a photo that was asked about alone once for each answer."""
    looks = tuple(Look(Shape(1, 1), answer) for answer in answers)
    return Evidence(PhotoFacts(640, 480, 50_000), looks)


def test_a_confident_label_is_accepted() -> None:
    """A photo is accepted where its best label scores the threshold or more; the reason names the
    label that does not."""
    rule = confidence.Rule(threshold=0.6)
    assert rule.judge(looks_of([detection("dog", 0.1), detection("cat", 0.6)])) == ACCEPT
    unsure = rule.judge(looks_of([detection("dog", 0.1), detection("cat", 0.59)]))
    assert unsure == Verdict(1, "cat 0.59 is unsure")
    assert rule.judge(looks_of([])) == Verdict(1, "no label")


@pytest.mark.parametrize(
    ("earlier", "accepted"), [("CAT", True), ("dog", False), ("", False), (None, False)]
)
def test_two_models_that_agree_are_enough(earlier: str | None, accepted: bool) -> None:
    """Under the threshold a photo is accepted where the look before has the same best label: not
    where it has another or none, or where there was no look before."""
    rule = confidence.Rule(threshold=0.9, agreement=0.3)
    last = [detection("cat", 0.5)]
    looks = [] if earlier is None else [[detection(earlier, 0.4)] if earlier else []]
    assert rule.judge(looks_of(*looks, last)).accepted is accepted


def test_agreement_has_a_threshold_of_its_own() -> None:
    """Agreement below its own threshold is not enough, and without a threshold no score is."""
    rule = confidence.Rule(agreement=0.3)
    faint, sure = [detection("cat", 0.29)], [detection("cat", 1.0)]
    assert not rule.judge(looks_of(faint, faint)).accepted
    assert not rule.judge(looks_of([detection("dog", 1.0)], sure)).accepted
    assert rule.judge(looks_of(faint, sure)).accepted


def test_only_the_named_labels_count() -> None:
    """Labels that nobody asked for are not looked at, however sure they are."""
    rule = confidence.Rule(threshold=0.6, labels=("Cat", "dog"))
    assert not rule.judge(looks_of([detection("animal", 0.99), detection("cat", 0.5)])).accepted
    assert rule.judge(looks_of([detection("animal", 0.2), detection("CAT", 0.7)])).accepted


def test_a_rule_that_accepts_nothing_is_refused() -> None:
    """A rule without any threshold is refused: it would turn down every photo."""
    with pytest.raises(ValueError, match="give threshold, agreement or both"):
        confidence.Rule()


# -- gain


def gain_rule(price: float, *targets: tuple[float, float], path: str = "2x2") -> gain.Rule:
    """A rule that expects the same gains for every photo: pairs of cost and gain, one for each next
    stage."""
    stage_targets = [
        gain.Target(ahead=ahead, cost=cost, gain=Trees.constant(value))
        for ahead, (cost, value) in enumerate(targets, 1)
    ]
    return gain.Rule(path=path, price=price, targets=stage_targets)


@pytest.mark.parametrize(
    ("price", "skip"), [(0.0, 2), (0.15, 2), (0.25, 1), (0.39, 1), (0.4, 0), (1.0, 0)]
)
def test_the_largest_net_gain_is_asked_next(price: float, skip: int) -> None:
    """The target with the largest gain over its price is asked; where no gain exceeds its price,
    the answer is accepted."""
    assert gain_rule(price, (0.5, 0.2), (1.0, 0.3)).judge(evidence_of([])).skip == skip


def test_a_target_may_lie_several_stages_ahead() -> None:
    """A target may lie several stages ahead, and the rule reaches as far as its furthest target."""
    near, far = (
        gain.Target(ahead=ahead, cost=1.0, gain=Trees.constant(0.1 * ahead)) for ahead in (2, 3)
    )
    assert gain.Rule(path="2x2", price=0.0, targets=[far, near]).reach == 3
    assert gain.Rule(path="2x2", price=0.0, targets=[far, near]).judge(evidence_of([])).skip == 3
    assert gain.Rule(path="2x2", price=0.0, targets=[near]).judge(evidence_of([])).skip == 2


def test_the_reason_names_gain_and_cost() -> None:
    """The reason names the expected gain and its cost in images."""
    assert (
        gain_rule(0.1, (0.5, 0.2)).judge(evidence_of([detection("cat", 0.9)])).reason
        == "gain 0.200 for 0.50 of an image"
    )


def test_the_expected_gain_depends_on_the_answer(examples: Mapping[str, Any]) -> None:
    """The expected gain depends on the answer: here on whether there are detections."""
    rule = rules.read(examples["gain"])
    assert rule.judge(evidence_of([])).accepted
    assert rule.judge(evidence_of([detection("cat", 0.4)])).skip == 2


def test_an_unknown_path_asks_the_last_target() -> None:
    """A photo whose path the model does not know, or one without a fusion, is asked at the last
    target."""
    rule = gain_rule(10.0, (0.5, 0.2), (1.0, 0.3), path="3x3")
    assert rule.judge(evidence_of([])) == Verdict(2, "seen as 2x2, which no profile knows")
    assert gain_rule(10.0, (0.5, 0.2)).judge(replace(evidence_of([]), belief=None)).skip == 1


def test_a_photo_beyond_the_path_is_accepted() -> None:
    """A photo that was asked beyond the rule's path already is accepted, except if its companion's
    look is missing."""
    looks = [
        Look(Shape(1, 1), [], "free"),
        *(Look(Shape.parse(text), [detection("cat", 0.2)]) for text in ("3x2", "2x2")),
    ]
    rule, facts = gain_rule(0.0, (0.5, 0.2), path="free:1x1,2x2"), PhotoFacts(640, 480, 50_000)
    assert rule.judge(Evidence(facts, tuple(looks))).accepted
    assert rule.judge(Evidence(facts, tuple(looks[2:]))).skip == 1
    assert gain_rule(0.0, (0.5, 0.2), path="2x2").judge(Evidence(facts, tuple(looks[1:]))).accepted


def test_trees_with_missing_features_are_refused(examples: Mapping[str, Any]) -> None:
    """Trees that need more features than a photo has are refused when they are read, not at the
    first photo."""
    target = {
        "ahead": 1,
        "cost": 1.0,
        "gain": {**examples["gain"]["targets"][0]["gain"], "feature": [36, 0, 0]},
    }
    with pytest.raises(ValueError, match="a photo seen as 2x2 does not have"):
        rules.read({**examples["gain"], "targets": [target]})
    assert rules.read({**examples["gain"], "targets": [target], "path": "free:1x1,2x2"}).reach == 1


@given(detections=ANSWERS, prices=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted))
def test_a_lower_price_never_accepts_more(
    examples: Mapping[str, Any], detections: list[Detection], prices: list[float]
) -> None:
    """An answer that is accepted at a price is accepted at every higher one."""
    low, high = (rules.read({**examples["gain"], "price": price}) for price in prices)
    assert (
        high.judge(evidence_of(detections)).accepted
        or not low.judge(evidence_of(detections)).accepted
    )


@given(looks=st.lists(ANSWERS, min_size=1, max_size=3))
def test_gain_features_do_not_depend_on_label_order(looks: list[list[Detection]]) -> None:
    """The features of a gain have the width that the path's length gives, are finite, and do not
    depend on the order of labels."""
    fusion = Fusion(labels=("cat", "dog", "owl"), weights=(1.0, 1.0, 1.0), rescore={})
    other = Fusion(labels=("owl", "dog", "cat"), weights=(1.0, 1.0, 1.0), rescore={})
    evidence = Evidence(
        PhotoFacts(640, 480, 50_000),
        tuple(Look(Shape(4 - number, 1), detections) for number, detections in enumerate(looks)),
    )
    row = gain.gain_features([evidence.facts], fusion.belief(evidence))
    assert row.shape == (1, 4 + 17 * len(looks) + 15)
    assert np.isfinite(row).all()
    assert gain.gain_features([evidence.facts], other.belief(evidence)) == pytest.approx(row)


# -- imgrid: EECS-2023-182, section 3.2


def spread_of(mean: float, std: float = 0.0) -> Spread:
    """A spread of this mean and standard deviation."""
    return Spread(mean=mean, std=std)


def test_the_papers_example_is_asked_again() -> None:
    """Table 4.1: a motorcycle of 0.3998 under its mean of 0.402 has the photo asked again, although
    all other boxes pass."""
    scores = {
        "person": spread_of(0.415),
        "bicycle": spread_of(0.447),
        "motorcycle": spread_of(0.402),
    }
    rule = Rule(area=spread_of(0.1), scores=scores)
    sure = [detection("person", 0.8302), detection("bicycle", 0.6745)]
    assert rule.judge(evidence_of(sure)).accepted
    assert rule.judge(evidence_of([*sure, detection("motorcycle", 0.3998)])) == Verdict(
        1, "motorcycle 0.40 under 0.40"
    )


@pytest.mark.parametrize(
    ("width", "accepted"), [(0.5, True), (0.4999, False), (0.75, True), (0.0, False)]
)
def test_boxes_must_cover_the_mean_area(width: float, accepted: bool) -> None:
    """A photo is asked again if its boxes cover less of it than the mean; the mean itself is
    enough."""
    rule = Rule(area=spread_of(0.5))
    assert rule.judge(evidence_of([detection("cat", 0.9, 0, 0, width, 1)])).accepted is accepted


def test_overlapping_boxes_count_twice() -> None:
    """An area that two boxes cover counts twice."""
    detections = [detection("cat", 0.9, 0, 0, 0.5, 0.5)]
    assert Rule(area=spread_of(0.5)).judge(evidence_of(detections)) == Verdict(
        1, "area 0.250 under 0.500"
    )
    assert Rule(area=spread_of(0.5)).judge(evidence_of(detections * 2)).accepted


def test_a_photo_without_detections_is_asked_again() -> None:
    """A photo without detections is asked again, unless the mean area is 0 too."""
    assert Rule(area=spread_of(0.01)).judge(evidence_of([])) == Verdict(1, "area 0.000 under 0.010")
    assert Rule(area=spread_of(0.0)).judge(evidence_of([])).accepted


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
def test_each_label_has_its_own_score_threshold(label: str, score: float, accepted: bool) -> None:
    """Each label has its own threshold, which its mean just passes; a label outside the profile has
    that of all labels."""
    rule = Rule(
        area=spread_of(0.0),
        scores={"cat": spread_of(0.6), "dog": spread_of(0.4)},
        unknown=spread_of(0.5),
    )
    assert rule.judge(evidence_of([detection(label, score)])).accepted is accepted


def test_without_profiled_scores_no_score_is_too_low() -> None:
    """If the profile has no scores at this shape, no score is too low."""
    assert Rule(area=spread_of(0.0)).judge(evidence_of([detection("cat", 0.31)])).accepted


def test_one_unsure_box_is_enough_to_ask_again() -> None:
    """One unsure box has the photo asked again, wherever it stands in the answer."""
    rule = Rule(area=spread_of(0.0), unknown=spread_of(0.5))
    sure, unsure = detection("cat", 0.9), detection("dog", 0.4)
    for answer in ([unsure], [sure, unsure], [unsure, sure], [sure, unsure, sure]):
        assert rule.judge(evidence_of(answer)) == Verdict(1, "dog 0.40 under 0.50")
    assert rule.judge(evidence_of([sure, sure])).accepted


def test_boxes_under_the_floor_do_not_count() -> None:
    """Boxes under the floor count neither as area nor as unsure."""
    rule = Rule(area=spread_of(0.5), unknown=spread_of(0.5), floor=0.2)
    faint, sure = detection("cat", 0.19, 0, 0, 1, 1), detection("cat", 0.9, 0, 0, 0.5, 1)
    assert not rule.judge(evidence_of([faint])).accepted
    assert rule.judge(evidence_of([sure, faint])).accepted
    assert not rule.judge(evidence_of([sure, detection("cat", 0.2)])).accepted


@pytest.mark.parametrize(
    ("factor", "deviations", "threshold"),
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
def test_thresholds_are_factor_times_mean_plus_deviations(
    factor: float, deviations: float, threshold: float
) -> None:
    """The thresholds of area and scores are factor x mean + deviations x standard deviation."""
    rule = Rule(
        area=spread_of(0.4, 0.1),
        unknown=spread_of(0.4, 0.1),
        floor=0.0,
        factor=factor,
        deviations=deviations,
    )
    above, below = threshold + 1e-9, threshold - 1e-9
    assert rule.judge(evidence_of([detection("cat", 1.0, 0, 0, above, 1)])).accepted
    assert rule.judge(evidence_of([detection("cat", above)])).accepted
    if threshold:
        assert not rule.judge(evidence_of([detection("cat", 1.0, 0, 0, below, 1)])).accepted
        assert not rule.judge(evidence_of([detection("cat", below)])).accepted


@given(
    detections=ANSWERS,
    area=SPREADS,
    scores=st.dictionaries(st.sampled_from(["cat", "dog"]), SPREADS),
    unknown=st.none() | SPREADS,
    factors=st.tuples(st.floats(0, 3), st.floats(0, 3)).map(sorted),
    deviations=st.tuples(st.floats(-3, 3), st.floats(-3, 3)).map(sorted),
)
def test_higher_thresholds_never_accept_more(
    detections: list[Detection],
    area: Spread,
    scores: dict[str, Spread],
    unknown: Spread | None,
    factors: list[float],
    deviations: list[float],
) -> None:
    """An answer that passes thresholds passes all lower ones."""
    lax, strict = (
        Rule(area=area, scores=scores, unknown=unknown, factor=factor, deviations=shift)
        for factor, shift in zip(factors, deviations, strict=True)
    )
    assert (
        lax.judge(evidence_of(detections)).accepted
        or not strict.judge(evidence_of(detections)).accepted
    )


def test_the_stricter_imgrid_rule_is_a_quarter_higher() -> None:
    """The stricter form compares areas and scores with means that are a quarter higher."""
    rule = Rule(area=spread_of(0.4), unknown=spread_of(0.6), factor=0.8).stricter()
    assert rule.judge(evidence_of([detection("cat", 0.61, 0, 0, 0.41, 1)])).accepted
    assert rule.judge(evidence_of([detection("cat", 0.61, 0, 0, 0.39, 1)])) == Verdict(
        1, "area 0.390 under 0.400"
    )
    assert rule.judge(evidence_of([detection("cat", 0.59, 0, 0, 0.41, 1)])) == Verdict(
        1, "cat 0.59 under 0.60"
    )


def verdict_of(rule: clean.Rule, *detections: Detection) -> Verdict:
    """The rule's verdict on a photo with these detections."""
    return rule.judge(evidence_of(list(detections)))


def test_a_score_at_the_threshold_flags_the_canvas() -> None:
    """A score at the threshold flags the canvas, a label may have its own threshold in any case of
    letters, and the reason names no label."""
    rule = clean.Rule(threshold=0.3, labels={"Cat": 0.1})
    assert verdict_of(rule, detection("dog", 0.29), detection("cat", 0.09)).accepted
    assert (
        verdict_of(rule, detection("dog", 0.3))
        == verdict_of(rule, detection("CAT", 0.1))
        == Verdict(1, "flagged together")
    )


def test_only_the_lowest_grade_is_clean() -> None:
    """Only the lowest grade is clean, as one step up may be any photo's."""
    rule = clean.Rule(threshold=1.0)
    assert verdict_of(rule, detection("adult", 0.0, details={"graded": True})).accepted
    assert not verdict_of(rule, detection("adult", 0.25, details={"graded": True})).accepted


def test_a_grade_that_is_not_said_clears_nobody() -> None:
    """Google's UNKNOWN says nothing of a category, so no photo is cleared by it."""
    rule = clean.Rule(threshold=1.0)
    lowest = detection("adult", 0.0, details={"graded": True, "likelihood": 1})
    unknown = detection("racy", 0.0, details={"graded": True, "likelihood": 0})
    assert verdict_of(rule, lowest).accepted
    assert not verdict_of(rule, lowest, unknown).accepted


def test_the_stricter_clean_rule_halves_its_thresholds() -> None:
    """The stricter form of `clean` has thresholds half as high."""
    rule = clean.Rule(threshold=0.3, labels={"cat": 0.1}).stricter()
    assert verdict_of(rule, detection("dog", 0.149), detection("cat", 0.049)).accepted
    assert not verdict_of(rule, detection("dog", 0.15)).accepted
    assert not verdict_of(rule, detection("cat", 0.05)).accepted


@pytest.mark.parametrize("threshold", [0, 1.1])
def test_a_clean_threshold_outside_0_to_1_is_refused(threshold: float) -> None:
    """A threshold that flags every canvas, or none, is refused."""
    with pytest.raises(ValueError, match="threshold"):
        clean.Rule(threshold=threshold)
