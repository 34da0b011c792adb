"""All answers about one photo in one: boxes that mean the same object joined, and scored for what
they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from thresholds.fusion.arrays import Bools, BoxArray, Floats, Ints

LEAST_IOU = 0.6
FLOOR = 0.001
"""What scores less is left out. Faint boxes count: without those under 0.02 average precision loses
0.004."""
MOST = 50
"""Boxes of one look that are fused, surest first: a detector that reports hundreds would fill the
time of a verdict."""
EDGE = 0.01
"""A box that comes so near to an edge touches it."""
FEATURES = 15


class Clusters(NamedTuple):
    """Boxes of one photo, surest first: `fused` scores (n,), and `best` (n, looks), the highest
    score that each look gave a box of the cluster, 0 where it has none."""

    labels: Ints
    xyxy: Floats
    fused: Floats
    best: Floats

    def __len__(self) -> int:
        return len(self.fused)

    def take(self, which: NDArray[Any]) -> Clusters:
        return Clusters(self.labels[which], self.xyxy[which], self.fused[which], self.best[which])

    def scored(self, scores: Floats) -> BoxArray:
        """With other scores, surest first."""
        order = np.argsort(-scores, kind="stable")
        return BoxArray(self.labels[order], scores[order], self.xyxy[order])


def overlaps(a: Floats, b: Floats) -> Floats:
    """Intersection over union of boxes (n, 4) with boxes (m, 4), as (n, m); 0 where either is
    empty."""
    sides = np.maximum(
        np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2]), 0.0
    )
    common = sides[..., 0] * sides[..., 1]
    union = areas(a)[:, None] + areas(b)[None, :] - common
    return np.asarray(common / np.maximum(union, 1e-12))


def areas(xyxy: Floats) -> Floats:
    """Of boxes (n, 4), as (n,); 0 where one is empty."""
    sides = np.maximum(xyxy[:, 2:] - xyxy[:, :2], 0.0)
    return np.asarray(sides[:, 0] * sides[:, 1])


def cluster(looks: Sequence[BoxArray], weights: Sequence[float]) -> Clusters:
    """Weighted box fusion of several answers about one photo, each with a weight.

    Solovyev, Wang, Gabruseva, "Weighted boxes fusion" (2021), section 3: a cluster's box is the
    mean of its members', by score times weight, and its score the mean of the members' weighted
    scores times min(members, total weight) / total weight. Other than there, a cluster is what
    overlaps its surest member by more than 0.6, not the running mean: the same result here, and no
    loop over boxes.
    """
    kept = [_surest(found) for found in looks]
    labels = np.concatenate([found.labels for found in kept])
    scores = np.concatenate([found.scores for found in kept])
    xyxy = np.concatenate([found.xyxy for found in kept])
    source = np.repeat(np.arange(len(kept)), [len(found) for found in kept])
    weighted = scores * np.asarray(weights)[source]
    order = np.argsort(-weighted, kind="stable")
    labels, xyxy, scores, weighted, source = (
        labels[order],
        xyxy[order],
        scores[order],
        weighted[order],
        source[order],
    )
    owner = _owners((overlaps(xyxy, xyxy) > LEAST_IOU) & (labels[:, None] == labels[None, :]))
    seeds, member = np.unique(owner, return_inverse=True)
    count = len(seeds)
    members, sums = np.bincount(member, minlength=count), np.bincount(member, weighted, count)
    boxes = np.stack(
        [np.bincount(member, weighted * xyxy[:, side], count) for side in range(4)], axis=1
    )
    total = float(sum(weights))
    fused = np.minimum(sums / members * np.minimum(members, total) / total, 1.0)
    best = np.zeros((count, len(looks)))
    np.maximum.at(best, (member, source), scores)
    return Clusters(labels[seeds], boxes / sums[:, None], fused, best).take(
        np.argsort(-fused, kind="stable")
    )


def _surest(found: BoxArray) -> BoxArray:
    order = np.argsort(-found.scores, kind="stable")[:MOST]
    return found.take(order[found.scores[order] >= FLOOR])


def _owners(same: Bools) -> Ints:
    """For boxes by weight, surest first, and which of them could be the same: each one's cluster,
    as the index of its surest member."""
    owner = np.full(len(same), -1)
    for index, row in enumerate(same):
        if owner[index] < 0:
            owner[row & (owner < 0)] = index
            owner[index] = index
    return owner


def features(found: Clusters) -> Floats:
    """What tells an object from a mistake, one row a cluster (n, looks + 15): its own scores and
    place, and what else is on the photo."""
    count = len(found)
    if not count:
        return np.zeros((0, found.best.shape[1] + FEATURES))
    x0, y0, x1, y1 = found.xyxy.T
    wide, high = x1 - x0, y1 - y0
    edges = (x0 < EDGE).astype(float) + (y0 < EDGE) + (x1 > 1 - EDGE) + (y1 > 1 - EDGE)
    over = overlaps(found.xyxy, found.xyxy)
    same = found.labels[:, None] == found.labels[None, :]
    surer = np.tri(count, k=-1, dtype=bool)
    alike = same & ~np.eye(count, dtype=bool)
    best_alike = np.where(alike, found.fused[None, :], 0.0).max(axis=1)
    columns = [
        found.fused,
        np.sqrt(np.maximum(wide * high, 0.0)),
        wide,
        high,
        edges,
        np.where(surer & same, over, 0.0).max(axis=1),
        np.where(surer & ~same, over, 0.0).max(axis=1),
        np.where(~same & (over > 0.5), found.fused[None, :], 0.0).max(axis=1),
        np.full(count, float((found.fused > 0.3).sum())),
        (same & (found.fused > 0.3)[None, :]).sum(axis=1).astype(float),
        np.arange(count, dtype=float),
        best_alike - found.fused,
        np.full(count, found.fused[0]),
        (found.best > 0).sum(axis=1).astype(float),
        (same & surer).sum(axis=1).astype(float),
    ]
    return np.column_stack([found.best, *columns])
