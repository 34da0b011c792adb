"""The selection of cascades of classifiers: what is promised holds on photos that come later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from thresholds.cascade import Stage
from thresholds.classification.sample import NO_LABEL, ClassificationSample, ClassifierStage
from thresholds.classification.search import ClassCascade, results_of
from thresholds.classification.selection import (
    ClassGoal,
    best_estimate,
    cascade_of,
    explore,
    select,
    stages_of,
)
from thresholds.rules import always, confidence
from thresholds.shape import ALONE

STAGES = (
    ClassifierStage(provider="small", seconds=0.01, gflops=1.0),
    ClassifierStage(provider="middle", seconds=0.03, gflops=3.0),
    ClassifierStage(provider="large", seconds=0.1, gflops=10.0),
)


def sample_of(photos: int, seed: int, *, labelled: bool = True) -> ClassificationSample:
    """Photos of two labels and of different difficulty: each model is right more often where a
    photo is easy, scores so, and the larger the model the more often."""
    rng = np.random.default_rng(seed)
    truth, difficulty = rng.integers(0, 2, photos), rng.random(photos)
    tops, scores = [], []
    for skill in (0.75, 0.85, 0.97):
        score = np.clip(1 - difficulty * (1.2 - skill) + rng.normal(0, 0.05, photos), 0.01, 1)
        right = rng.random(photos) < score
        tops.append(tuple(int(label) for label in np.where(right, truth, 1 - truth)))
        scores.append(tuple(float(value) for value in score))
    return ClassificationSample(
        route="labels",
        reference="large",
        stages=STAGES,
        photos=tuple(f"photo{number}" for number in range(photos)),
        labels=("cat", "dog"),
        tops=tuple(tops),
        scores=tuple(scores),
        agreements=tuple(
            tuple(float(a == b) for a, b in zip(row, tops[2], strict=True)) for row in tops
        ),
        truths=tuple((int(label),) for label in truth) if labelled else None,
    )


def test_a_cheaper_cascade_is_promised_and_holds() -> None:
    """From a thousand photos a cascade is promised that costs less than the reference, and loses no
    more than promised on ten thousand others."""
    explored = explore(sample_of(1000, seed=1), "time")
    goal = ClassGoal(max_drop=0.05)
    selection = select(explored, goal)
    assert selection.point.cost < 0.7 * explored.reference.cost
    assert selection.result.bound <= 0.05
    later = sample_of(10_000, seed=2)
    alone = results_of(later.answers, explored.costs, explored.reference.cascade)
    cascade = results_of(later.answers, explored.costs, selection.point.cascade)
    assert alone.correct.mean() - cascade.correct.mean() <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("bound", ["bootstrap", "exact"])
def test_a_promise_is_broken_no_more_often_than_said(bound: str) -> None:
    """Over 25 samples of 300 photos a promise at delta 0.1 is broken, in the long run, at most six
    times: more come with a chance of 1 % where each is broken by 0.1."""
    later = sample_of(20_000, seed=99)
    held_out = 0.4 if bound == "exact" else 0.0
    broken = 0
    for seed in range(25):
        explored = explore(sample_of(300, seed), "time", held_out=held_out, seed=seed)
        goal = ClassGoal(max_drop=0.05, delta=0.1, bound=bound)  # type: ignore[arg-type]
        point = select(explored, goal).point
        alone = results_of(later.answers, explored.costs, explored.reference.cascade)
        cascade = results_of(later.answers, explored.costs, point.cascade)
        broken += alone.correct.mean() - cascade.correct.mean() > 0.05
    assert broken <= 6


def test_without_evidence_the_reference_stays() -> None:
    """From thirty photos no cascade is promised to lose nearly nothing: every photo is asked of the
    route's own provider, which loses nothing against itself."""
    explored = explore(sample_of(30, seed=3), "time")
    selection = select(explored, ClassGoal(max_drop=0.001))
    assert selection.point == explored.reference
    assert cascade_of(explored, selection, ClassGoal(max_drop=0.001)).promise is None


def test_estimates_decide_where_nothing_is_promised() -> None:
    """With a delta of 1 the cheapest cascade is taken that lost no more than allowed on photos that
    did not choose it, and nothing is promised."""
    explored = explore(sample_of(300, seed=4), "compute")
    promised = ClassGoal(max_drop=0.01)
    goal = ClassGoal(max_drop=0.01, delta=1)
    selection = select(explored, goal)
    assert selection == best_estimate(explored, promised)
    assert selection.result.drop <= 0.01
    assert selection.point.cost <= select(explored, promised).point.cost
    assert cascade_of(explored, selection, goal).promise is None


def test_a_saving_is_kept() -> None:
    """With a share to save the most accurate cascade within the rest of the cost is taken."""
    explored = explore(sample_of(300, seed=5), "time")
    selection = select(explored, ClassGoal(save=0.6))
    assert selection.point.cost <= 0.4 * explored.reference.cost
    cheaper = [point for point in explored.front if point.cost <= 0.4 * explored.reference.cost]
    assert selection.point.accuracy == max(point.accuracy for point in cheaper)


def test_without_ground_truth_the_reference_is_right() -> None:
    """Without ground truth a label is right where the route's own provider gives the same."""
    explored = explore(sample_of(200, seed=6, labelled=False), "time")
    assert explored.reference.accuracy == 1
    promise = cascade_of(
        explored, select(explored, ClassGoal(max_drop=0.3)), ClassGoal(max_drop=0.3)
    ).promise
    assert promise is not None
    assert promise.metric == "labels"


def test_the_stages_of_a_cascade_are_those_of_a_route() -> None:
    """The chosen order becomes stages with rules `confidence`; the route's own provider is not
    named, and the last stage accepts every answer."""
    sample = sample_of(10, seed=7).model_copy(update={"only_labels": ("cat",)})
    cascade = ClassCascade((0, 1, 2), (0.9, float("inf")), (False, True))
    assert stages_of(sample, cascade) == (
        Stage(
            shape=ALONE,
            provider="small",
            rule=confidence.Rule(threshold=0.9, labels=("cat",)),
        ),
        Stage(
            shape=ALONE,
            provider="middle",
            rule=confidence.Rule(agreement=0.0, labels=("cat",)),
        ),
        Stage(shape=ALONE, rule=always.Rule()),
    )


def test_a_sample_survives_its_file(tmp_path: Path) -> None:
    """A sample that is written and read again is the same."""
    sample = sample_of(5, seed=8)
    sample.save(tmp_path / "classes.json")
    assert ClassificationSample.load(tmp_path / "classes.json") == sample


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    """A file that is no sample is refused by its name, with the way out."""
    file = tmp_path / "classes.json"
    with pytest.raises(ValueError, match=r"classes\.json: cannot be read"):
        ClassificationSample.load(file)
    file.write_text('{"route": "labels"}')
    with pytest.raises(ValueError, match=r"classes\.json: is no profile .* imgrid profile"):
        ClassificationSample.load(file)


def test_an_unknown_cost_names_its_stages() -> None:
    """An objective that is not known of a stage is refused by the stage's name, with those that
    are."""
    paid = ClassifierStage(provider="cloud", usd=0.001)
    sample = sample_of(5, seed=9)
    sample = sample.model_copy(update={"stages": (*STAGES[:2], paid), "reference": "cloud"})
    assert sample.objective == "price"
    with pytest.raises(ValueError, match=r"--objective time: not known of cloud; .* is price"):
        sample.costs("time")


def test_a_photo_without_a_label_is_wrong() -> None:
    """A photo of which a model says nothing is wrong, whatever the truth is."""
    sample = sample_of(1, seed=10)
    nothing = ((NO_LABEL,), *sample.tops[1:])
    assert not sample.model_copy(update={"tops": nothing}).answers.correct[0, 0]
