"""Areas and overlaps of axis-aligned boxes, over NumPy arrays of corners (x0, y0, x1, y1)."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Float = TypeVar("Float", bound=np.floating[Any])

MIN_UNION = 1e-12
"""Divisor for two boxes without area, so that their IoU is 0."""


def box_areas(boxes_xyxy: NDArray[Float]) -> NDArray[Float]:
    """Areas (n,) of boxes (n, 4); 0 for an empty or inverted box."""
    sides = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0.0)
    return np.asarray(sides[:, 0] * sides[:, 1])


def box_iou_batch(boxes_a_xyxy: NDArray[Float], boxes_b_xyxy: NDArray[Float]) -> NDArray[Float]:
    """Intersection over union (n, m) of boxes (n, 4) with boxes (m, 4); 0 where either is empty."""
    common = _intersections(boxes_a_xyxy, boxes_b_xyxy)
    union = box_areas(boxes_a_xyxy)[:, None] + box_areas(boxes_b_xyxy)[None, :] - common
    return np.asarray(common / np.maximum(union, MIN_UNION))


def box_coverage_batch(boxes_xyxy: NDArray[Float], regions_xyxy: NDArray[Float]) -> NDArray[Float]:
    """Share (n, m) of each box (n, 4) that lies inside each region (m, 4); 0 for an empty box."""
    common = _intersections(boxes_xyxy, regions_xyxy)
    areas = box_areas(boxes_xyxy)[:, None]
    shares = np.divide(common, areas, out=np.zeros_like(common), where=areas > 0)
    return np.asarray(shares)


def _intersections(boxes_a_xyxy: NDArray[Float], boxes_b_xyxy: NDArray[Float]) -> NDArray[Float]:
    """Common areas (n, m)."""
    sides = np.maximum(  # in one expression, so that NumPy reuses the memory of its parts
        np.minimum(boxes_a_xyxy[:, None, 2:], boxes_b_xyxy[None, :, 2:])
        - np.maximum(boxes_a_xyxy[:, None, :2], boxes_b_xyxy[None, :, :2]),
        0.0,
    )
    return np.asarray(sides[..., 0] * sides[..., 1])
