"""What is learned from a sample, from which photos: which boxes are objects, and what asking again
gains."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import NamedTuple

import numpy as np
import pytest

from providers.detection import Box, Detection
from thresholds.fusion.arrays import Bools, BoxArray, BoxTable, Floats, Ints
from thresholds.fusion.box_features import box_features
from thresholds.fusion.box_fusion import fuse_boxes
from thresholds.fusion.fusion import Fusion, logistic, look_weights
from thresholds.fusion.looks import ITSELF, LookKind, Path, PhotoFacts
from thresholds.metrics.quality import Metric, quality_of
from thresholds.plan.cascade_of import learned_fusion
from thresholds.plan.cost import Costs
from thresholds.plan.gate_training import Gate, gain_trees, train_gate
from thresholds.plan.learning import learn_final
from thresholds.plan.path_answers import PathAnswers
from thresholds.plan.path_training import PathFit, rescoring_trees, train_path
from thresholds.plan.study import Study
from thresholds.plan.training_data import FOLDS, TrainingData, folds
from thresholds.samples.from_answers import sample_from_answers as from_answers
from thresholds.samples.ground_truth import Known
from thresholds.samples.sample import Sample
from thresholds.shape import Shape
from thresholds.testing import COMPANION, KINDS, LABELS, synthetic_sample

pytestmark = pytest.mark.slow

COARSE = LookKind(Shape(3, 2))
FIRST, THEN = (COARSE,), (COARSE, ITSELF)
HELD = 30


class Fits(NamedTuple):
    """What is learned from a sample: a path, a longer one, and the gate between them."""

    training: TrainingData
    before: PathFit
    after: PathFit
    gate: Gate


@pytest.fixture(scope="module")
def sample() -> Sample:
    """90 photos alone and at 3x2, in one grouping."""
    return synthetic_sample(90, kinds=(ITSELF, COARSE), groupings=1)


def training_data(sample: Sample, metric: Metric = "ap50", held_out: int = HELD) -> TrainingData:
    """The training data of a sample whose last photos are held out."""
    training_photos = np.arange(len(sample) - held_out)
    return TrainingData(
        sample, quality_of(sample, metric), folds(len(sample), training_photos), sample.companions
    )


@pytest.fixture(scope="module")
def fits(sample: Sample) -> Fits:
    """All that is learned from the sample."""
    return fits_of(training_data(sample))


def fits_of(training: TrainingData) -> Fits:
    """Both paths and the gate between them, learned from this data."""
    before, after = train_path(training, FIRST), train_path(training, THEN)
    return Fits(training, before, after, train_gate(training, before, after))


def with_truth(sample: Sample, photo: int, objects: BoxArray) -> Sample:
    """The sample with other ground truth for a photo."""
    photo_objects = [sample.truth.of_photo(number) for number in range(len(sample))]
    photo_objects[photo] = objects
    return replace(sample, truth=BoxTable.from_photos(photo_objects))


def with_looks(sample: Sample, photo: int, other: int) -> Sample:
    """The sample with another photo's answers for a photo."""
    looks = {}
    for kind, groupings in sample.looks.items():
        photo_boxes = [groupings[0].of_photo(number) for number in range(len(sample))]
        photo_boxes[photo] = photo_boxes[other]
        looks[kind] = (BoxTable.from_photos(photo_boxes),)
    return replace(sample, looks=looks)


def probabilities(training: TrainingData, fit: PathFit, photo: int) -> tuple[Floats, Floats]:
    """The whole model's probabilities for a photo's boxes, and the scores of the photo's own
    rescored answer."""
    fused = fuse_boxes(training.looks(FIRST, 0), look_weights(FIRST, training.companions))
    features = box_features(fused)[fused.photos == photo]
    trees = rescoring_trees(training, FIRST)
    return logistic(trees(features)), fit.answers[0].table.of_photo(photo).scores


def test_training_photos_are_spread_evenly_over_folds() -> None:
    """Training photos are spread over the folds as evenly as possible; the others are in none."""
    fold_of_photo = folds(50, np.arange(0, 50, 2))
    assert (fold_of_photo[1::2] == -1).all()
    assert sorted(np.bincount(fold_of_photo[::2])) == [6, 6, 6, 7]
    assert len(np.bincount(fold_of_photo[::2])) == FOLDS
    assert not np.array_equal(fold_of_photo, folds(50, np.arange(0, 50, 2), seed=1))


def test_a_photos_own_truth_has_no_influence(sample: Sample, fits: Fits) -> None:
    """The scores of a photo's boxes come from models that have not seen the photo: other ground
    truth for it leaves them the same."""
    _, before, _, _ = fits
    photo = 7
    other = train_path(
        training_data(with_truth(sample, photo, sample.truth.of_photo(photo).take(slice(0, 0)))),
        FIRST,
    )
    assert (
        other.answers[0].table.of_photo(photo).scores.tolist()
        == before.answers[0].table.of_photo(photo).scores.tolist()
    )
    assert not np.array_equal(
        other.answers[0].table.boxes.scores, before.answers[0].table.boxes.scores
    )


def test_held_out_photos_have_no_influence(sample: Sample, fits: Fits) -> None:
    """A held-out photo changes nothing of the other photos' scores, nor of the cascade's models."""
    training, before, after, gate = fits
    changed = with_looks(with_truth(sample, 80, sample.truth.of_photo(70)), 80, 75)
    other = fits_of(training_data(changed))
    for path in (FIRST, THEN):
        assert rescoring_trees(other.training, path) == rescoring_trees(training, path)
    assert gain_trees(*other[:3]) == gain_trees(training, before, after)
    photos = training.photos
    assert np.array_equal(other.gate.gains[:, photos], gate.gains[:, photos])
    assert np.array_equal(other.before.answers[0].parts[photos], before.answers[0].parts[photos])
    assert fusion_of(other.training, {FIRST: other.before}) == fusion_of(training, {FIRST: before})


def test_held_out_photos_are_judged_as_in_service(fits: Fits) -> None:
    """A held-out photo has the scores that a gateway gives it with the cascade's model."""
    training, before, after, gate = fits
    joined = fuse_boxes(training.looks(FIRST, 0), [1.0])
    for photo in range(60, 90):
        chance, scores = probabilities(training, before, photo)
        fused_scores = joined.boxes.scores[joined.photos == photo]
        assert scores == pytest.approx(np.sort(np.sqrt(fused_scores * chance))[::-1], abs=1e-5)
    assert fusion_of(training, {FIRST: before}).weights == tuple(training.label_weights)
    trees = gain_trees(training, before, after)
    assert trees(before.gain_features[0, 60:]) == pytest.approx(gate.gains[0, 60:], abs=1e-5)


def fusion_of(training: TrainingData, paths: dict[Path, PathFit]) -> Fusion:
    """The fusion of a cascade that serves photos by all of these paths alike."""
    study = Study(training, Costs(), paths, {})
    learn_final(study, list(paths), [], jobs=1)
    scores = np.concatenate([fit.scores for fit in paths.values()])[:, 0]
    return learned_fusion(study, list(paths), scores)


def boxes_of(answers: PathAnswers, photos: Ints) -> tuple[BoxArray, Bools]:
    """The boxes of these photos, and which of them are true."""
    mask = np.isin(answers.table.photos, photos)
    return answers.table.boxes.take(mask), answers.positives[:, mask]


def test_the_mean_of_the_photos_parts_is_the_metric(fits: Fits) -> None:
    """The mean of the photos' parts is the metric, except for its envelope."""
    training, before, after, _ = fits
    for fit in (before, after):
        for each in (*fit.plain, *fit.answers):
            value = training.quality.value(*boxes_of(each, training.photos), training.photos)
            assert each.parts[training.photos].mean() == pytest.approx(value, abs=0.01)


def sample_with_telling_bytes() -> Sample:
    """Photos with one object each. Where a photo has many bytes per pixel the coarse look detects a
    wrong place, or, on one in four, nothing; alone, every object is detected."""
    rng = Random(1)
    facts, looks, truth = {}, {ITSELF: {}, COARSE: {}}, {}
    for number in range(480):
        photo, fine = str(number), number % 3 == 0
        facts[photo] = PhotoFacts(640, 480, 300_000 if fine else 60_000)
        cat = Detection("cat", 1.0, Box(0.1, 0.1, 0.5, 0.5))
        truth[photo] = Known([cat], frozenset({"cat"}))
        looks[ITSELF][photo] = [[replace(cat, score=rng.uniform(0.6, 0.9))]]
        wrong_place = replace(cat, score=rng.uniform(0.3, 0.9), box=Box(0.6, 0.6, 0.9, 0.9))
        right_place = replace(cat, score=rng.uniform(0.3, 0.9))
        looks[COARSE][photo] = [
            [wrong_place] if fine and number % 4 else [] if fine else [right_place]
        ]
    return from_answers(facts, looks, truth)


@pytest.fixture(scope="module")
def telling_fits() -> Fits:
    """All that is learned from photos whose bytes per pixel tell their losses."""
    return fits_of(training_data(sample_with_telling_bytes(), held_out=100))


def test_the_gate_expects_gains_where_bytes_tell_losses(telling_fits: Fits) -> None:
    """Where a fact of the photo tells what a coarse look loses, the gate expects a gain, and hardly
    any elsewhere."""
    training, _, _, gate = telling_fits
    fine = np.arange(len(training.sample)) % 3 == 0
    assert gate.gains[0, fine].min() > gate.gains[0, ~fine].max()
    assert gate.gains[0, fine].mean() > 0.5 > 5 * abs(gate.gains[0, ~fine].mean())


def test_rescoring_raises_the_metric(telling_fits: Fits) -> None:
    """Rescored boxes have a higher metric, on photos that no model has seen too: recognisable
    mistakes, here by their place, come after the true boxes."""
    training, before, _, _ = telling_fits
    for photos in (training.photos, np.flatnonzero(training.folds < 0)):
        plain, better = (
            training.quality.value(*boxes_of(each[0], photos), photos)
            for each in (before.plain, before.answers)
        )
        assert better > plain + 0.03


# -- companions


@pytest.fixture(scope="module")
def companion_data() -> TrainingData:
    """The training data of a sample with a companion."""
    return training_data(synthetic_sample(80, kinds=(*KINDS, COMPANION), companions=("free",)))


def test_labels_of_paid_providers_are_kept(companion_data: TrainingData) -> None:
    """The labels that a paid provider gives are the provider's labels."""
    names = [
        name
        for name, is_given in zip(
            companion_data.sample.labels, companion_data.provider_labels, strict=True
        )
        if is_given
    ]
    assert sorted(names) == sorted(LABELS)


def test_a_companions_other_name_becomes_an_alias(companion_data: TrainingData) -> None:
    """A companion's other name for objects in the same places is an alias; objects that only the
    companion detects have none."""
    names = companion_data.sample.labels
    aliases = {
        name: names[label]
        for name, label in zip(names, companion_data.aliases, strict=True)
        if names[label] != name
    }
    assert aliases == {"ox": "cow"}


def test_a_companions_looks_use_the_providers_labels(companion_data: TrainingData) -> None:
    """The companion's looks have the provider's labels, without those that the provider does not
    have."""
    names = companion_data.sample.labels
    labels = {
        names[label] for label in companion_data.looks((COMPANION, COARSE), 0)[0].boxes.labels
    }
    assert labels == set(LABELS)


def test_the_fusion_has_labels_and_aliases(companion_data: TrainingData) -> None:
    """The cascade's fusion has the provider's labels and the companion's aliases."""
    path = (COMPANION, COARSE)
    fusion = fusion_of(companion_data, {path: train_path(companion_data, path)})
    assert sorted(fusion.labels) == sorted(LABELS)
    assert fusion.aliases == {"ox": "cow"}
    assert fusion.companions == ("free",)
    assert list(fusion.rescore) == list(fusion.calibration) == ["free:1x1,3x2"]
    assert not fusion.verbatim


# -- agreement


@pytest.fixture(scope="module")
def agreement_data() -> TrainingData:
    """The training data of a sample without ground truth, by agreement."""
    return training_data(
        synthetic_sample(90, kinds=(ITSELF, COARSE), groupings=1, known=False), "agreement"
    )


def test_a_photo_asked_alone_agrees_with_itself(agreement_data: TrainingData) -> None:
    """A photo that is asked about alone agrees with itself after any earlier answers, as that
    answer is returned as it came."""
    answers = train_path(agreement_data, THEN)
    assert answers.answers[0].parts.tolist() == [1.0] * len(agreement_data.sample)
    assert fusion_of(agreement_data, {THEN: answers}).verbatim


def test_fusing_changes_the_answer_about_the_photo_alone(agreement_data: TrainingData) -> None:
    """Where answers are only fused, the one about the photo alone is changed by those before it."""
    assert train_path(agreement_data, THEN).plain[0].parts.mean() < 0.98
    assert train_path(agreement_data, (ITSELF,)).plain[0].parts.mean() == 1.0


def test_calibration_maps_scores_to_those_alone(agreement_data: TrainingData) -> None:
    """Scores are calibrated by a curve for each path, so that as many boxes as alone reach any
    threshold of a client."""
    coarse = train_path(agreement_data, FIRST)
    knots = fusion_of(agreement_data, {FIRST: coarse}).calibration["3x2"]
    calibrated = np.interp(coarse.scores[:, 0], *np.array(knots).T)
    for threshold in (0.5, 0.6, 0.7, 0.8):
        alone = (agreement_data.scores_alone >= threshold).sum()
        assert (calibrated >= threshold).sum() == pytest.approx(alone, rel=0.03)
        assert (coarse.scores[:, 0] >= threshold).sum() < 0.9 * alone


def test_against_a_second_look_no_answer_is_verbatim() -> None:
    """Measured against a second look, an answer about the photo alone is not right by definition:
    it is fused and rescored as any other."""
    sample = synthetic_sample(90, kinds=(ITSELF, COARSE), groupings=1, known=False, referenced=True)
    training = training_data(sample, "agreement")
    answers = train_path(training, THEN)
    assert 0.5 < answers.answers[0].parts.mean() < 1.0
    assert not fusion_of(training, {THEN: answers}).verbatim


def test_by_precision_one_curve_serves_all_paths(fits: Fits) -> None:
    """By precision, where scores of all paths are ranked together, one curve serves them all."""
    training, before, after, _ = fits
    curves = fusion_of(training, {FIRST: before, THEN: after}).calibration
    assert curves["3x2"] == curves["3x2,1x1"]


def test_boxes_that_are_all_objects_have_high_scores() -> None:
    """Where all boxes are objects, or none is, every box has about that probability."""
    alone = sample_with_telling_bytes().of_kinds(lambda kind: kind == ITSELF)
    fit = train_path(training_data(alone, held_out=100), (ITSELF,))
    assert (fit.answers[0].table.boxes.scores > 0.75).all()
