"""What is learned from a sample: which boxes are objects, what asking again gains; and from whom it
is not."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from providers.detection import Box, Detection
from thresholds.fusion.arrays import BoxTable
from thresholds.fusion.box_features import box_features
from thresholds.fusion.box_fusion import fuse_boxes
from thresholds.fusion.fusion import logistic, look_weights
from thresholds.fusion.looks import ITSELF, LookKind, PhotoFacts
from thresholds.metrics.quality import quality_of
from thresholds.plan.cascade_of import learned_fusion
from thresholds.plan.gate_training import Gate, train_gate
from thresholds.plan.path_training import PathFit, train_path
from thresholds.plan.training_data import FOLDS, TrainingData, folds
from thresholds.samples.from_answers import sample_from_answers as from_answers
from thresholds.samples.ground_truth import Known
from thresholds.samples.sample import Sample
from thresholds.shape import Shape
from thresholds.testing import COMPANION, KINDS, LABELS, synthetic_sample

COARSE = LookKind(Shape(3, 2))
FIRST, THEN = (COARSE,), (COARSE, ITSELF)
HELD = 30


@pytest.fixture(scope="module")
def sample() -> Sample:
    return synthetic_sample(90, kinds=(ITSELF, COARSE), groupings=1)


def lesson(sample, metric="ap50", held=HELD):
    """The last photos are held out."""
    fit = np.arange(len(sample) - held)
    return TrainingData(
        sample, quality_of(sample, metric), folds(len(sample), fit), sample.companions
    )


@pytest.fixture(scope="module")
def taught(sample: Sample) -> tuple[Gate | PathFit | TrainingData, ...]:
    """The lesson, both paths and the gate between them."""
    return learned(lesson(sample))


def learned(one):
    before, after = train_path(one, FIRST), train_path(one, THEN)
    return one, before, after, train_gate(one, before, after)


def with_truth(sample, photo, objects):
    """The sample where something else is true of a photo."""
    each = [sample.truth.of_photo(number) for number in range(len(sample))]
    each[photo] = objects
    return replace(sample, truth=BoxTable.from_photos(each))


def with_looks(sample, photo, other):
    """The sample where a photo was answered what another photo was."""
    looks = {}
    for kind, groupings in sample.looks.items():
        each = [groupings[0].of_photo(number) for number in range(len(sample))]
        each[photo] = each[other]
        looks[kind] = (BoxTable.from_photos(each),)
    return replace(sample, looks=looks)


def chances(one, fit, photo):
    """What the whole model says of a photo's boxes, and what the photo's own answer, rescored,
    says."""
    looks = one.looks(FIRST, 0, photo)
    joined = fuse_boxes(looks, look_weights(FIRST, one.companions))
    return logistic(fit.trees(box_features(joined))), fit.answers[0].table.of_photo(photo).scores


def test_folds() -> None:
    """Photos to learn from are spread over the folds as evenly as can be; the others are in
    none."""
    fold = folds(50, np.arange(0, 50, 2))
    assert (fold[1::2] == -1).all()
    assert sorted(np.bincount(fold[::2])) == [6, 6, 6, 7]
    assert len(np.bincount(fold[::2])) == FOLDS
    assert not np.array_equal(fold, folds(50, np.arange(0, 50, 2), seed=1))


def test_its_own_truth_has_no_influence(
    sample: Sample, taught: tuple[Gate | PathFit | TrainingData, ...]
) -> None:
    """What is said of a photo's boxes comes from models that have not seen the photo: were
    something else true of it, the same would be said."""
    _, before, _, _ = taught
    photo = 7
    other = train_path(
        lesson(with_truth(sample, photo, sample.truth.of_photo(photo).take(slice(0, 0)))), FIRST
    )
    assert (
        other.answers[0].table.of_photo(photo).scores.tolist()
        == before.answers[0].table.of_photo(photo).scores.tolist()
    )
    assert not np.array_equal(
        other.answers[0].table.boxes.scores, before.answers[0].table.boxes.scores
    )


def test_held_out_photos_have_no_influence(
    sample: Sample, taught: tuple[Gate | PathFit | TrainingData, ...]
) -> None:
    """Nothing of a photo that is held out gets into what is said of the others, nor into what a
    cascade carries."""
    one, before, after, gate = taught
    changed = with_looks(with_truth(sample, 80, sample.truth.of_photo(70)), 80, 75)
    two, its_before, its_after, its_gate = learned(lesson(changed))
    assert its_before.trees == before.trees
    assert its_after.trees == after.trees
    assert its_gate.trees == gate.trees
    fit = one.photos
    assert np.array_equal(its_gate.gains[:, fit], gate.gains[:, fit])
    assert np.array_equal(its_before.answers[0].parts[fit], before.answers[0].parts[fit])
    assert carried(two, {FIRST: its_before}) == carried(one, {FIRST: before})


def test_held_out_as_in_service(taught: tuple[Gate | PathFit | TrainingData, ...]) -> None:
    """Of a photo that is held out just that is said what a gateway says with the model that the
    cascade carries."""
    one, before, _, gate = taught
    for photo in range(60, 90):
        chance, scores = chances(one, before, photo)
        joined = fuse_boxes(one.looks(FIRST, 0, photo), [1.0])
        assert scores == pytest.approx(np.sort(np.sqrt(joined.scores * chance))[::-1], abs=1e-5)
    assert carried(one, {FIRST: before}).weights == tuple(one.label_weights)
    assert gate.trees(before.gain_features[0, 60:]) == pytest.approx(gate.gains[0, 60:], abs=1e-5)


def carried(lesson, paths):
    """The fusion of a cascade that serves photos by all of these paths alike."""
    return learned_fusion(
        lesson, paths, np.concatenate([fit.score_pairs for fit in paths.values()])[:, :2]
    )


def kept(answers, photos):
    chosen = np.isin(answers.table.photos, photos)
    return answers.table.boxes.take(chosen), answers.positives[:, chosen]


def test_parts_are_the_metric(taught: tuple[Gate | PathFit | TrainingData, ...]) -> None:
    """The mean of the photos' parts is the metric, but for its envelope."""
    one, before, after, _ = taught
    for fit in (before, after):
        for each in (*fit.plain, *fit.answers):
            value = one.quality.value(*kept(each, one.photos), one.photos)
            assert each.parts[one.photos].mean() == pytest.approx(value, abs=0.01)


def told_by_bytes():
    """Photos with one object each. Where there are many bytes per pixel the coarse look makes a
    mistake at another place, or, on one in four, finds nothing; alone, all are found."""
    rng = Random(1)
    facts, looks, truth = {}, {ITSELF: {}, COARSE: {}}, {}
    for number in range(480):
        photo, fine = str(number), number % 3 == 0
        facts[photo] = PhotoFacts(640, 480, 300_000 if fine else 60_000)
        cat = Detection("cat", 1.0, Box(0.1, 0.1, 0.5, 0.5))
        truth[photo] = Known([cat], frozenset({"cat"}))
        looks[ITSELF][photo] = [[replace(cat, score=rng.uniform(0.6, 0.9))]]
        wrong = replace(cat, score=rng.uniform(0.3, 0.9), box=Box(0.6, 0.6, 0.9, 0.9))
        right = replace(cat, score=rng.uniform(0.3, 0.9))
        looks[COARSE][photo] = [[wrong] if fine and number % 4 else [] if fine else [right]]
    return from_answers(facts, looks, truth)


@pytest.fixture(scope="module")
def telling() -> tuple[Gate | PathFit | TrainingData, ...]:
    return learned(lesson(told_by_bytes(), held=100))


def test_the_gate_finds_it(telling: tuple[Gate | PathFit | TrainingData, ...]) -> None:
    """Where a fact of the photo tells what a coarse look loses, the gate expects to gain there, and
    hardly elsewhere."""
    one, _, _, gate = telling
    fine = np.arange(len(one.sample)) % 3 == 0
    assert gate.gains[0, fine].min() > gate.gains[0, ~fine].max()
    assert gate.gains[0, fine].mean() > 0.5 > 5 * abs(gate.gains[0, ~fine].mean())


def test_rescoring(telling: tuple[Gate | PathFit | TrainingData, ...]) -> None:
    """Rescored, the same boxes are worth more, on photos that no model has seen too: mistakes that
    can be told, here by their place, come after all that is right."""
    one, before, _, _ = telling
    for photos in (one.photos, np.flatnonzero(one.folds < 0)):
        plain, better = (
            one.quality.value(*kept(each[0], photos), photos)
            for each in (before.plain, before.answers)
        )
        assert better > plain + 0.03


# -- companions


@pytest.fixture(scope="module")
def accompanied() -> TrainingData:
    return lesson(synthetic_sample(80, kinds=(*KINDS, COMPANION), companions=("free",)))


def test_given(accompanied: TrainingData) -> None:
    """Labels are given that a paid provider gives."""
    named = [
        name
        for name, given in zip(accompanied.sample.labels, accompanied.provider_labels, strict=True)
        if given
    ]
    assert sorted(named) == sorted(LABELS)


def test_aliases(accompanied: TrainingData) -> None:
    """What the companion calls by another name in the same places is taken for the same; what it
    alone sees is not."""
    names = accompanied.sample.labels
    meant = {
        name: names[to]
        for name, to in zip(names, accompanied.aliases, strict=True)
        if names[to] != name
    }
    assert meant == {"ox": "cow"}


def test_looks(accompanied: TrainingData) -> None:
    """Its looks are in the provider's words, without what the provider has none for."""
    names = accompanied.sample.labels
    seen = {
        names[label]
        for photo in range(len(accompanied.sample))
        for label in accompanied.looks((COMPANION, COARSE), 0, photo)[0].labels
    }
    assert seen == set(LABELS)


def test_fusion(accompanied: TrainingData) -> None:
    """The cascade's fusion carries both: the labels given, and what the companion's mean."""
    path = (COMPANION, COARSE)
    made = carried(accompanied, {path: train_path(accompanied, path)})
    assert sorted(made.labels) == sorted(LABELS)
    assert made.aliases == {"ox": "cow"}
    assert made.companions == ("free",)
    assert list(made.rescore) == list(made.calibration) == ["free:1x1,3x2"]
    assert not made.verbatim


# -- agreement


@pytest.fixture(scope="module")
def agreeing() -> TrainingData:
    return lesson(
        synthetic_sample(90, kinds=(ITSELF, COARSE), groupings=1, known=False), "agreement"
    )


def test_alone(agreeing: TrainingData) -> None:
    """A photo that is asked about alone agrees with itself, whatever came before; for that answer
    leaves as it came."""
    answers = train_path(agreeing, THEN)
    assert answers.answers[0].parts.tolist() == [1.0] * len(agreeing.sample)
    assert carried(agreeing, {THEN: answers}).verbatim


def test_fused_alone(agreeing: TrainingData) -> None:
    """But where answers are only fused, the one about the photo alone is changed by those before
    it."""
    assert train_path(agreeing, THEN).plain[0].parts.mean() < 0.98
    assert train_path(agreeing, (ITSELF,)).plain[0].parts.mean() == 1.0


def test_calibrated(agreeing: TrainingData) -> None:
    """Scores are calibrated, by a curve of each path, so that a box scores what it would alone, in
    the mean."""
    coarse = train_path(agreeing, FIRST)
    knots = carried(agreeing, {FIRST: coarse}).calibration["3x2"]
    here, alone, _ = coarse.score_pairs.T
    assert len(here) > 50
    assert (
        abs(np.interp(here, *np.array(knots).T).mean() - alone.mean())
        < 0.03
        < abs(here.mean() - alone.mean())
    )


def test_calibrated_alike(taught: tuple[Gate | PathFit | TrainingData, ...]) -> None:
    """By precision, where scores of all paths are ranked together, it is one curve for all of
    them."""
    one, before, after, _ = taught
    curves = carried(one, {FIRST: before, THEN: after}).calibration
    assert curves["3x2"] == curves["3x2,1x1"]


def test_nothing_to_learn_from() -> None:
    """Where all boxes are objects, or none is, every one has about that chance."""
    alone = told_by_bytes().of_kinds(lambda kind: kind == ITSELF)
    fit = train_path(lesson(alone, held=100), (ITSELF,))
    assert (fit.answers[0].table.boxes.scores > 0.75).all()
