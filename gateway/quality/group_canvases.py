"""The canvases that a profile of moderation or labels asks about, and the scores they show."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import NamedTuple

import numpy as np

from gateway.core.model import Photo
from gateway.quality.collect.answer_store import AnswerStore
from gateway.quality.collect.questions import CanvasQuestion
from providers.detection import Detection, concerning
from thresholds.fusion.arrays import Floats
from thresholds.plan.group_sample import EmptyCanvases
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


class CanvasScores(NamedTuple):
    """The positive photos that have a score at every shape and grouping; by shape, the scores of
    canvases with one of them, (positives, groupings); and the canvases without, by shape."""

    photos: Sequence[str]
    positives: Mapping[Shape, Floats]
    empty: Mapping[Shape, EmptyCanvases]


def canvas_scores(
    canvases: Sequence[GroupCanvas],
    answers: PhotoAnswers,
    store: AnswerStore,
    *,
    shapes: Sequence[Shape],
    groupings: int,
    labels: Sequence[str],
) -> CanvasScores:
    """The scores of the canvases.

    A photo that is positive for several labels counts with the lowest of their scores. A positive
    photo is left out where one of its canvases was refused.
    """
    grids = [shape for shape in shapes if shape != ALONE]
    scores: dict[tuple[str, Shape, int], float] = {}
    empty: dict[Shape, list[tuple[CanvasQuestion, float]]] = {shape: [] for shape in grids}
    for canvas in canvases:
        detections = store.get(canvas.question)
        if detections is None:
            continue
        shape, photo = canvas.question.shape, canvas.positive
        asked = answers.positives[photo] if photo else labels or ("",)
        of_labels = [_canvas_score(detections, label) for label in asked]
        if photo:
            scores[photo, shape, canvas.grouping] = min(of_labels)
        else:
            empty[shape].append((canvas.question, max(of_labels)))
    return _as_arrays(scores, empty, answers, groupings)


def _as_arrays(
    scores: Mapping[tuple[str, Shape, int], float],
    empty: Mapping[Shape, Sequence[tuple[CanvasQuestion, float]]],
    answers: PhotoAnswers,
    groupings: int,
) -> CanvasScores:
    photos = _complete(scores, sorted(answers.positives), list(empty), groupings)
    positives, negatives = {}, {}
    for shape, scored in empty.items():
        positives[shape] = _table(scores, photos, shape, groupings)
        negatives[shape] = _empty_canvases(scored, answers.negatives, shape)
    return CanvasScores(photos, positives, negatives)


def _complete(
    scores: Mapping[tuple[str, Shape, int], float],
    photos: Sequence[str],
    shapes: Sequence[Shape],
    groupings: int,
) -> list[str]:
    """The photos that have a score at every shape and grouping."""
    complete = []
    for photo in photos:
        keys = [(photo, shape, grouping) for shape in shapes for grouping in range(groupings)]
        if all(key in scores for key in keys):
            complete.append(photo)
    return complete


def _table(
    scores: Mapping[tuple[str, Shape, int], float],
    photos: Sequence[str],
    shape: Shape,
    groupings: int,
) -> Floats:
    """The scores of the photos at a shape, (photos, groupings)."""
    table = np.zeros((len(photos), groupings))
    for row, column in np.ndindex(*table.shape):
        table[row, column] = scores[photos[row], shape, column]
    return table


def _empty_canvases(
    scored: Sequence[tuple[CanvasQuestion, float]], negatives: Sequence[str], shape: Shape
) -> EmptyCanvases:
    """Canvases of negatives, with the numbers of those."""
    numbers = {key: number for number, key in enumerate(negatives)}
    photos = np.zeros((len(scored), shape.cells), np.int64)
    for row, (question, _) in enumerate(scored):
        photos[row] = [numbers[key] for key in question.photos]
    return EmptyCanvases(photos, np.array([score for _, score in scored]))


def companion_scores(
    photos: Sequence[str], answers: Mapping[str, Sequence[Detection]], labels: Sequence[str]
) -> Floats:
    """The companion's highest score of each label on each photo, (photos, labels); 0 where it did
    not answer."""
    columns = {label: column for column, label in enumerate(labels)}
    table = np.zeros((len(photos), len(labels)))
    for row, photo in enumerate(photos):
        for detection in answers.get(photo, ()):
            column = columns[detection.label]
            table[row, column] = max(table[row, column], detection.score)
    return table


def _canvas_score(detections: Sequence[Detection], label: str) -> float:
    """The canvas's score of a label. Of graded answers, 1 for anything above the lowest grade."""
    if any(detection.details.get("graded") for detection in detections):
        return float(score(detections, label) > 0)
    return score(detections, label)
