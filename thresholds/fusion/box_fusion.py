"""Weighted box fusion: several answers about one photo become one.

Solovyev, Wang, Gabruseva, "Weighted boxes fusion" (2021), section 3: boxes of one label that
overlap form a cluster. Its box is the mean of its members, weighted by score times the weight of
their answer. Its score is the mean of the members' weighted scores times
min(members, total weight) / total weight, so that an object of one answer alone counts for less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from providers.box_iou import box_iou, box_iou_batch
from providers.detection import Box, Detection
from thresholds.fusion.arrays import BoxArray, BoxTable, Floats, Ints, equal_pairs, photo_starts

CLUSTER_IOU = 0.6
"""Boxes that overlap by more than this may share a cluster."""
MIN_SCORE = 0.001
"""Boxes below this score are left out. Faint boxes count: without those under 0.02 average
precision loses 0.004."""
MAX_BOXES = 50
"""Boxes of one answer that are fused, in descending score: a detector that reports hundreds would
use up the time of a verdict."""

BLOCK_BOXES = 10_000
"""Boxes that are compared at once with all others of their label: a bound on memory."""


class FusedBoxes(NamedTuple):
    """Fused boxes of one photo in descending order of `scores` (n,). `answer_scores` (n, answers)
    is the highest score that each answer gave a box of the cluster, 0 where it has none."""

    labels: Ints
    xyxy: Floats
    scores: Floats
    answer_scores: Floats

    def __len__(self) -> int:  # of boxes, not of fields
        return len(self.scores)

    def with_labels(self, labels: Ints) -> FusedBoxes:
        return FusedBoxes(labels, self.xyxy, self.scores, self.answer_scores)

    def take(self, index: NDArray[Any] | slice) -> FusedBoxes:
        return FusedBoxes(
            self.labels[index], self.xyxy[index], self.scores[index], self.answer_scores[index]
        )


class FusedTable(NamedTuple):
    """Fused boxes of many photos: those of photo i are the rows from `starts[i]` up to
    `starts[i + 1]`."""

    starts: Ints
    boxes: FusedBoxes

    @property
    def photo_count(self) -> int:
        return len(self.starts) - 1

    @property
    def photos(self) -> Ints:
        """The photo of each box, (n,)."""
        return np.repeat(np.arange(self.photo_count), np.diff(self.starts))

    def of_photos(self, first: int, end: int) -> FusedTable:
        """The boxes of the photos from `first` up to `end`."""
        starts = self.starts[first : end + 1]
        return FusedTable(starts - starts[0], self.boxes.take(slice(starts[0], starts[-1])))

    def box_table(self, scores: Floats | None = None) -> BoxTable:
        """The boxes with these scores (n,), or their own, in descending order of them."""
        boxes = self.boxes
        scores = boxes.scores if scores is None else scores
        return BoxTable(self.starts, BoxArray(boxes.labels, scores, boxes.xyxy)).by_score()


ClusterSeeds = Callable[[BoxArray], Ints]
"""From boxes in descending order of weighted score, which stands for their score, to the index of
the first member of each box's cluster, (n,)."""


def fuse_boxes(answers: Sequence[BoxTable], weights: Sequence[float]) -> FusedTable:
    """Weighted box fusion of several answers about each photo, each answer with a weight.

    Other than in the paper, a cluster is what overlaps its highest-scoring member, not the running
    mean: on profiles the result is the same within 0.001 AP50, and all photos are fused at once.
    """
    label_count = 1 + max(int(table.boxes.labels.max(initial=0)) for table in answers)
    strongest = [table.by_score(MIN_SCORE, MAX_BOXES) for table in answers]
    arrays = [table.by_photo_and_label(label_count) for table in strongest]
    fused, _ = _fuse(arrays, weights, _seeds_by_strongest_member)
    photos, labels = np.divmod(fused.labels, label_count)
    order = np.argsort(photos, kind="stable")
    starts = photo_starts(photos[order], answers[0].photo_count)
    return FusedTable(starts, fused.with_labels(labels).take(order))


def fuse_detections(
    answers: Sequence[Sequence[Detection]], weights: Sequence[float]
) -> list[Detection]:
    """Weighted box fusion of several answers about one photo, each with a weight, as in the paper.

    A cluster is what overlaps the running mean of its members. Only boxes of the same label and
    kind are fused; all else of a fused detection is that of its cluster's first member.
    """
    numbers: dict[tuple[str, str], int] = {}
    arrays = []
    for answer in answers:
        labels = [numbers.setdefault((each.label, each.kind), len(numbers)) for each in answer]
        arrays.append(BoxArray.of_detections(answer, labels))
    boxes, first_members = _fuse(arrays, weights, _seeds_by_running_mean)
    detections = [detection for answer in answers for detection in answer]
    columns = zip(first_members.tolist(), boxes.scores.tolist(), boxes.xyxy.tolist(), strict=True)
    return [
        replace(detections[first], box=Box(*xyxy), score=score) for first, score, xyxy in columns
    ]


def _fuse(
    answers: Sequence[BoxArray], weights: Sequence[float], cluster_seeds: ClusterSeeds
) -> tuple[FusedBoxes, Ints]:
    """The fused boxes, and the index of each one's first member among the boxes of all answers."""
    unsorted = answers[0].joined(answers[1:])
    answer_numbers = np.repeat(np.arange(len(answers)), [len(boxes) for boxes in answers])
    weighted_scores = unsorted.scores * np.asarray(weights)[answer_numbers]
    order = np.argsort(-weighted_scores, kind="stable")
    boxes, weighted, answer = unsorted.take(order), weighted_scores[order], answer_numbers[order]
    seeds, member = np.unique(cluster_seeds(boxes.with_scores(weighted)), return_inverse=True)

    count = len(seeds)
    members = np.bincount(member, minlength=count)
    score_sums = np.bincount(member, weighted, count)
    corners = [np.bincount(member, weighted * boxes.xyxy[:, side], count) for side in range(4)]
    xyxy = np.stack(corners, axis=1) / np.where(score_sums > 0, score_sums, 1.0)[:, None]
    total_weight = float(sum(weights))
    scores = score_sums / members * np.minimum(members, total_weight) / total_weight
    scores = np.minimum(scores, 1.0)
    answer_scores = np.zeros((count, len(answers)))
    np.maximum.at(answer_scores, (member, answer), boxes.scores)

    ranks = np.argsort(-scores, kind="stable")
    fused = FusedBoxes(boxes.labels[seeds], xyxy, scores, answer_scores)
    return fused.take(ranks), order[seeds[ranks]]


def _seeds_by_strongest_member(boxes: BoxArray) -> Ints:
    """A box joins the strongest box of its label that it overlaps and that began a cluster."""
    seeds = list(range(len(boxes)))
    for first in range(0, len(boxes), BLOCK_BOXES):
        labels = boxes.labels[first : first + BLOCK_BOXES]
        stronger, weaker = equal_pairs(labels, boxes.labels)
        stronger += first
        pairs = np.flatnonzero(stronger < weaker)
        stronger, weaker = stronger[pairs], weaker[pairs]
        joinable = box_iou(boxes.xyxy[stronger], boxes.xyxy[weaker]) > CLUSTER_IOU
        for strong, weak in zip(
            stronger[joinable].tolist(), weaker[joinable].tolist(), strict=True
        ):
            if seeds[strong] == strong and seeds[weak] == weak:
                seeds[weak] = strong
    return np.array(seeds, np.int64)


def _seeds_by_running_mean(boxes: BoxArray) -> Ints:
    """A box joins the cluster of its label whose mean box it overlaps most, or begins one."""
    weights = boxes.scores[:, None]
    sums, totals = weights * boxes.xyxy, weights.copy()
    means = sums / np.where(totals > 0, totals, 1.0)
    same_label = boxes.labels[:, None] == boxes.labels[None, :]
    seeds = np.arange(len(boxes))
    iou = box_iou_batch(boxes.xyxy, means) * same_label  # of each box with each cluster's mean
    for index in range(1, len(boxes)):
        best = iou[index, :index].argmax()
        if iou[index, best] > CLUSTER_IOU:
            seeds[index] = best
            sums[best] += sums[index]
            totals[best] += totals[index]
            mean = sums[best] / (totals[best] or 1.0)
            iou[:, best] = box_iou_batch(boxes.xyxy, mean[None])[:, 0] * same_label[:, best]
            iou[:, index] = 0.0  # it is no cluster of its own
    return seeds
