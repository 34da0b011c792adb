"""Un-gridding: from detections on a canvas to detections on its photos. Pure.

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

TEXT_KINDS = ("LINE", "WORD")

PADDING = 0.25
"""How much larger than the text a reader may draw its box, as a share of the text's height."""
EPSILON = 1e-6
"""A box that ends this near a seam does not cross it."""


def ungrid(
    layout: Layout, detections: Iterable[Detection], *, crossing: Crossing = "midpoint"
) -> list[list[Detection]]:
    """The detections of each photo, in the layout's order, as fractions of the photo and clipped to
    it. `detections` are fractions of the canvas.

    Detections in an empty cell, or wholly beside their photo, are dropped. So are text across two
    photos, parts that lie in another cell than their whole, and with `crossing="discard"` all boxes
    that reach into a second cell.
    """
    by_photo: list[list[Detection]] = [[] for _ in layout.photos]
    for detection in _separated(layout, list(detections)):
        index = _cell_of(layout, detection.box)
        if index is None or (crossing == "discard" and _crosses_seam(layout, detection.box)):
            continue
        mapped = _to_photo(layout, layout.photos[index], detection)
        if mapped.box.area > 0:
            by_photo[index].append(mapped)
    return by_photo


def photos_of_torn_text(layout: Layout, detections: Sequence[Detection]) -> set[int]:
    """The photos across which a piece of text was read, by index.

    A piece is a word, or a line without words. It may be half a word of either photo, or two words
    that touch at the seam; only a question about each photo alone can tell.
    """
    whole_keys = {detection.parent for detection in detections if detection.parent is not None}
    torn_photos: set[int] = set()
    for detection in detections:
        has_parts = detection.key is not None and detection.key in whole_keys
        if detection.kind in TEXT_KINDS and not has_parts:
            photos = _photos_under(layout, detection.box)
            if len(photos) > 1:
                torn_photos.update(photos)
    return torn_photos


def _photos_under(layout: Layout, box: Box) -> list[int]:
    """The photos that a text's box overlaps by more than its padding."""
    x0, x1 = box.x0 * layout.width_px, box.x1 * layout.width_px
    y0, y1 = box.y0 * layout.height_px, box.y1 * layout.height_px
    padding_px = PADDING * min(y1 - y0, x1 - x0)
    photos: list[int] = []
    for index, photo in enumerate(layout.photos):
        overlap_width_px = min(x1, photo.x + photo.width) - max(x0, photo.x)
        overlap_height_px = min(y1, photo.y + photo.height) - max(y0, photo.y)
        if overlap_width_px > padding_px and overlap_height_px > padding_px:
            photos.append(index)
    return photos


def _cell_of(layout: Layout, box: Box) -> int | None:
    """The photo whose cell holds the box's midpoint, by index; None where the cell is empty or off
    the canvas."""
    x, y = box.midpoint
    row, col = int(y * layout.shape.rows // 1), int(x * layout.shape.cols // 1)
    if not (0 <= row < layout.shape.rows and 0 <= col < layout.shape.cols):
        return None
    index = row * layout.shape.cols + col
    return index if index < len(layout.photos) else None


def _crosses_seam(layout: Layout, box: Box) -> bool:
    """Whether the box, clipped to the canvas, reaches into a second cell."""
    inside = box.clip()
    spans = (
        (inside.x0, inside.x1, layout.shape.cols),
        (inside.y0, inside.y1, layout.shape.rows),
    )
    for low, high, cells in spans:
        first_cell, last_cell = int(low * cells + EPSILON), ceil(high * cells - EPSILON) - 1
        if last_cell > first_cell:
            return True
    return False


def _to_photo(layout: Layout, photo: Rect, detection: Detection) -> Detection:
    """The detection as fractions of the photo. Box and polygon are clipped to it, landmarks are
    not."""
    x_scale, x_shift = layout.width_px / photo.width, photo.x / photo.width
    y_scale, y_shift = layout.height_px / photo.height, photo.y / photo.height

    def clipped(x: float, y: float) -> tuple[float, float]:
        return _clip(x * x_scale - x_shift), _clip(y * y_scale - y_shift)

    x0, y0, x1, y1 = detection.box
    box = Box(*clipped(x0, y0), *clipped(x1, y1))
    if not detection.polygon and not detection.landmarks:
        return detection.at(box)
    landmarks = tuple(
        landmark._replace(
            x=landmark.x * x_scale - x_shift,
            y=landmark.y * y_scale - y_shift,
            z=landmark.z * x_scale,
        )
        for landmark in detection.landmarks
    )
    polygon = tuple(clipped(x, y) for x, y in detection.polygon)
    return replace(detection, box=box, polygon=polygon, landmarks=landmarks)


def _clip(fraction: float) -> float:
    return 0.0 if fraction < 0 else 1.0 if fraction > 1 else fraction


def _separated(layout: Layout, detections: list[Detection]) -> list[Detection]:
    """The detections, with each part beside its whole, and each of one photo.

    A line of text across several photos becomes one line for each photo, of that photo's words. A
    word across several photos is dropped. Any other part is dropped where its cell is not its
    whole's.
    """
    parts_by_key: dict[int, list[Detection]] = defaultdict(list)
    for detection in detections:
        if detection.parent is not None:
            parts_by_key[detection.parent].append(detection)
    keys = {detection.key for detection in detections} - {None}
    separated: list[Detection] = []
    for detection in detections:
        parts = parts_by_key.get(detection.key, []) if detection.key is not None else []
        if parts:
            separated += _whole_with_parts(layout, detection, parts, keys)
        elif detection.parent not in keys and not _is_torn(layout, detection):
            separated.append(detection)
    return separated


def _whole_with_parts(
    layout: Layout, whole: Detection, parts: Sequence[Detection], keys: set[int | None]
) -> list[Detection]:
    """A detection and its parts, as far as they belong to one photo. A whole that is itself a part
    is returned with its own whole."""
    if whole.kind not in TEXT_KINDS:
        cell = _cell_of(layout, whole.box)
        return [whole, *(part for part in parts if _cell_of(layout, part.box) == cell)]
    words = [part for part in parts if not _is_torn(layout, part)]
    cells = {_cell_of(layout, piece.box) for piece in (whole, *parts)}
    if len(words) < len(parts) or len(cells) > 1:
        return _lines_by_photo(layout, whole, words)
    return [whole, *parts] if whole.parent not in keys else []


def _is_torn(layout: Layout, detection: Detection) -> bool:
    """Whether the detection is text across several photos."""
    return detection.kind in TEXT_KINDS and len(_photos_under(layout, detection.box)) > 1


def _lines_by_photo(layout: Layout, line: Detection, words: Sequence[Detection]) -> list[Detection]:
    """One line with its words for each photo. All lines have the same key: keys differ within one
    photo only."""
    words_by_cell: dict[int | None, list[Detection]] = defaultdict(list)
    for word in words:
        words_by_cell[_cell_of(layout, word.box)].append(word)
    detections: list[Detection] = []
    for group in words_by_cell.values():
        box = _hull([word.box for word in group])
        corners = ((box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1))
        label = " ".join(word.label for word in group)
        score = min(line.score, *(word.score for word in group))
        detections.append(replace(line, label=label, score=score, box=box, polygon=corners))
        detections += group
    return detections


def _hull(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all the boxes."""
    return Box(
        min(box.x0 for box in boxes),
        min(box.y0 for box in boxes),
        max(box.x1 for box in boxes),
        max(box.y1 for box in boxes),
    )
