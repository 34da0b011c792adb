"""From boxes on a canvas to boxes of its photos. Pure.

EECS-2023-182, section 3.1, Definition 1: a box belongs to the photo whose cell holds its midpoint.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import ceil

from gateway.core.layout import Layout, Rect
from providers.detection import Box, Detection
from thresholds.cascade import Crossing


def ungrid(
    layout: Layout, found: Iterable[Detection], *, crossing: Crossing = "midpoint"
) -> list[list[Detection]]:
    """Each photo's own detections, in the layout's order, as fractions of the photo and clipped to
    it.

    `found` has boxes as fractions of the canvas. What lies in an empty cell or wholly beside its
    photo is dropped; so is text that reaches over two photos, a part of something in another cell,
    and with `crossing="discard"` any box that reaches into a second cell.
    """
    own: list[list[Detection]] = [[] for _ in layout.photos]
    for detection in _unmixed(layout, list(found)):
        index = _cell(layout, detection.box)
        if index is None or (crossing == "discard" and _crosses(layout, detection.box)):
            continue
        mapped = _to_photo(layout, layout.photos[index], detection)
        if mapped.box.area > 0:
            own[index].append(mapped)
    return own


TEXT = ("LINE", "WORD")

PADDING = 0.25
"""Of a text's height: how much wider than the text itself a reader may draw its box."""


def torn(layout: Layout, found: Sequence[Detection]) -> set[int]:
    """The photos that a piece of text was read across, by index: what it says is no single photo's.

    A piece is a word, or a line that came without words. It may be a word that both photos have a
    half of, or two that touch at the seam; only asking about each of them alone tells.
    """
    parents = {detection.parent for detection in found if detection.parent is not None}
    pieces = (d for d in found if d.kind in TEXT and (d.key is None or d.key not in parents))
    return {
        index
        for piece in pieces
        if len(over := _photos_under(layout, piece.box)) > 1
        for index in over
    }


def _photos_under(layout: Layout, box: Box) -> list[int]:
    """The photos that a box of text lies over by more than its padding."""
    x0, x1 = box.x0 * layout.width_px, box.x1 * layout.width_px
    y0, y1 = box.y0 * layout.height_px, box.y1 * layout.height_px
    padding = PADDING * min(y1 - y0, x1 - x0)
    return [
        index
        for index, photo in enumerate(layout.photos)
        if min(x1, photo.x + photo.width) - max(x0, photo.x) > padding
        and min(y1, photo.y + photo.height) - max(y0, photo.y) > padding
    ]


def _cell(layout: Layout, box: Box) -> int | None:
    """The index of the photo whose cell holds the box's midpoint, None where the cell is empty or
    off the canvas."""
    x, y = box.midpoint
    row, col = int(y * layout.shape.rows // 1), int(x * layout.shape.cols // 1)
    if not (0 <= row < layout.shape.rows and 0 <= col < layout.shape.cols):
        return None
    index = row * layout.shape.cols + col
    return index if index < len(layout.photos) else None


def _crosses(layout: Layout, box: Box) -> bool:
    inside = box.clip()
    return any(
        ceil(high * cells - 1e-6) - 1 > int(low * cells + 1e-6)
        for low, high, cells in (
            (inside.x0, inside.x1, layout.shape.cols),
            (inside.y0, inside.y1, layout.shape.rows),
        )
    )


def _to_photo(layout: Layout, photo: Rect, detection: Detection) -> Detection:
    """From fractions of the canvas to fractions of the photo, cut off at its edges."""
    wide, left = layout.width_px / photo.width, photo.x / photo.width
    high, top = layout.height_px / photo.height, photo.y / photo.height
    x0, y0, x1, y1 = detection.box
    box = Box(
        _cut(x0 * wide - left), _cut(y0 * high - top), _cut(x1 * wide - left), _cut(y1 * high - top)
    )
    polygon = tuple((_cut(x * wide - left), _cut(y * high - top)) for x, y in detection.polygon)
    landmarks = tuple(
        mark._replace(x=mark.x * wide - left, y=mark.y * high - top, z=mark.z * wide)
        for mark in detection.landmarks
    )
    return replace(detection, box=box, polygon=polygon, landmarks=landmarks)


def _cut(fraction: float) -> float:
    return 0.0 if fraction < 0 else 1.0 if fraction > 1 else fraction


def _unmixed(layout: Layout, found: list[Detection]) -> list[Detection]:
    """Text that belongs to one photo each: a line that was read across several is replaced by one
    for each photo, made of that photo's words, and a piece that is `torn` is nobody's. A part of
    anything else goes where its whole does, or nowhere."""
    children: dict[int, list[Detection]] = defaultdict(list)
    for detection in found:
        if detection.parent is not None:
            children[detection.parent].append(detection)
    keys = {detection.key for detection in found} - {None}
    unmixed: list[Detection] = []
    for detection in found:
        words = children.get(detection.key, []) if detection.key is not None else []
        if words and detection.kind not in TEXT:
            cell = _cell(layout, detection.box)
            unmixed += [detection, *(part for part in words if _cell(layout, part.box) == cell)]
            continue
        whole = [word for word in words if not _is_torn(layout, word)]
        if words and (
            len(whole) < len(words)
            or len({_cell(layout, part.box) for part in (detection, *words)}) > 1
        ):
            unmixed.extend(_lines(layout, detection, whole))
        elif detection.parent not in keys and (words or not _is_torn(layout, detection)):
            unmixed += [detection, *words]
    return unmixed


def _is_torn(layout: Layout, piece: Detection) -> bool:
    return piece.kind in TEXT and len(_photos_under(layout, piece.box)) > 1


def _lines(layout: Layout, line: Detection, words: Sequence[Detection]) -> list[Detection]:
    """A line's words by photo, each group under a line of its own with the same key: keys need to
    differ within one photo only."""
    by_cell: dict[int | None, list[Detection]] = defaultdict(list)
    for word in words:
        by_cell[_cell(layout, word.box)].append(word)
    parts: list[Detection] = []
    for group in by_cell.values():
        boxes = [word.box for word in group]
        box = Box(
            min(b.x0 for b in boxes),
            min(b.y0 for b in boxes),
            max(b.x1 for b in boxes),
            max(b.y1 for b in boxes),
        )
        corners = ((box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1))
        label = " ".join(word.label for word in group)
        score = min(line.score, *(word.score for word in group))
        parts += [replace(line, label=label, score=score, box=box, polygon=corners), *group]
    return parts
