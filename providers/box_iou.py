"""Areas and overlaps of axis-aligned boxes, over NumPy arrays of corners (x0, y0, x1, y1)."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Float = TypeVar("Float", bound=np.floating[Any])

MIN_UNION = 1e-12
"""Divisor for two boxes without area, so that their IoU is 0."""


def box_areas(boxes_xyxy: NDArray[Float]) -> NDArray[Float]:
    """Areas (...,) of boxes (..., 4); 0 for an empty or inverted box."""
    x0, y0, x1, y1 = _sides(boxes_xyxy)
    return np.asarray(np.maximum(x1 - x0, 0.0) * np.maximum(y1 - y0, 0.0))


def box_iou(boxes_a_xyxy: NDArray[Float], boxes_b_xyxy: NDArray[Float]) -> NDArray[Float]:
    """Intersection over union (...,) of boxes (..., 4), each with the other array's box at its
    place, where arrays are broadcast; 0 where either is empty."""
    common = _intersections(boxes_a_xyxy, boxes_b_xyxy)
    union = box_areas(boxes_a_xyxy) + box_areas(boxes_b_xyxy) - common
    return np.asarray(common / np.maximum(union, MIN_UNION))


def box_iou_batch(boxes_a_xyxy: NDArray[Float], boxes_b_xyxy: NDArray[Float]) -> NDArray[Float]:
    """Intersection over union (n, m) of boxes (n, 4) with boxes (m, 4); 0 where either is empty."""
    return box_iou(boxes_a_xyxy[:, None], boxes_b_xyxy[None, :])


def box_coverage_batch(boxes_xyxy: NDArray[Float], regions_xyxy: NDArray[Float]) -> NDArray[Float]:
    """Share (n, m) of each box (n, 4) that lies inside each region (m, 4); 0 for an empty box."""
    common = _intersections(boxes_xyxy[:, None], regions_xyxy[None, :])
    areas = box_areas(boxes_xyxy)[:, None]
    shares = np.divide(common, areas, out=np.zeros_like(common), where=areas > 0)
    return np.asarray(shares)


def _intersections(boxes_a_xyxy: NDArray[Float], boxes_b_xyxy: NDArray[Float]) -> NDArray[Float]:
    """Common areas (...,)."""
    ax0, ay0, ax1, ay1 = _sides(boxes_a_xyxy)
    bx0, by0, bx1, by1 = _sides(boxes_b_xyxy)
    widths = np.minimum(ax1, bx1) - np.maximum(ax0, bx0)
    heights = np.minimum(ay1, by1) - np.maximum(ay0, by0)
    return np.asarray(np.maximum(widths, 0.0) * np.maximum(heights, 0.0))


def _sides(boxes_xyxy: NDArray[Float]) -> NDArray[Float]:
    """The corners' coordinates x0, y0, x1, y1 (4, ...): NumPy is slow along axes this short."""
    return np.moveaxis(boxes_xyxy, -1, 0)
