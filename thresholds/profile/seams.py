"""How neighbours in a grid affect a photo: boxes that leak in from them, and objects that are lost
at the seams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from providers.box_iou import box_areas
from thresholds.fusion.arrays import Bools, BoxArray, BoxTable, Floats
from thresholds.metrics.matching import IOU_THRESHOLD, label_iou_batch, match_boxes
from thresholds.shape import Shape

EDGE = 0.02
"""A box within this distance of its photo's edge, as a share of the photo's side, touches it."""
FAINT_SCORE = 0.1
"""A box alone of at least this score is enough to confirm a box in the grid."""
QUANTILES = (0.2, 0.4, 0.6, 0.8)
"""Of the areas of objects at an edge: the bounds of the size classes that are compared."""


class Cells(NamedTuple):
    """One answered canvas: its requested shape, its shape as laid out towards its photos, and of
    each cell the photo, as its index in the sample, and that photo's detections."""

    shape: Shape
    laid_out: Shape
    photos: tuple[int, ...]
    detections: tuple[BoxArray, ...]


class Leaks(NamedTuple):
    """Counts over `cells`: boxes that nothing confirms (`strangers`), those of them that leaked in,
    and how many would be counted as leaked by chance."""

    cells: int = 0
    strangers: int = 0
    leaked: int = 0
    by_chance: int = 0


def leaks(canvases: Sequence[Cells], alone: BoxTable, objects: BoxTable, floor: float) -> Leaks:
    """Counts of leaked boxes over canvases of one shape.

    A *stranger* is a box in the grid that scores at least `floor` and has an IoU of 0.5 neither
    with an object of its photo nor with a box of its answer alone that scores at least 0.1. It has
    *leaked* where it touches its photo's edge towards a neighbour whose answer alone has a box of
    the same label, of at least `floor`, which touches that edge from the other side at the same
    height. The count by chance takes the photos of the next canvas as neighbours.
    """
    totals: Counter[str] = Counter()
    next_canvases = [*canvases[1:], *canvases[:1]]
    for canvas, next_canvas in zip(canvases, next_canvases, strict=True):
        for index, (photo, boxes) in enumerate(zip(canvas.photos, canvas.detections, strict=True)):
            strangers = _strangers(
                boxes.by_score(floor), alone.of_photo(photo), objects.of_photo(photo)
            )
            totals["cells"] += 1
            totals["strangers"] += len(strangers)
            for name, photos in (("leaked", canvas.photos), ("by_chance", next_canvas.photos)):
                cell_neighbours = {
                    side: alone.of_photo(photos[neighbour]).by_score(floor)
                    for side, neighbour in _neighbours(canvas.laid_out, index)
                }
                totals[name] += int(_leaked(strangers, cell_neighbours).sum())
    return Leaks(**totals)


def _strangers(boxes: BoxArray, alone: BoxArray, objects: BoxArray) -> BoxArray:
    confirmed = np.zeros(len(boxes), bool)
    for evidence in (alone.by_score(FAINT_SCORE), objects):
        confirmed |= (label_iou_batch(boxes, evidence) >= IOU_THRESHOLD).any(axis=1)
    return boxes.take(~confirmed)


def _leaked(strangers: BoxArray, neighbours: dict[int, BoxArray]) -> Bools:
    """Which strangers of a cell continue a box of a neighbour; `neighbours` are the boxes of the
    photo on each side."""
    leaked = np.zeros(len(strangers), bool)
    for side, boxes in neighbours.items():
        near = boxes.take(touched_sides(boxes.xyxy)[:, (side + 2) % 4])
        same_label = strangers.labels[:, None] == near.labels[None, :]
        opposite = (same_label & _alongside(strangers.xyxy, near.xyxy, side)).any(axis=1)
        leaked |= touched_sides(strangers.xyxy)[:, side] & opposite
    return leaked


def _neighbours(shape: Shape, index: int) -> Iterator[tuple[int, int]]:
    """The sides of a cell that have a neighbour, left 0, top 1, right 2, bottom 3, each with the
    neighbour's index."""
    row, col = divmod(index, shape.cols)
    for side, (down, right) in enumerate(((0, -1), (-1, 0), (0, 1), (1, 0))):
        if 0 <= row + down < shape.rows and 0 <= col + right < shape.cols:
            yield side, (row + down) * shape.cols + col + right


def touched_sides(boxes_xyxy: Floats) -> Bools:
    """Which sides of its photo each box (n, 4) touches (n, 4): left, top, right, bottom."""
    return np.concatenate([boxes_xyxy[:, :2] < EDGE, boxes_xyxy[:, 2:] > 1 - EDGE], axis=1)


def _alongside(boxes_a_xyxy: Floats, boxes_b_xyxy: Floats, side: int) -> Bools:
    """Which boxes (n, 4) lie opposite which boxes (m, 4) across a seam on that side, (n, m)."""
    low, high = ((1, 3), (0, 2))[side % 2]
    ends = np.minimum(boxes_a_xyxy[:, None, high], boxes_b_xyxy[None, :, high])
    starts = np.maximum(boxes_a_xyxy[:, None, low], boxes_b_xyxy[None, :, low])
    return np.asarray(ends > starts)


class Losses(NamedTuple):
    """Of the objects that are detected alone: how many touch their photo's edge, the share of those
    that a grid loses, and the share that it loses of other objects of the same sizes."""

    touching: int
    lost: float
    lost_inside: float


def losses(boxes_xyxy: Floats, detected: Bools) -> Losses | None:
    """Losses at the seams, from the objects that are detected alone: boxes (n, 4), and whether the
    grid detects them too (n,). None where no object touches an edge, or no other is of their sizes.

    Sizes are compared by fifths of the areas of objects at an edge: a fifth without other objects
    is left out on both sides.
    """
    at_edge = touched_sides(boxes_xyxy).any(axis=1)
    areas = box_areas(boxes_xyxy)
    if not at_edge.any():
        return None
    fifths = np.searchsorted(np.quantile(areas[at_edge], QUANTILES), areas)
    rows = []
    for fifth in range(len(QUANTILES) + 1):
        edge, inside = at_edge & (fifths == fifth), ~at_edge & (fifths == fifth)
        if edge.any() and inside.any():
            rows.append((int(edge.sum()), 1 - detected[edge].mean(), 1 - detected[inside].mean()))
    if not rows:
        return None
    counts, lost, lost_inside = (np.array(column) for column in zip(*rows, strict=True))
    total = int(counts.sum())
    return Losses(total, float(counts @ lost / total), float(counts @ lost_inside / total))


def detected_objects(detections: BoxArray, objects: BoxArray, floor: float) -> Bools:
    """Which objects (m,) a detection that scores at least `floor` matches."""
    detected = np.zeros(len(objects), bool)
    matches = match_boxes(detections.by_score(floor), objects)
    detected[matches[matches >= 0]] = True
    return detected
