"""What answers are measured by."""

from __future__ import annotations

import numpy as np
import pytest

from thresholds.fusion.arrays import BoxTable
from thresholds.fusion.looks import ITSELF, LookKind
from thresholds.metrics.agreement import mean_agreement
from thresholds.metrics.average_precision import coco_average_precision
from thresholds.metrics.quality import METRICS, MIN_OBJECTS, quality_of
from thresholds.samples.sample import Sample
from thresholds.testing import KINDS, synthetic_sample

COARSE = KINDS[-1]


@pytest.fixture(scope="module")
def sample() -> Sample:
    return synthetic_sample(80)


def counted(measured, sample, kind, grouping=0):
    """Detections that count, by photo, and which of them are true."""
    boxes = sample.look(kind, grouping)
    orders = [boxes.of_photo(photo) for photo in range(len(sample))]
    found = [
        measured.countable(each.take(np.argsort(-each.scores)), photo)
        for photo, each in enumerate(orders)
    ]
    return found, np.concatenate(
        [measured.positives(each, photo) for photo, each in enumerate(found)], axis=1
    )


def told(sample, boxes):
    """By photo, as `coco_average_precision` and `mean_agreement` take it."""
    return {str(photo): sample.detections(boxes.of_photo(photo)) for photo in range(len(sample))}


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("metric", ["ap50", "map"])
def test_value(sample: Sample, metric: str, kind: LookKind) -> None:
    """The metric over arrays is the one over detections."""
    measured = quality_of(sample, metric)
    found, true = counted(measured, sample, kind)
    value = measured.value(BoxTable.from_photos(found).boxes, true, np.arange(len(sample)))
    wanted = coco_average_precision(told(sample, sample.truth), told(sample, sample.look(kind, 0)))
    assert value == pytest.approx(wanted.ap50 if metric == "ap50" else wanted.mean)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_agreement(sample: Sample, kind: LookKind) -> None:
    """Agreement is F1 with the provider's own answer about the photo alone, of what is sure, photo
    by photo."""
    measured = quality_of(sample, "agreement")
    found, true = counted(measured, sample, kind)
    each = measured.agreements(np.array([len(own) for own in found]), true, np.arange(len(sample)))
    assert each.mean() == pytest.approx(
        mean_agreement(told(sample, sample.look(ITSELF, 0)), told(sample, sample.look(kind, 0)))
    )
    assert kind != ITSELF or each.tolist() == [1.0] * len(sample)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_parts_are_the_metric(sample: Sample, kind: LookKind) -> None:
    """Weighted, worths of a photo's boxes are its part in the metric: their mean is the metric, but
    for its envelope."""
    measured, photos = quality_of(sample, "ap50"), np.arange(len(sample))
    found, true = counted(measured, sample, kind)
    boxes = BoxTable.from_photos(found).boxes
    (ranking,) = measured.rankings(boxes, true)
    parts = ranking.contributions(boxes, true[0]) * measured.label_weights(photos)[boxes.labels]
    assert parts.sum() / len(photos) == pytest.approx(measured.value(boxes, true, photos), abs=0.02)


def test_labels_not_spoken_of(sample: Sample) -> None:
    """What is found of a label that a photo's truth does not speak of does not count there."""
    measured = quality_of(sample, "ap50")
    known = measured.covered.copy()
    known[0, 1] = False
    found = (
        sample.look(ITSELF, 0)
        .of_photo(0)
        .with_labels(np.array([0, 1] * 20)[: len(sample.look(ITSELF, 0).of_photo(0))])
    )
    assert set(type(measured)("ap50", measured.objects, known).countable(found, 0).labels) <= {0}


def test_weights(sample: Sample) -> None:
    """A label's objects weigh the more the fewer there are; one that there are none of weighs
    nothing."""
    measured, photos = quality_of(sample, "ap50"), np.arange(len(sample))
    objects, weights = measured.object_counts(photos), measured.label_weights(photos)
    assert objects.sum() == len(sample.truth.boxes)
    assert (weights * objects).sum() == pytest.approx(len(sample))
    few = np.arange(2)
    there = measured.object_counts(few) > 0
    assert (measured.label_weights(few) > 0).tolist() == there.tolist()
    assert measured.training_weights(few).shape == there.shape


def test_tamed(sample: Sample) -> None:
    """For learning, weights differ by their square roots, and a label of hardly any objects weighs
    no more than one of a few."""
    measured, photos = quality_of(sample, "ap50"), np.arange(len(sample))
    exact, tamed = measured.label_weights(photos), measured.training_weights(photos)
    there = exact > 0
    assert tamed[there] == pytest.approx(np.sqrt(exact[there] / exact[there].mean()))
    one = np.array([0])
    weights = measured.label_weights(one, min_objects=MIN_OBJECTS)
    assert len(set(weights[measured.object_counts(one) > 0])) == 1


@pytest.mark.parametrize("metric", METRICS)
def test_by_the_truth_or_alone(metric: str) -> None:
    """Where there is ground truth it counts, but for agreement; without, the answers alone that are
    sure."""
    for known in (True, False):
        sample = synthetic_sample(20, known=known)
        measured = quality_of(sample, metric)
        if known and metric != "agreement":
            assert measured.objects is sample.truth
        else:
            alone = sample.look(ITSELF, 0).boxes
            assert len(measured.objects.boxes) == (alone.scores >= 0.5).sum()


@pytest.mark.parametrize("known", [True, False])
def test_nothing_to_compare_with(known: bool) -> None:
    """Without answers alone there is nothing to compare with, even where there is a truth, and it
    says what to do."""
    for metric in METRICS:
        with pytest.raises(ValueError, match="add 1x1 to --shapes"):
            quality_of(synthetic_sample(5, kinds=KINDS[1:], known=known), metric)


def test_truth_without_objects() -> None:
    """A truth without any object gives no precision, and it says what to take."""
    empty = synthetic_sample(4)
    nothing = type(empty)(
        **{
            **empty.__dict__,
            "truth": BoxTable.from_photos([empty.truth.boxes.take(slice(0, 0))] * 4),
        }
    )
    with pytest.raises(ValueError, match="--metric agreement"):
        quality_of(nothing, "map")
