"""Forms of detections that several dialects write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.core.model import Size
from providers.detection import Box, Detection

Point = tuple[float, float]
Corners = tuple[Point, Point, Point, Point]
"""From the top left clockwise, as fractions of the photo."""


def by_score(detections: Iterable[Detection]) -> list[Detection]:
    """The detections, highest score first."""
    return sorted(detections, key=lambda detection: -detection.score)


def words_by_line(detections: Iterable[Detection]) -> dict[int | None, list[Detection]]:
    """The words of each line, by the line's key."""
    words: dict[int | None, list[Detection]] = {}
    for detection in detections:
        if detection.kind == "WORD":
            words.setdefault(detection.parent, []).append(detection)
    return words


def box_corners(box: Box) -> Corners:
    """The corners of a box."""
    return (box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)


def quad_corners(detection: Detection) -> Corners:
    """The detection's polygon where it has four corners, else the corners of its box."""
    if len(detection.polygon) != 4:
        return box_corners(detection.box)
    first, second, third, fourth = detection.polygon
    return first, second, third, fourth


def pixel_vertices(corners: Sequence[Point], size: Size) -> list[dict[str, int]]:
    """The corners as `x` and `y` in whole pixels of a photo of that size."""
    return [{"x": pixel_of(x, size.width_px), "y": pixel_of(y, size.height_px)} for x, y in corners]


def pixel_of(fraction: float, side_px: int) -> int:
    """The pixel at a fraction of a side, within 0 and `side_px`."""
    return round(unit_clamp(fraction) * side_px)


def unit_clamp(value: float) -> float:
    """The value, within 0 and 1. NaN becomes 0: JSON has no NaN."""
    return min(max(0.0, value), 1.0)
