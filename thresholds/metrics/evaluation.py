"""Answers of a sample held against what counts as true, photo by photo. Pure, on arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from thresholds.fusion.arrays import Bools, BoxArray, BoxTable, Floats, Ints
from thresholds.fusion.clusters import overlaps
from thresholds.fusion.looks import ITSELF, LookKind
from thresholds.metrics.average_precision import SURE
from thresholds.metrics.box_worth import average_precision
from thresholds.samples.sample import Sample

BINS = 10


class Reference(NamedTuple):
    """What counts as true: each photo's objects, and of which labels (photos x labels) anything is
    known there."""

    objects: BoxTable
    covered: Bools


def reference(sample: Sample, floor: float) -> Reference:
    """The truth, or where there is none each photo's own answer alone, of what scores `floor` or
    more."""
    if sample.truth is not None and sample.covered is not None:
        return Reference(sample.truth, sample.covered)
    alone = sample.look(ITSELF, 0)
    strong = [over(alone.of(photo), floor) for photo in range(len(sample))]
    return Reference(BoxTable.of_all(strong), np.ones((len(sample), len(sample.labels)), bool))


def over(found: BoxArray, floor: float) -> BoxArray:
    """What scores so much or more, surest first."""
    order = np.argsort(-found.scores, kind="stable")
    return found.take(order[found.scores[order] >= floor])


def matched(found: BoxArray, objects: BoxArray, least: float = 0.5) -> Ints:
    """For each detection, given surest first, the object of its label that it finds and none before
    it found; -1 where there is none. COCO's greedy matching."""
    chosen = np.full(len(found), -1)
    if not len(found) or not len(objects):
        return chosen
    left = np.where(
        found.labels[:, None] == objects.labels[None, :], overlaps(found.xyxy, objects.xyxy), 0.0
    )
    for row in np.flatnonzero(left.max(axis=1) >= least):
        best = int(left[row].argmax())
        if left[row, best] >= least:
            chosen[row] = best
            left[:, best] = 0.0
    return chosen


def answers(sample: Sample, kind: LookKind) -> Iterator[tuple[int, int, BoxArray]]:
    """Every answer of that kind: grouping, photo, and what was found, surest first."""
    for grouping, boxes in enumerate(sample.looks[kind]):
        for photo in np.flatnonzero(sample.asked[kind][grouping]):
            yield grouping, int(photo), over(boxes.of(int(photo)), 0.0)


class JudgedDetections(NamedTuple):
    """One grouping's detections of labels that something is known of: whose photo's (n,), and which
    are true (n,). `objects` (photos x labels) counts what there is to find on the photos that were
    asked about."""

    photos: Ints
    found: BoxArray
    true: Bools
    objects: Ints

    def ap50(self, times: Ints | None = None) -> float:
        """COCO's average precision at an IoU of 0.5; 0 where there is nothing to find. `times` says
        how often each photo counts, once where it is left out."""
        rows = (
            np.arange(len(self.true))
            if times is None
            else np.repeat(np.arange(len(self.true)), times[self.photos])
        )
        wanted = self.objects.sum(axis=0) if times is None else times @ self.objects
        if not wanted.any():
            return 0.0
        return float(average_precision(self.found.take(rows), self.true[None, rows], wanted)[0])

    def together(self) -> JudgedDetections:
        """As if there were one label, of which it is still told what is true: of few photos the
        mean over labels is mostly the luck of rare ones."""
        found = BoxArray(np.zeros_like(self.found.labels), self.found.scores, self.found.xyxy)
        return JudgedDetections(
            self.photos, found, self.true, self.objects.sum(axis=1, keepdims=True)
        )


def judge(sample: Sample, kind: LookKind, against: Reference) -> list[JudgedDetections]:
    """Each grouping's answers of that kind against what counts as true."""
    rows: list[list[tuple[int, BoxArray, Bools]]] = [[] for _ in sample.looks[kind]]
    objects = np.zeros((len(rows), len(sample), len(sample.labels)), np.int64)
    for grouping, photo, found in answers(sample, kind):
        known = found.take(against.covered[photo][found.labels])
        there = against.objects.of(photo)
        rows[grouping].append((photo, known, matched(known, there) >= 0))
        np.add.at(objects[grouping, photo], there.labels, 1)
    return [_judged(each, counts) for each, counts in zip(rows, objects, strict=True)]


def _judged(rows: list[tuple[int, BoxArray, Bools]], objects: Ints) -> JudgedDetections:
    photos = np.repeat(
        [photo for photo, _, _ in rows], [len(found) for _, found, _ in rows]
    ).astype(np.int64)
    found = BoxTable.of_all([found for _, found, _ in rows]).found
    return JudgedDetections(
        photos, found, np.concatenate([np.zeros(0, bool), *(true for _, _, true in rows)]), objects
    )


def agreement(sample: Sample, kind: LookKind, other: LookKind = ITSELF) -> float | None:
    """Mean F1 at an IoU of 0.5, of the boxes that score 0.5 or more, against the other kind's first
    grouping; of photos that have both answers, 1 for one on which neither has any. None where there
    are no such photos."""
    asked, looks = sample.asked[other][0], sample.look(other, 0)
    each = [
        _f1(over(found, SURE), over(looks.of(photo), SURE))
        for _, photo, found in answers(sample, kind)
        if asked[photo]
    ]
    return float(np.mean(each)) if each else None


def _f1(found: BoxArray, objects: BoxArray) -> float:
    both = len(found) + len(objects)
    return 2 * int((matched(found, objects) >= 0).sum()) / both if both else 1.0


def reliability(judged: list[JudgedDetections]) -> list[tuple[float, float, int]]:
    """By tenths of the score, from below: mean score, share that is true, and how many; tenths
    without any left out."""
    scores = np.concatenate([each.found.scores for each in judged])
    true = np.concatenate([each.true for each in judged])
    tenth = np.minimum((scores * BINS).astype(int), BINS - 1)
    bins: list[tuple[Floats, Bools]] = [
        (scores[tenth == number], true[tenth == number]) for number in range(BINS)
    ]
    return [
        (float(inside.mean()), float(right.mean()), len(inside))
        for inside, right in bins
        if len(inside)
    ]
