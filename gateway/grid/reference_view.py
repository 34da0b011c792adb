"""The view of a photo that reference looks are taken of: mirrored, and smaller within a grey frame.

A reference look is to judge both a photo alone and photos in grids. A detector makes the same
errors about a photo and its mirror image, so a look at the latter would favour photos alone, just
as one at a grid would favour grids. The frame shows the photo at a size between that of 1x1 and
that of the finest grid, 2x1, which is about as far from either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image, ImageOps

from gateway.core.model import Size
from gateway.grid.compose import GREY
from providers.detection import Box, Detection

SCALE = 0.85
"""A photo of 4:3 fills a square canvas alone, and is 0.67 as large in 2x1. Of the sizes between the
two, this one was fair by the ground truth of VOC and of COCO (docs/benchmarks.md)."""
MAX_SIDE_PX = 2048
"""Vision services shrink photos further before their model sees them."""


def drawn_size(size: Size) -> Size:
    """The size in which to draw the photo, with sides of at most MAX_SIDE_PX."""
    factor = min(MAX_SIDE_PX / max(size), 1.0)
    return Size(*(max(round(side * factor), 1) for side in size))


def reference_view(photo: Image.Image, scale: float = SCALE) -> Image.Image:
    """The upright photo's pixels, mirrored in the middle of a frame; they take up that share of its
    sides."""
    width, height = (max(round(side / scale), 1) for side in photo.size)
    view = Image.new("RGB", (width, height), GREY)
    corner = (width - photo.width) // 2, (height - photo.height) // 2
    view.paste(ImageOps.mirror(photo.convert("RGB")), corner)
    return view


def without_frame(detections: Sequence[Detection], scale: float = SCALE) -> list[Detection]:
    """The detections on the view as those on the photo, without what is in the frame."""
    on_photo = (_on_photo(detection, scale) for detection in detections)
    return [detection for detection in on_photo if detection.box.area > 0]


def _on_photo(detection: Detection, scale: float) -> Detection:
    frame = (1 - scale) / 2
    box = Box(*((side - frame) / scale for side in detection.box)).mirrored.clip()
    return replace(detection, box=box)
