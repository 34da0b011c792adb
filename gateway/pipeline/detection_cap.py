"""Canvases for providers whose answers hold only so many detections. Pure.

All photos on a canvas share that limit: a crowded photo takes its neighbours' places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from gateway.core.layout import Layout
from gateway.grid.ungrid import photos_of_torn_text
from providers.base import About
from providers.detection import Detection, Task
from thresholds.shape import ALONE, Shape

COUNTED_KINDS = {Task.TEXT: "WORD", Task.EQUIPMENT: "PERSON", Task.LABELS: "LABEL"}
"""The kind of detection that counts against the limit, where not all kinds do."""
MARGIN = 1.5
"""Canvases are planned for so many times the detections of an average photo."""
WEIGHT = 0.02
"""The weight of one more photo in the mean, which so follows about the last fifty."""


def count(task: Task, detections: Sequence[Detection]) -> int:
    """How many detections count against the provider's limit."""
    kind = COUNTED_KINDS.get(task)
    return sum(kind is None or detection.kind == kind for detection in detections)


def doubt_reasons(
    layout: Layout, task: Task, detections: Sequence[Detection], max_detections: int | None
) -> Mapping[int, str]:
    """The photos whose answer the canvas does not tell for sure, by index, and the reason.

    Either the answer is full, so that detections may be missing; or text was read across two
    photos.
    """
    if layout.shape == ALONE:
        return {}
    if max_detections is not None and count(task, detections) >= max_detections:
        reason = f"the answer ends after {max_detections} detections"
        return dict.fromkeys(range(len(layout.photos)), reason)
    if task == Task.TEXT:
        return dict.fromkeys(
            photos_of_torn_text(layout, detections), "text mixed with a neighbour's"
        )
    return {}


class DetectionCap:
    """Chooses shapes whose photos do not fill an answer. Holds the recent mean of detections in a
    photo, by provider and task, which begins at zero."""

    def __init__(self) -> None:
        self._means: dict[tuple[str, Task], float] = {}

    def record(
        self, about: About, task: Task, detections: Sequence[Detection], photos: int
    ) -> None:
        """Counts the detections of one canvas of so many photos."""
        if task in about.most:
            key = about.name, task
            old_weight = (1 - WEIGHT) ** photos
            weighted_count = (1 - old_weight) * count(task, detections) / photos
            self._means[key] = old_weight * self._means.get(key, 0.0) + weighted_count

    def bound(self, shape: Shape, about: About, task: Task) -> Shape:
        """The shape, or the largest smaller one whose photos should not fill an answer; at least
        1x1."""
        limit = about.most.get(task, inf)
        per_photo = MARGIN * self._means.get((about.name, task), 0.0)
        rows, cols = shape
        while rows * cols > 1 and rows * cols * per_photo > limit:
            rows, cols = (rows - 1, cols) if rows >= cols else (rows, cols - 1)
        return Shape(rows, cols)
