"""Average precision of answers, counted as COCO counts it, and their agreement."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from providers.detection import Box, Detection
from tests.support.detections import jittered, random_detection
from thresholds.metrics.agreement import agreement_by_label, mean_agreement, photo_agreement
from thresholds.metrics.average_precision import coco_average_precision

DOG = Detection("dog", 1.0, Box(0.1, 0.1, 0.5, 0.5))


def dog(score: float, box: Box = DOG.box, label: str = "dog") -> Detection:
    """A detection of the dog, or of another label or place."""
    return Detection(label, score, box)


def test_a_perfect_answer_has_a_precision_of_1() -> None:
    """An answer equal to the ground truth has a precision of 1, whatever its scores are."""
    assert coco_average_precision({"a": [DOG], "b": []}, {"a": [dog(0.01)]}) == (1.0, 1.0)


def test_no_detections_have_a_precision_of_0() -> None:
    """An answer without detections has a precision of 0; ground truth without objects is an error
    that says so."""
    assert coco_average_precision({"a": [DOG]}, {}) == (0.0, 0.0)
    with pytest.raises(ValueError, match="no objects"):
        coco_average_precision({"a": []}, {"a": [dog(0.9)]})


def test_a_false_detection_counts_only_before_true_ones() -> None:
    """A false detection before the true one halves the precision, and after it costs nothing."""
    elsewhere = Box(0.6, 0.6, 0.9, 0.9)
    assert coco_average_precision({"a": [DOG]}, {"a": [dog(0.5), dog(0.9, elsewhere)]}).ap50 == 0.5
    assert coco_average_precision({"a": [DOG]}, {"a": [dog(0.5), dog(0.4, elsewhere)]}).ap50 == 1.0


def test_labels_without_ground_truth_are_ignored() -> None:
    """Labels are compared in any case of letters, and labels that the ground truth never has are
    ignored."""
    assert (
        coco_average_precision(
            {"a": [DOG]}, {"a": [dog(0.5, label="Dog"), dog(0.9, label="cat")]}
        ).ap50
        == 1.0
    )


def test_a_label_not_covered_does_not_count() -> None:
    """If a photo's ground truth does not cover a label, detections of it there are neither right
    nor wrong."""
    truth, answers = {"a": [DOG], "b": []}, {"a": [dog(0.5)], "b": [dog(0.9)]}
    assert coco_average_precision(truth, answers).ap50 == 0.5
    assert (
        coco_average_precision(
            truth, answers, {"a": frozenset({"Dog"}), "b": frozenset({"cat"})}
        ).ap50
        == 1.0
    )


def test_detections_within_a_crowd_do_not_count() -> None:
    """Detections within a crowd are neither right nor wrong, unless they match an object."""
    crowd = [Detection("Dog", 1.0, Box(0.5, 0.0, 1.0, 1.0))]
    within, beside = Box(0.6, 0.6, 0.9, 0.9), Box(0.2, 0.6, 0.7, 0.9)
    answers = {"a": [dog(0.5), dog(0.9, within), dog(0.8, within)]}
    assert coco_average_precision({"a": [DOG]}, answers).ap50 == pytest.approx(1 / 3)
    assert coco_average_precision({"a": [DOG]}, answers, crowds={"a": crowd}) == (1.0, 1.0)
    assert (
        coco_average_precision(
            {"a": [DOG]}, {"a": [dog(0.5), dog(0.9, beside)]}, crowds={"a": crowd}
        ).ap50
        == 0.5
    )
    assert coco_average_precision({"a": [DOG]}, {"a": [dog(0.5)]}, crowds={"a": [DOG]}).ap50 == 1.0


def test_agreement_is_the_mean_f1_of_confident_boxes() -> None:
    """Agreement is the mean F1 of boxes that score 0.5 or more: fainter ones on either side do not
    count."""
    reference = {"a": [dog(0.9)], "b": [], "c": [dog(0.9)]}
    assert mean_agreement(
        reference, {"a": [dog(0.6)], "b": [dog(0.4)], "c": [dog(0.4)]}
    ) == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", range(5))
def test_precision_equals_that_of_cocos_own_tools(seed: int) -> None:
    """On random boxes the precision equals that of COCO's own evaluation tools."""
    rng = random.Random(seed)
    truth = {
        f"{n}": [random_detection(rng, 1.0) for _ in range(rng.randrange(5))] for n in range(40)
    }
    answers = {
        photo: [jittered(rng, each) for each in objects for _ in range(rng.randrange(3))]
        + [random_detection(rng, rng.random()) for _ in range(rng.randrange(4))]
        for photo, objects in truth.items()
    }
    precision = coco_average_precision(truth, answers)
    expected = coco_precision(truth, answers)
    assert precision == pytest.approx(expected, abs=1e-9)
    assert 0.05 < precision.mean < precision.ap50 < 0.95
    crowds = {photo: [large_detection(rng)] for photo in truth if rng.random() < 0.7}
    with_crowds = coco_average_precision(truth, answers, crowds=crowds)
    assert with_crowds == pytest.approx(coco_precision(truth, answers, crowds), abs=1e-9)
    assert with_crowds.ap50 > precision.ap50


def large_detection(rng: random.Random) -> Detection:
    """A crowd of a random label that covers 0.6 of each side."""
    x, y = rng.uniform(0, 0.4), rng.uniform(0, 0.4)
    return Detection(rng.choice(["dog", "cat", "cow", "owl"]), 1.0, Box(x, y, x + 0.6, y + 0.6))


def coco_precision(
    truth: Mapping[str, Sequence[Detection]],
    answers: Mapping[str, Sequence[Detection]],
    crowds: Mapping[str, Sequence[Detection]] | None = None,
) -> tuple[float, float]:
    """AP50 and mean average precision by faster-coco-eval, on photos of 1000 x 1000 pixels."""
    from faster_coco_eval import COCO, COCOeval_faster

    names = {"dog": 1, "cat": 2, "cow": 3, "owl": 4}

    def rows(by_photo: Mapping[str, Sequence[Detection]], crowd: int = 0) -> list[dict[str, Any]]:
        return [
            {
                "image_id": int(photo),
                "category_id": names[each.label],
                "score": each.score,
                "iscrowd": crowd,
                "bbox": [
                    1e3 * each.box.x0,
                    1e3 * each.box.y0,
                    1e3 * (each.box.x1 - each.box.x0),
                    1e3 * (each.box.y1 - each.box.y0),
                ],
                "area": 1e6 * each.box.area,
            }
            for photo, objects in by_photo.items()
            for each in objects
        ]

    images = [{"id": int(photo), "width": 1000, "height": 1000} for photo in truth]
    categories = [{"id": number, "name": name} for name, number in names.items()]
    annotations = [
        {**row, "id": number} for number, row in enumerate(rows(truth) + rows(crowds or {}, 1), 1)
    ]
    ground_truth = COCO({"images": images, "annotations": annotations, "categories": categories})
    evaluation = COCOeval_faster(
        ground_truth, ground_truth.loadRes(rows(answers)), "bbox", print_function=lambda *_: None
    )
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[1], evaluation.stats[0]


def test_agreement_by_label_includes_both_answers_labels() -> None:
    """A photo's agreement is split by the labels that either answer is confident of, in any case of
    letters."""
    reference = [dog(0.9, label="Cat"), dog(0.8, label="owl"), dog(0.4)]
    answer = [dog(0.6, label="cat"), dog(0.9, label="fox")]
    assert photo_agreement(reference, answer) == pytest.approx(0.5)
    assert agreement_by_label(reference, answer) == {"cat": 1, "owl": 0, "fox": 0}
    assert photo_agreement([], []) == 1
    assert agreement_by_label([], []) == {}
