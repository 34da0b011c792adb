"""The canvases that a profile of moderation or labels asks about, and the scores they show."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice, product

import numpy as np

from gateway.core.model import Photo, concerning
from gateway.quality.collect.answer_store import AnswerStore
from gateway.quality.collect.questions import CanvasQuestion
from providers.detection import Detection
from thresholds.fusion.arrays import Floats
from thresholds.shape import ALONE, Shape


@dataclass(frozen=True, slots=True)
class PhotoAnswers:
    """The photos that are positive alone, each with its labels, and the negative ones.

    Where no labels are named, the empty label stands for all of them.
    """

    positives: Mapping[str, tuple[str, ...]]
    negatives: Sequence[str]

    @property
    def count(self) -> int:
        return len(self.positives) + len(self.negatives)

    @classmethod
    def of(
        cls,
        alone: Sequence[CanvasQuestion],
        store: AnswerStore,
        *,
        labels: Sequence[str],
        positive: float,
    ) -> PhotoAnswers:
        """The stored answers about photos alone; a photo is positive from that score on. Photos
        without an answer are left out."""
        positives: dict[str, tuple[str, ...]] = {}
        negatives = []
        for question in alone:
            detections = store.get(question)
            if detections is None:
                continue
            (photo,) = question.photos
            present = [label for label in labels or ("",) if score(detections, label) >= positive]
            if present:
                positives[photo] = tuple(present)
            else:
                negatives.append(photo)
        return cls(positives, negatives)


def score(detections: Sequence[Detection], label: str) -> float:
    """The highest score of a label, or of all labels where it is empty."""
    relevant = concerning(detections, (label,) if label else ())
    return max((detection.score for detection in relevant), default=0.0)


@dataclass(frozen=True, slots=True)
class GroupCanvas:
    """A canvas, the grouping it belongs to, and its one positive photo; none where it is empty."""

    question: CanvasQuestion
    grouping: int
    positive: str = ""


def group_canvases(
    photos: Mapping[str, Photo], answers: PhotoAnswers, shapes: Sequence[Shape], groupings: int
) -> list[GroupCanvas]:
    """At each shape, `groupings` times: each positive photo among negative ones, and the negative
    ones among themselves.

    Neighbours have the same orientation where there are such photos, as in lanes. The positive
    photo's cell varies.
    """
    canvases: list[GroupCanvas] = []
    for shape in shapes:
        if shape != ALONE:
            for grouping in range(groupings):
                canvases += _grouping(photos, answers, shape, grouping)
    return canvases


def _grouping(
    photos: Mapping[str, Photo], answers: PhotoAnswers, shape: Shape, grouping: int
) -> Iterator[GroupCanvas]:
    rng = random.Random(f"{shape} {grouping}")
    for portrait in (False, True):
        negatives = _oriented(answers.negatives, photos, portrait=portrait)
        rng.shuffle(negatives)
        for start in range(0, len(negatives) - shape.cells + 1, shape.cells):
            group = tuple(negatives[start : start + shape.cells])
            yield GroupCanvas(CanvasQuestion(shape, group), grouping)
        neighbours = cycle(negatives or sorted(answers.negatives))
        for positive in _oriented(answers.positives, photos, portrait=portrait):
            mixed = [positive, *islice(neighbours, shape.cells - 1)]
            rng.shuffle(mixed)
            yield GroupCanvas(CanvasQuestion(shape, tuple(mixed)), grouping, positive)


def _oriented(
    keys: Sequence[str] | Mapping[str, object], photos: Mapping[str, Photo], *, portrait: bool
) -> list[str]:
    """The photos of one orientation, sorted by key."""
    return sorted(key for key in keys if photos[key].size.portrait == portrait)


def canvas_scores(
    canvases: Sequence[GroupCanvas],
    answers: PhotoAnswers,
    store: AnswerStore,
    *,
    shapes: Sequence[Shape],
    groupings: int,
    labels: Sequence[str],
) -> tuple[Mapping[Shape, Floats], Mapping[Shape, Floats]]:
    """By shape, the scores of canvases with a positive photo, (positives, groupings), and of those
    without one, (canvases,).

    A photo that is positive for several labels counts with the lowest of their scores. A positive
    photo is left out where one of its canvases was refused.
    """
    of_positive: dict[tuple[Shape, int, str], float] = {}
    of_empty: dict[Shape, list[float]] = defaultdict(list)
    for canvas in canvases:
        detections = store.get(canvas.question)
        if detections is None:
            continue
        shape = canvas.question.shape
        if canvas.positive:
            relevant = answers.positives[canvas.positive]
            lowest = min(_canvas_score(detections, label) for label in relevant)
            of_positive[shape, canvas.grouping, canvas.positive] = lowest
        else:
            highest = max(_canvas_score(detections, label) for label in labels or ("",))
            of_empty[shape].append(highest)

    grids = [shape for shape in shapes if shape != ALONE]
    cells = list(product(grids, range(groupings)))
    complete = sorted(
        key for key in answers.positives if all((*cell, key) in of_positive for cell in cells)
    )
    positives, negatives = {}, {}
    for shape in grids:
        table = np.empty((len(complete), groupings))
        for row, key in enumerate(complete):
            table[row] = [of_positive[shape, grouping, key] for grouping in range(groupings)]
        positives[shape], negatives[shape] = table, np.array(of_empty[shape])
    return positives, negatives


def _canvas_score(detections: Sequence[Detection], label: str) -> float:
    """The canvas's score of a label. Of graded answers, 1 for anything above the lowest grade."""
    if any(detection.details.get("graded") for detection in detections):
        return float(score(detections, label) > 0)
    return score(detections, label)
