"""What the rows of a run say of all its photos."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest

from gateway.batch.aggregate import (
    Aggregate,
    PhotoAnswer,
    RunPhotos,
    RunQuestions,
    control_means,
)
from providers.detection import Box, Detection
from thresholds.estimate.queries import parse_queries, parse_target
from thresholds.samples.ground_truth import Known

BOX = Box(0, 0, 1, 1)
PHOTOS = 4000
QUESTIONS = RunQuestions(parse_queries("share(car),mean(car),count(car),share(dog)"))


def cars(*scores: float) -> list[Detection]:
    return [Detection("car", score, BOX) for score in scores]


def known(*labels: str) -> Known:
    """The truth of a photo with these labels."""
    return Known([Detection(label, 1.0, BOX) for label in labels], frozenset({"car", "dog"}))


def run(count: int = PHOTOS, *, seed: int = 1) -> Iterator[PhotoAnswer]:
    """The rows of a run: one photo in five has two cars, of which a cheap stage is fairly sure."""
    rng = random.Random(seed)
    for position in range(count):
        has_cars = rng.random() < 0.2
        cheap = cars(rng.uniform(0.6, 0.9)) if has_cars else cars(rng.uniform(0, 0.3))
        found = cars(0.9, 0.8) if has_cars else []
        yield PhotoAnswer(f"{position}.jpg", position, found, cheap=cheap)


def aggregate_of(rows: Sequence[PhotoAnswer], photos: RunPhotos | None = None) -> Aggregate:
    aggregate = Aggregate(QUESTIONS, photos or RunPhotos(PHOTOS, order_is_random=True))
    for row in rows:
        aggregate.add(row)
    return aggregate


def test_estimates_are_of_all_photos() -> None:
    """Estimates and intervals are of all photos, in each query's own unit."""
    estimates = {each.query: each for each in aggregate_of(list(run())[:1000]).estimates()}
    share, mean = estimates["share(car)"], estimates["mean(car)"]
    assert share.low < 0.2 < share.high
    assert mean.value == pytest.approx(2 * share.value)
    assert estimates["count(car)"].value == pytest.approx(PHOTOS * mean.value)
    assert estimates["share(dog)"].value == 0
    assert 0 == estimates["share(dog)"].low < estimates["share(dog)"].high < 0.02


def test_a_whole_run_has_no_interval_left() -> None:
    """After the last photo the answer is that of all photos."""
    rows = list(run(300))
    share = aggregate_of(rows, RunPhotos(300, order_is_random=True)).estimates()[0]
    truth = sum(bool(row.detections) for row in rows) / 300
    assert (share.value, share.low, share.high) == pytest.approx((truth, truth, truth))


def test_early_rows_wait_for_those_before_them() -> None:
    """A row counts when all before it in the run's order have come: whatever comes first changes
    nothing."""
    rows = list(run(200))
    shuffled = random.Random(2).sample(rows, len(rows))
    assert aggregate_of(shuffled).estimates() == aggregate_of(rows).estimates()
    assert aggregate_of(rows[1:]).counted == 0
    assert aggregate_of(rows[1:]).estimates() == ()


def test_a_row_comes_once() -> None:
    """A position that has come already is refused, counted or early."""
    for first in (0, 5):
        aggregate = aggregate_of([PhotoAnswer("a.jpg", first)])
        with pytest.raises(ValueError, match=f"a.jpg: position {first} has come already"):
            aggregate.add(PhotoAnswer("a.jpg", first))


def test_failed_photos_count_as_empty() -> None:
    """A photo that failed counts as one on which nothing was found, and failures are counted."""
    aggregate = aggregate_of(
        [PhotoAnswer("a.jpg", 0, cars(0.9)), PhotoAnswer("b.jpg", 1, error="unreadable")]
    )
    assert aggregate.estimates()[0].value == 0.5
    assert aggregate.failed == 1


def test_another_order_has_no_intervals() -> None:
    """In an order that is not random there are estimates, but no intervals."""
    aggregate = aggregate_of(list(run())[:100], RunPhotos(PHOTOS, order_is_random=False))
    assert {(each.low, each.high, each.is_met) for each in aggregate.estimates()} == {(None,) * 3}


def test_a_target_ends_a_run() -> None:
    """A run is done when the interval of its target is narrow enough, and not before."""
    questions = RunQuestions((), parse_target("share(car) +- 0.05"))
    aggregate = Aggregate(questions, RunPhotos(PHOTOS, order_is_random=True))
    for row in run():
        aggregate.add(row)
        if aggregate.done():
            break
    (share,) = aggregate.estimates()
    assert share.is_met
    assert share.value - 0.05 <= share.low < share.high <= share.value + 0.05
    assert 100 < aggregate.counted < 2000


def test_a_cheap_stage_saves_photos() -> None:
    """With what a cheap stage said of all photos, a fraction of them gives the same interval."""
    questions = RunQuestions((), parse_target("share(car) +- 0.02"))
    means = control_means(questions, [(row.key, row.cheap) for row in run()])
    needed = []
    for photos in (RunPhotos(PHOTOS, True), RunPhotos(PHOTOS, True, control_means=means)):
        aggregate = Aggregate(questions, photos)
        for row in run():
            aggregate.add(row)
            if row.position % 10 == 0 and aggregate.done():
                break
        needed.append(aggregate.counted)
    assert 2 * needed[1] < needed[0]


def test_accuracy_is_of_answers_with_a_truth() -> None:
    """Accuracy is the share of photos whose best label is true; failures are wrong."""
    truth = {"a.jpg": known("car"), "b.jpg": known("dog"), "c.jpg": known()}
    aggregate = Aggregate(RunQuestions(parse_queries("accuracy")), RunPhotos(3, True, truth))
    for position, key in enumerate(truth):
        error = "unreadable" if key == "c.jpg" else ""
        aggregate.add(PhotoAnswer(key, position, cars(0.9) if not error else (), error))
    assert aggregate.estimates()[0].value == pytest.approx(1 / 3)


def test_a_truth_that_nothing_asks_for_may_be_partial() -> None:
    """Without accuracy a photo needs no truth."""
    aggregate = Aggregate(QUESTIONS, RunPhotos(10, True, {"a.jpg": known()}))
    aggregate.add(PhotoAnswer("b.jpg", 0, cars(0.9)))
    assert aggregate.estimates()[0].value == 1


def test_questions_without_an_answer_are_refused() -> None:
    """A target in no random order, accuracy without a truth or of a photo without one, and means
    of no photos are refused, with the reason."""
    target = RunQuestions((), parse_target("share(car) +- 0.05"))
    with pytest.raises(ValueError, match="needs photos in random order"):
        Aggregate(target, RunPhotos(10, order_is_random=False))
    accuracy = RunQuestions(parse_queries("accuracy"))
    with pytest.raises(ValueError, match="accuracy needs the photos' true labels"):
        Aggregate(accuracy, RunPhotos(10, True))
    with pytest.raises(ValueError, match=r"b\.jpg: has no truth"):
        Aggregate(accuracy, RunPhotos(10, True, {"a.jpg": known()})).add(PhotoAnswer("b.jpg", 0))
    with pytest.raises(ValueError, match="at least one"):
        control_means(target, [])
