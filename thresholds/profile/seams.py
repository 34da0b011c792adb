"""What neighbours do to a photo: boxes that leak in from them, and objects that are lost at the
seams. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from thresholds.fusion.arrays import Bools, BoxArray, BoxTable, Floats
from thresholds.fusion.clusters import overlaps
from thresholds.metrics.evaluation import matched, over
from thresholds.shape import Shape

NEAR = 0.02
"""A box that comes so near to its photo's edge, as a share of the photo's side, touches it."""
FAINT = 0.1
"""What scores so much alone is enough to say that a box in the grid has a ground of its own."""


class Cells(NamedTuple):
    """One canvas that was answered: its shape as it was asked for and as it was laid out, towards
    its photos; each cell's photo, by its index in the sample, and that photo's own detections."""

    shape: Shape
    laid_out: Shape
    photos: tuple[int, ...]
    found: tuple[BoxArray, ...]


class Leaks(NamedTuple):
    """In so many `cells`: boxes that nothing alone bears out (`strangers`), those of them that have
    leaked in, and how many would be called so by chance."""

    cells: int = 0
    strangers: int = 0
    leaked: int = 0
    by_chance: int = 0


def leaks(canvases: Sequence[Cells], alone: BoxTable, objects: BoxTable, floor: float) -> Leaks:
    """Counts over canvases of one shape.

    A *stranger* is a box in the grid that scores `floor` or more and is at an IoU of 0.5 neither a
    true object of its photo nor one that its answer alone has with a score of 0.1 or more. It has
    *leaked* where it touches its photo's edge towards a neighbour, whose own answer alone has the
    same label at `floor` or more touching that edge from the other side, at the same height. By
    chance is the same count with the photos of the next canvas for neighbours.
    """
    total: Counter[str] = Counter()
    following = [*canvases[1:], *canvases[:1]]
    for canvas, other in zip(canvases, following, strict=True):
        for index, (photo, found) in enumerate(zip(canvas.photos, canvas.found, strict=True)):
            strangers = _strangers(over(found, floor), alone.of(photo), objects.of(photo))
            total["cells"] += 1
            total["strangers"] += len(strangers)
            total["leaked"] += int(
                _leaked(strangers, canvas, index, canvas.photos, alone, floor).sum()
            )
            total["by_chance"] += int(
                _leaked(strangers, canvas, index, other.photos, alone, floor).sum()
            )
    return Leaks(**total)


def _strangers(found: BoxArray, alone: BoxArray, objects: BoxArray) -> BoxArray:
    borne_out = np.zeros(len(found), bool)
    for others in (over(alone, FAINT), objects):
        same = found.labels[:, None] == others.labels[None, :]
        borne_out |= (same & (overlaps(found.xyxy, others.xyxy) >= 0.5)).any(axis=1)
    return found.take(~borne_out)


def _leaked(
    strangers: BoxArray,
    canvas: Cells,
    index: int,
    photos: Sequence[int],
    alone: BoxTable,
    floor: float,
) -> Bools:
    """Which strangers of a cell have a ground in a neighbouring cell, if these are the photos in
    the cells."""
    leaked = np.zeros(len(strangers), bool)
    for side, neighbour in _neighbours(canvas.laid_out, index):
        theirs = over(alone.of(photos[neighbour]), floor)
        near = theirs.take(touching(theirs.xyxy)[:, (side + 2) % 4])
        same = strangers.labels[:, None] == near.labels[None, :]
        opposite = (same & _alongside(strangers.xyxy, near.xyxy, side)).any(axis=1)
        leaked |= touching(strangers.xyxy)[:, side] & opposite
    return leaked


def _neighbours(shape: Shape, index: int) -> Iterator[tuple[int, int]]:
    """The cells next to one, each with the side that it lies on: left 0, top 1, right 2, bottom
    3."""
    row, col = divmod(index, shape.cols)
    for side, (down, right) in enumerate(((0, -1), (-1, 0), (0, 1), (1, 0))):
        if 0 <= row + down < shape.rows and 0 <= col + right < shape.cols:
            yield side, (row + down) * shape.cols + col + right


def touching(xyxy: Floats) -> Bools:
    """Which sides of its photo each box touches (n, 4): left, top, right, bottom."""
    return np.concatenate([xyxy[:, :2] < NEAR, xyxy[:, 2:] > 1 - NEAR], axis=1)


def _alongside(a: Floats, b: Floats, side: int) -> Bools:
    """Which boxes (n, 4) lie opposite which others (m, 4) across a seam on that side."""
    low, high = ((1, 3), (0, 2))[side % 2]
    return np.asarray(
        np.minimum(a[:, None, high], b[None, :, high])
        > np.maximum(a[:, None, low], b[None, :, low])
    )


class Losses(NamedTuple):
    """Of the objects that are found alone: how many touch their photo's edge, which share of those
    a grid loses, and which share of others of the same sizes."""

    touching: int
    lost: float
    lost_inside: float


def losses(xyxy: Floats, seen: Bools) -> Losses | None:
    """Of objects found alone, by box (n, 4) and whether the grid found them too (n,). None where
    none touch an edge, or no others are of their sizes.

    Sizes are compared by fifths of the touching objects' areas: a fifth without others is left out
    on both sides.
    """
    at_edge = touching(xyxy).any(axis=1)
    area = (xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1])
    if not at_edge.any():
        return None
    fifth = np.searchsorted(np.quantile(area[at_edge], [0.2, 0.4, 0.6, 0.8]), area)
    rows = []
    for number in range(5):
        edge, inside = at_edge & (fifth == number), ~at_edge & (fifth == number)
        if edge.any() and inside.any():
            rows.append((int(edge.sum()), 1 - seen[edge].mean(), 1 - seen[inside].mean()))
    if not rows:
        return None
    counts, lost, lost_inside = (np.array(column) for column in zip(*rows, strict=True))
    total = int(counts.sum())
    return Losses(total, float(counts @ lost / total), float(counts @ lost_inside / total))


def found_too(found: BoxArray, objects: BoxArray, floor: float) -> Bools:
    """Which objects one of the detections that score `floor` or more finds."""
    hit = np.zeros(len(objects), bool)
    chosen = matched(over(found, floor), objects)
    hit[chosen[chosen >= 0]] = True
    return hit
