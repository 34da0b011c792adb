"""How many photos a canvas may show where an answer holds only so many detections, and whose
answers it cannot tell.

Pure. Such a limit is shared by all photos on a canvas: a crowded one takes its neighbours' places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from gateway.core.layout import Layout
from gateway.grid.ungrid import torn
from providers.base import About
from providers.detection import Detection, Task
from thresholds.shape import ALONE, Shape

COUNTED = {Task.TEXT: "WORD", Task.EQUIPMENT: "PERSON", Task.LABELS: "LABEL"}
"""The kind of detection that is limited, where not all are."""
MARGIN = 1.5
"""Canvases are planned to hold so many times what photos hold on average: they are not all
alike."""
WEIGHT = 0.02
"""Of one more photo in the mean, which so goes by the last fifty or so."""


def count(task: Task, found: Sequence[Detection]) -> int:
    """How many of an answer's detections the provider's limit counts."""
    kind = COUNTED.get(task)
    return sum(kind is None or detection.kind == kind for detection in found)


def doubted(
    layout: Layout, task: Task, found: Sequence[Detection], most: int | None
) -> Mapping[int, str]:
    """The photos whose answer this canvas cannot tell, by index, and why: the answer is full, so
    that some of it may be missing, or their text was read across a seam."""
    if layout.shape == ALONE:
        return {}
    if most is not None and count(task, found) >= most:
        return dict.fromkeys(range(len(layout.photos)), f"the answer ends after {most} detections")
    return (
        dict.fromkeys(torn(layout, found), "text mixed with a neighbour's")
        if task == Task.TEXT
        else {}
    )


class DetectionCap:
    """Holds how many detections photos have on average, lately, by provider and task; none to begin
    with."""

    def __init__(self) -> None:
        self._means: dict[tuple[str, Task], float] = {}

    def saw(self, about: About, task: Task, found: Sequence[Detection], photos: int) -> None:
        """So many photos had these detections together."""
        if task in about.most:
            key = about.name, task
            kept = (1 - WEIGHT) ** photos
            self._means[key] = (
                kept * self._means.get(key, 0.0) + (1 - kept) * count(task, found) / photos
            )

    def bound(self, shape: Shape, about: About, task: Task) -> Shape:
        """The shape, or the largest smaller one whose photos should not fill an answer; a photo
        alone in any case."""
        most = about.most.get(task, inf)
        each = MARGIN * self._means.get((about.name, task), 0.0)
        rows, cols = shape
        while rows * cols > 1 and rows * cols * each > most:
            rows, cols = (rows - 1, cols) if rows >= cols else (rows, cols - 1)
        return Shape(rows, cols)
