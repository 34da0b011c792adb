"""The measures of answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from providers.detection import Detection
from tests.support.detections import detection
from thresholds.fusion.arrays import Bools, BoxTable, Floats
from thresholds.fusion.looks import ITSELF, LookKind, PhotoFacts
from thresholds.metrics.agreement import label_agreement, mean_agreement
from thresholds.metrics.average_precision import coco_average_precision
from thresholds.metrics.quality import METRICS, MIN_OBJECTS, Metric, Quality, quality_of
from thresholds.samples.from_answers import sample_from_answers
from thresholds.samples.sample import Sample
from thresholds.testing import KINDS, synthetic_sample

COARSE = KINDS[-1]


@pytest.fixture(scope="module")
def sample() -> Sample:
    """80 photos with ground truth."""
    return synthetic_sample(80)


def countable(quality: Quality, sample: Sample, kind: LookKind) -> tuple[BoxTable, Bools]:
    """Detections that count, and which of them are true."""
    table = quality.countable(sample.look(kind, 0).by_score())
    return table, quality.positives(table)


def f1_parts(quality: Quality, sample: Sample, kind: LookKind) -> Floats:
    """Each photo's part in an F1 metric."""
    table, true = countable(quality, sample, kind)
    return quality.agreements(np.diff(table.starts), true, np.arange(len(sample)))


def mean_f1(quality: Quality, sample: Sample, kind: LookKind) -> float:
    """An F1 metric of all answers of that kind."""
    return float(f1_parts(quality, sample, kind).mean())


def detections_by_photo(sample: Sample, boxes: BoxTable) -> dict[str, list[Detection]]:
    """The boxes as detections, by photo, as `coco_average_precision` and `mean_agreement` take
    them."""
    return {str(photo): sample.detections(boxes.of_photo(photo)) for photo in range(len(sample))}


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("metric", ["ap50", "map"])
def test_the_metric_of_arrays_equals_that_of_detections(
    sample: Sample, metric: Metric, kind: LookKind
) -> None:
    """The metric over arrays equals the one over detections."""
    quality = quality_of(sample, metric)
    table, true = countable(quality, sample, kind)
    value = quality.value(table.boxes, true, np.arange(len(sample)))
    expected = coco_average_precision(
        detections_by_photo(sample, sample.truth), detections_by_photo(sample, sample.look(kind, 0))
    )
    assert value == pytest.approx(expected.ap50 if metric == "ap50" else expected.mean)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_agreement_is_f1_with_the_answer_alone(sample: Sample, kind: LookKind) -> None:
    """Agreement is F1 with the provider's own answer about the photo alone, of confident boxes,
    photo by photo."""
    quality = quality_of(sample, "agreement")
    agreements = f1_parts(quality, sample, kind)
    assert agreements.mean() == pytest.approx(
        mean_agreement(
            detections_by_photo(sample, sample.look(ITSELF, 0)),
            detections_by_photo(sample, sample.look(kind, 0)),
        )
    )
    assert kind != ITSELF or agreements.tolist() == [1.0] * len(sample)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_mean_of_weighted_contributions_is_the_metric(sample: Sample, kind: LookKind) -> None:
    """The weighted contributions of a photo's boxes are its part in the metric: their mean is the
    metric, except for its envelope."""
    quality, photos = quality_of(sample, "ap50"), np.arange(len(sample))
    table, true = countable(quality, sample, kind)
    boxes = table.boxes
    (ranking,) = quality.rankings(boxes, true)
    parts = ranking.contributions(boxes, true[0]) * quality.label_weights(photos)[boxes.labels]
    assert parts.sum() / len(photos) == pytest.approx(quality.value(boxes, true, photos), abs=0.02)


def test_a_label_not_covered_does_not_count(sample: Sample) -> None:
    """Detections of a label that a photo's ground truth does not cover do not count there."""
    quality = quality_of(sample, "ap50")
    covered = quality.covered.copy()
    covered[0, 1] = False
    table = sample.look(ITSELF, 0)
    boxes = table.boxes.with_labels(np.resize([0, 1], len(table.boxes)))
    narrower = type(quality)("ap50", quality.objects, covered)
    counted = narrower.countable(BoxTable(table.starts, boxes))
    assert set(counted.of_photo(0).labels) == {0}
    assert set(counted.of_photo(1).labels) == {0, 1}


def test_rarer_labels_weigh_more(sample: Sample) -> None:
    """A label's objects weigh more if there are fewer of them; a label without objects weighs
    nothing."""
    quality, photos = quality_of(sample, "ap50"), np.arange(len(sample))
    objects, weights = quality.object_counts(photos), quality.label_weights(photos)
    assert objects.sum() == len(sample.truth.boxes)
    assert (weights * objects).sum() == pytest.approx(len(sample))
    few = np.arange(2)
    has_objects = quality.object_counts(few) > 0
    assert (quality.label_weights(few) > 0).tolist() == has_objects.tolist()
    assert quality.training_weights(few).shape == has_objects.shape


def test_training_weights_differ_by_square_roots(sample: Sample) -> None:
    """For training, weights differ by their square roots, and a label with hardly any objects
    weighs no more than one with a few."""
    quality, photos = quality_of(sample, "ap50"), np.arange(len(sample))
    exact, training = quality.label_weights(photos), quality.training_weights(photos)
    has_objects = exact > 0
    assert training[has_objects] == pytest.approx(
        np.sqrt(exact[has_objects] / exact[has_objects].mean())
    )
    one = np.array([0])
    weights = quality.label_weights(one, min_objects=MIN_OBJECTS)
    assert len(set(weights[quality.object_counts(one) > 0])) == 1


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("known", "referenced", "source"),
    [
        (True, True, "truth"),
        (True, False, "truth"),
        (False, True, "reference"),
        (False, False, "alone"),
    ],
)
def test_ground_truth_counts_except_for_agreement(
    metric: Metric, known: bool, referenced: bool, source: str
) -> None:
    """Ground truth counts where there is any, except for agreement; otherwise the confident boxes
    of the reference look, and without one those of the answers alone."""
    quality = quality_of(synthetic_sample(20, known=known, referenced=referenced), metric)
    if metric == "agreement":
        source = "reference" if referenced else "alone"
    assert quality.source == source


@pytest.mark.parametrize("referenced", [True, False])
def test_without_ground_truth_confident_boxes_are_the_objects(referenced: bool) -> None:
    """Without ground truth the objects are the boxes of a look alone that reach the client's
    threshold."""
    sample = synthetic_sample(20, known=False, referenced=referenced)
    scores = sample.reference_look.table.boxes.scores
    for min_score in (0.5, 0.7):
        quality = quality_of(sample, "agreement", min_score)
        assert len(quality.objects.boxes) == (scores >= min_score).sum() > 0


@pytest.mark.parametrize("metric", ["agreement", "labels"])
def test_an_answer_alone_agrees_with_a_second_look_to_a_degree(metric: Metric) -> None:
    """Measured against a second look, the answer alone is not perfect: that is the noise floor."""
    sample = synthetic_sample(200, known=False, referenced=True)
    assert 0.9 < mean_f1(quality_of(sample, metric), sample, ITSELF) < 0.995
    unreferenced = replace(sample, reference=None)
    assert mean_f1(quality_of(unreferenced, metric), unreferenced, ITSELF) == 1.0


@pytest.mark.parametrize("metric", ["agreement", "labels"])
def test_another_look_of_the_same_kind_loses_nothing(metric: Metric) -> None:
    """Answers that are as good as those alone, and differ by chance, lose nothing in expectation
    against a second look; against the answers alone they would."""
    twin = LookKind(ITSELF.shape, "twin")
    sample = synthetic_sample(1500, kinds=(ITSELF, twin), known=False, referenced=True)
    quality = quality_of(sample, metric)
    parts = {kind: f1_parts(quality, sample, kind) for kind in (ITSELF, twin)}
    drops = parts[ITSELF] - parts[twin]
    assert abs(drops.mean()) < 3 * drops.std() / np.sqrt(len(drops)) < 0.03
    unreferenced = replace(sample, reference=None)
    assert mean_f1(quality_of(unreferenced, metric), unreferenced, twin) < 0.99


def test_sets_of_labels_are_compared_wherever_their_boxes_lie() -> None:
    """For labels, a photo's score is the F1 of two sets of labels: boxes and their number do not
    count, nor do labels under the client's threshold."""
    near, far = (0.0, 0.0, 0.4, 0.4), (0.6, 0.6, 1.0, 1.0)
    answers = [detection("cat", 0.9, *near), detection("cat", 0.8, *far), detection("dog", 0.6)]
    looks = [detection("cat", 0.7, *far), detection("cow", 0.9), detection("dog", 0.4)]
    sample = sample_from_answers(
        {"a": PhotoFacts(640, 480, 1000)}, {ITSELF: {"a": [answers]}}, reference={"a": [looks]}
    )
    assert mean_f1(quality_of(sample, "labels", 0.5), sample, ITSELF) == pytest.approx(2 / 4)
    assert mean_f1(quality_of(sample, "labels", 0.3), sample, ITSELF) == pytest.approx(4 / 5)
    assert mean_f1(quality_of(sample, "labels", 0.8), sample, ITSELF) == pytest.approx(0)
    for min_score in (0.3, 0.5, 0.8):
        assert mean_f1(quality_of(sample, "labels", min_score), sample, ITSELF) == pytest.approx(
            label_agreement(looks, answers, min_score)
        )


def test_two_empty_sets_of_labels_agree() -> None:
    """Two answers without a label agree, in any spelling of their labels."""
    assert label_agreement([], [detection("cat", 0.2)]) == 1.0
    assert label_agreement([detection("Cat", 0.9)], [detection("cat", 0.9)]) == 1.0


@pytest.mark.parametrize("known", [True, False])
def test_a_metric_needs_answers_alone(known: bool) -> None:
    """Without answers alone no metric can compare, even with ground truth, and the error says what
    to do."""
    for metric in METRICS:
        with pytest.raises(ValueError, match="add 1x1 to --shapes"):
            quality_of(synthetic_sample(5, kinds=KINDS[1:], known=known), metric)


def test_precision_needs_ground_truth_with_objects() -> None:
    """Ground truth without objects gives no precision, and the error names the metric to take."""
    empty = synthetic_sample(4)
    objectless = type(empty)(
        **{
            **empty.__dict__,
            "truth": BoxTable.from_photos([empty.truth.boxes.take(slice(0, 0))] * 4),
        }
    )
    with pytest.raises(ValueError, match="--metric agreement"):
        quality_of(objectless, "map")
