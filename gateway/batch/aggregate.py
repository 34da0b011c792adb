"""Running answers: what the rows of a run so far say of all its photos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from providers.detection import Detection
from thresholds.estimate.mean_sequences import MeanSequences, Population
from thresholds.estimate.measures import Measures
from thresholds.estimate.queries import PrecisionTarget, Query
from thresholds.fusion.arrays import Floats
from thresholds.samples.ground_truth import Known

BLOCK = 64
"""Rows that are added at once, which takes a hundredth of the time of one by one."""
PHOTOS_PER_LOOK = 100
"""A target is looked at again when there is one photo more for each so many."""
DELTA = 0.05
MIN_SCORE = 0.5

Truth = Mapping[str, Known]
"""The true labels of each photo, by its key."""


class PhotoAnswer(NamedTuple):
    """The answer about one photo of a run. `position` is its place in the run's order, from 0;
    `cheap` what the run's cheap stage says of it, None where there is no such stage or it failed.
    """

    key: str
    position: int
    detections: Sequence[Detection] = ()
    error: str = ""
    cheap: Sequence[Detection] | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate of a query for all photos. `low` and `high` are None where photos come in no
    random order; `is_met` says whether the run's target is met, None of another query."""

    query: str
    value: float
    low: float | None = None
    high: float | None = None
    is_met: bool | None = None


class RunQuestions(NamedTuple):
    """What is asked of a run: queries, and the target that ends it. Detections of less than
    `min_score` do not count, and an interval leaves out the truth with a probability of at most
    `delta`."""

    queries: tuple[Query, ...]
    target: PrecisionTarget | None = None
    min_score: float = MIN_SCORE
    delta: float = DELTA

    @property
    def all_queries(self) -> tuple[Query, ...]:
        """The queries, and the target's where it is none of them."""
        if self.target is None or self.target.query in self.queries:
            return self.queries
        return (*self.queries, self.target.query)

    @property
    def needs_truth(self) -> bool:
        return any(query.kind == "accuracy" for query in self.all_queries)

    def truth_of(self, key: str, truth: Truth | None) -> Known | None:
        """The truth of a photo, None where no query needs it. Raises ValueError where it is not
        among those given."""
        if not self.needs_truth:
            return None
        if truth is None or key not in truth:
            raise ValueError(f"{key}: has no truth; accuracy is over photos that all have one")
        return truth[key]


class RunPhotos(NamedTuple):
    """The photos of a run: their number, whether they come in random order, their true labels
    where these are known, and what a cheap stage said of all of them (`control_means`)."""

    photos: int
    order_is_random: bool
    truth: Truth | None = None
    control_means: Floats | None = None


class Aggregate:
    """Holds what was seen of each query, and rows that came before others ahead of them.

    A row counts when all before it in the run's order have come: those that come first are the
    quick ones, not random ones. A photo that failed counts as one on which nothing was found, and
    whose answer is wrong.
    """

    def __init__(self, questions: RunQuestions, run: RunPhotos) -> None:
        """Raises ValueError where a target is set and the order is not random, or where accuracy is
        asked for without a truth."""
        _check(questions, run)
        self._questions, self._run = questions, run
        self._queries = questions.all_queries
        self._measures = Measures(self._queries, questions.min_score)
        population = Population(run.photos, run.control_means)
        self._sequences = MeanSequences(len(self._queries), population)
        self._early: dict[int, PhotoAnswer] = {}
        self._next_position = 0
        self._values, self._controls = list[Floats](), list[Floats]()
        self._is_done, self._next_look = False, 1
        self.failed = 0

    def add(self, answer: PhotoAnswer) -> None:
        """Takes a row. Raises ValueError where its position has come already, or its photo has no
        truth that accuracy needs."""
        if answer.position < self._next_position or answer.position in self._early:
            raise ValueError(f"{answer.key}: position {answer.position} has come already")
        self._early[answer.position] = answer
        while (following := self._early.pop(self._next_position, None)) is not None:
            self._next_position += 1
            self._measure(following)

    @property
    def counted(self) -> int:
        """The number of rows that the estimates are from."""
        return self._next_position

    def estimates(self) -> tuple[Estimate, ...]:
        """The estimates as of now, one a query; none before the first row counts."""
        self._flush()
        if not self._sequences.count:
            return ()
        intervals = self._sequences.intervals(self._questions.delta)
        rows = zip(self._queries, *(side.tolist() for side in intervals), strict=True)
        return tuple(self._estimate(query, *sides) for query, *sides in rows)

    def done(self) -> bool:
        """Whether the target has been met. It is looked at again after 1 % more photos, so that
        this may be asked after each."""
        is_due = self.counted >= min(self._next_look, self._run.photos)
        if self._questions.target is not None and is_due and not self._is_done:
            self._next_look = self.counted + max(self.counted // PHOTOS_PER_LOOK, 1)
            self._is_done = any(estimate.is_met for estimate in self.estimates())
        return self._is_done

    def _estimate(self, query: Query, mean: float, low: float, high: float) -> Estimate:
        scale, target = query.scale(self._run.photos), self._questions.target
        if not self._run.order_is_random:
            return Estimate(str(query), mean * scale)
        sides = mean * scale, low * scale, high * scale
        is_met = target.is_met(*sides) if target and target.query == query else None
        return Estimate(str(query), *sides, is_met)

    def _measure(self, answer: PhotoAnswer) -> None:
        truth = self._questions.truth_of(answer.key, self._run.truth)
        if answer.error:
            self.failed += 1
            self._values.append(np.zeros(len(self._queries)))
        else:
            self._values.append(self._measures.values(answer.detections, truth))
        if self._run.control_means is not None:
            self._controls.append(_control(self._measures, answer.cheap, truth))
        if len(self._values) >= BLOCK:
            self._flush()

    def _flush(self) -> None:
        """Adds the rows that wait for others to be added with."""
        if self._values:
            controls = np.array(self._controls) if self._controls else None
            self._sequences.add(np.array(self._values), controls)
            self._values, self._controls = [], []


def control_means(
    questions: RunQuestions,
    answers: Iterable[tuple[str, Sequence[Detection] | None]],
    truth: Truth | None = None,
) -> Floats:
    """The means (k,) of the cheap stage's answers over all photos of a run, from the key and the
    answer of each, None where it failed. Raises ValueError where there is no photo."""
    queries, count = questions.all_queries, 0
    measures, total = Measures(queries, questions.min_score), np.zeros(len(queries))
    for key, detections in answers:
        total += _control(measures, detections, questions.truth_of(key, truth))
        count += 1
    if not count:
        raise ValueError("a mean over all photos needs at least one")
    return np.asarray(total / count)


def _control(measures: Measures, cheap: Sequence[Detection] | None, truth: Known | None) -> Floats:
    return measures.controls(() if cheap is None else cheap, truth)


def _check(questions: RunQuestions, run: RunPhotos) -> None:
    if questions.target is not None and not run.order_is_random:
        raise ValueError(
            f'--until "{questions.target}" needs photos in random order: in another one those so '
            "far say nothing certain of the others"
        )
    if questions.needs_truth and run.truth is None:
        raise ValueError("accuracy needs the photos' true labels; leave it out or give a truth")
