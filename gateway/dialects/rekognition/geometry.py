"""Rekognition's BoundingBox and Polygon: ratios of the photo's width and height."""

from __future__ import annotations

from collections.abc import Sequence

from providers.detection import Box


def bounding_box(box: Box) -> dict[str, float]:
    """The BoundingBox of a box."""
    return {"Width": box.x1 - box.x0, "Height": box.y1 - box.y0, "Left": box.x0, "Top": box.y0}


def polygon(corners: Sequence[tuple[float, float]]) -> list[dict[str, float]]:
    """The Polygon of corners."""
    return [{"X": x, "Y": y} for x, y in corners]
