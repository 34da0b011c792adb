"""How good answers are, counted as COCO counts it."""

from __future__ import annotations

import random

import pytest

from providers.detection import Box, Detection
from thresholds.metrics.agreement import agreement_by_label, mean_agreement, photo_agreement
from thresholds.metrics.average_precision import coco_average_precision

DOG = Detection("dog", 1.0, Box(0.1, 0.1, 0.5, 0.5))


def found(score, box=DOG.box, label="dog"):
    return Detection(label, score, box)


def test_perfect() -> None:
    """An answer that is the truth has a precision of 1, whatever its scores."""
    assert coco_average_precision({"a": [DOG], "b": []}, {"a": [found(0.01)]}) == (1.0, 1.0)


def test_nothing() -> None:
    """No answer has none; a truth without objects says so."""
    assert coco_average_precision({"a": [DOG]}, {}) == (0.0, 0.0)
    with pytest.raises(ValueError, match="no objects"):
        coco_average_precision({"a": []}, {"a": [found(0.9)]})


def test_false_first() -> None:
    """A false detection before the true one halves the precision, after it costs nothing."""
    elsewhere = Box(0.6, 0.6, 0.9, 0.9)
    assert (
        coco_average_precision({"a": [DOG]}, {"a": [found(0.5), found(0.9, elsewhere)]}).ap50 == 0.5
    )
    assert (
        coco_average_precision({"a": [DOG]}, {"a": [found(0.5), found(0.4, elsewhere)]}).ap50 == 1.0
    )


def test_strange_label() -> None:
    """Labels are equal whatever their case; one that the truth never has is not looked at."""
    assert (
        coco_average_precision(
            {"a": [DOG]}, {"a": [found(0.5, label="Dog"), found(0.9, label="cat")]}
        ).ap50
        == 1.0
    )


def test_unspoken_label() -> None:
    """Where a photo's truth does not speak of a label, what is found of it there is neither right
    nor wrong."""
    truth, answers = {"a": [DOG], "b": []}, {"a": [found(0.5)], "b": [found(0.9)]}
    assert coco_average_precision(truth, answers).ap50 == 0.5
    assert (
        coco_average_precision(
            truth, answers, {"a": frozenset({"Dog"}), "b": frozenset({"cat"})}
        ).ap50
        == 1.0
    )


def test_crowd() -> None:
    """What lies within a crowd is neither right nor wrong, whatever else lies there; but it may
    find an object."""
    crowd = [Detection("Dog", 1.0, Box(0.5, 0.0, 1.0, 1.0))]
    within, beside = Box(0.6, 0.6, 0.9, 0.9), Box(0.2, 0.6, 0.7, 0.9)
    answers = {"a": [found(0.5), found(0.9, within), found(0.8, within)]}
    assert coco_average_precision({"a": [DOG]}, answers).ap50 == pytest.approx(1 / 3)
    assert coco_average_precision({"a": [DOG]}, answers, crowds={"a": crowd}) == (1.0, 1.0)
    assert (
        coco_average_precision(
            {"a": [DOG]}, {"a": [found(0.5), found(0.9, beside)]}, crowds={"a": crowd}
        ).ap50
        == 0.5
    )
    assert (
        coco_average_precision({"a": [DOG]}, {"a": [found(0.5)]}, crowds={"a": [DOG]}).ap50 == 1.0
    )


def test_agreement() -> None:
    """Agreement is the mean F1 of what scores 0.5 or more: faint boxes on either side do not
    count."""
    reference = {"a": [found(0.9)], "b": [], "c": [found(0.9)]}
    assert mean_agreement(
        reference, {"a": [found(0.6)], "b": [found(0.4)], "c": [found(0.4)]}
    ) == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", range(5))
def test_as_coco(seed: int) -> None:
    """On boxes by chance it comes out as the evaluation of COCO's own tools."""
    rng = random.Random(seed)
    truth = {f"{n}": [thing(rng, 1.0) for _ in range(rng.randrange(5))] for n in range(40)}
    answers = {
        photo: [moved(rng, each) for each in objects for _ in range(rng.randrange(3))]
        + [thing(rng, rng.random()) for _ in range(rng.randrange(4))]
        for photo, objects in truth.items()
    }
    mine = coco_average_precision(truth, answers)
    theirs = coco(truth, answers)
    assert mine == pytest.approx(theirs, abs=1e-9)
    assert 0.05 < mine.mean < mine.ap50 < 0.95
    crowds = {photo: [large(rng)] for photo in truth if rng.random() < 0.7}
    without = coco_average_precision(truth, answers, crowds=crowds)
    assert without == pytest.approx(coco(truth, answers, crowds), abs=1e-9)
    assert without.ap50 > mine.ap50


def thing(rng, score):
    x, y = rng.uniform(0, 0.7), rng.uniform(0, 0.7)
    box = Box(x, y, x + rng.uniform(0.1, 0.3), y + rng.uniform(0.1, 0.3))
    return Detection(rng.choice(["dog", "cat", "cow"]), score, box)


def large(rng):
    x, y = rng.uniform(0, 0.4), rng.uniform(0, 0.4)
    return Detection(rng.choice(["dog", "cat", "cow", "owl"]), 1.0, Box(x, y, x + 0.6, y + 0.6))


def moved(rng, each):
    return Detection(
        each.label, rng.random(), Box(*(side + rng.uniform(-0.04, 0.04) for side in each.box))
    )


def coco(truth, answers, crowds=None):
    """The same by faster-coco-eval, on photos of 1000 x 1000 pixels."""
    from faster_coco_eval import COCO, COCOeval_faster

    names = {"dog": 1, "cat": 2, "cow": 3, "owl": 4}

    def rows(by_photo, crowd=0):
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
    known = COCO({"images": images, "annotations": annotations, "categories": categories})
    evaluation = COCOeval_faster(
        known, known.loadRes(rows(answers)), "bbox", print_function=lambda *_: None
    )
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[1], evaluation.stats[0]


def test_likeness() -> None:
    """One photo's agreement, and that of each label that either answer is sure of, whatever its
    case."""
    reference = [found(0.9, label="Cat"), found(0.8, label="owl"), found(0.4)]
    answer = [found(0.6, label="cat"), found(0.9, label="fox")]
    assert photo_agreement(reference, answer) == pytest.approx(0.5)
    assert agreement_by_label(reference, answer) == {"cat": 1, "owl": 0, "fox": 0}
    assert photo_agreement([], []) == 1
    assert agreement_by_label([], []) == {}
