"""What answers say about queries."""

from __future__ import annotations

from providers.detection import Box, Detection
from thresholds.estimate.measures import Measures
from thresholds.estimate.queries import Query
from thresholds.samples.ground_truth import Known

BOX = Box(0, 0, 1, 1)
QUERIES = (Query("share", "Car"), Query("mean", "car", 4), Query("accuracy"))


def cars(*scores: float) -> list[Detection]:
    return [Detection("car", score, BOX) for score in scores]


def test_objects_that_score_enough_count() -> None:
    """A photo has a label, or so many objects of the cap, by detections that score enough."""
    measures = Measures(QUERIES, 0.5)
    assert measures.values(cars(0.9, 0.5, 0.4)).tolist()[:2] == [1, 0.5]
    assert measures.values(cars(0.4)).tolist()[:2] == [0, 0]


def test_objects_count_up_to_the_cap() -> None:
    """More objects than the cap count as many as the cap."""
    assert Measures(QUERIES, 0.5).values(cars(*[0.9] * 7)).tolist()[:2] == [1, 1]


def test_controls_use_low_scores_too() -> None:
    """A control is the highest score, or the sum of scores as a share of the cap."""
    controls = Measures(QUERIES, 0.5).controls(cars(0.25, 0.75, 0.5)).tolist()
    assert controls[:2] == [0.75, 1.5 / 4]


def known(*labels: str) -> Known:
    """A truth that speaks of four labels, of which the photo has some."""
    objects = [Detection(label, 1.0, BOX) for label in labels]
    return Known(objects, frozenset({"car", "Bus", "dog", "cat"}))


def test_an_answer_is_right_by_its_best_label() -> None:
    """An answer is right where its best label, of those that the truth speaks of, is true."""
    measures = Measures(QUERIES, 0.5)
    answer = [*cars(0.6), Detection("bus", 0.9, BOX), Detection("tree", 0.95, BOX)]
    assert measures.values(answer, known("Bus", "dog"))[2] == 1
    assert measures.values(answer, known("car"))[2] == 0


def test_an_empty_answer_is_right_about_an_empty_photo() -> None:
    """Where the truth has no label, an answer is right without a detection that counts."""
    measures = Measures(QUERIES, 0.5)
    assert measures.values(cars(0.4), known())[2] == 1
    assert measures.values(cars(0.6), known())[2] == 0
    assert measures.values([], known("car"))[2] == 0
