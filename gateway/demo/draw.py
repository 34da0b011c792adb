"""Draws on a canvas: cells with their clients, and boxes with their labels and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

from PIL import Image, ImageColor, ImageDraw, ImageFont

Rgb = tuple[int, int, int]
Rect = tuple[float, float, float, float]

PALETTE: tuple[Rgb, ...] = (
    (230, 57, 70),
    (29, 120, 200),
    (22, 143, 98),
    (245, 130, 32),
    (132, 70, 196),
    (0, 152, 166),
    (214, 51, 132),
    (94, 132, 20),
    (240, 180, 20),
    (72, 84, 204),
    (160, 92, 52),
    (64, 176, 216),
)
LINE, CAPTION, ON_CAPTION = (255, 255, 255, 210), (18, 22, 30, 205), (255, 255, 255, 255)
CAPTION_PX = 13
STEPS = 6
"""Places that are tried along an edge, less one."""
MAX_HIDDEN = 0.05
"""The most of a box that a tag may cover."""
SMALL_PX = 900
"""Pictures with a shorter longer side are drawn at twice their size, or tags would hide them."""


@dataclass(frozen=True)
class Cell:
    """A photo's rectangle, in pixels of the canvas (x0, y0, x1, y1), and its caption."""

    rect: Rect
    caption: str


@dataclass(frozen=True)
class BoxMark:
    """One detection, in pixels of the canvas (x0, y0, x1, y1)."""

    rect: Rect
    label: str
    score: float


class Tag(NamedTuple):
    """A text on a plate; `rect` is the plate."""

    rect: Rect
    text: str
    plate: tuple[int, ...]
    size_px: float


def annotate(picture: Image.Image, cells: Sequence[Cell], boxes: Sequence[BoxMark]) -> Image.Image:
    """An RGB copy with cells and boxes drawn on it, at twice the size if the picture is small."""
    zoom = 2 if max(picture.size) < SMALL_PX else 1
    canvas = picture.convert("RGB").resize(
        (picture.width * zoom, picture.height * zoom), Image.Resampling.LANCZOS
    )
    cells = [Cell(_zoomed(cell.rect, zoom), cell.caption) for cell in cells]
    marks = [BoxMark(_zoomed(mark.rect, zoom), mark.label, mark.score) for mark in boxes]
    pen = ImageDraw.Draw(canvas, "RGBA")
    for cell in cells:
        _dashed(pen, cell.rect)
    for mark in marks:
        _outline(pen, mark)
    for tag in tags_of(cells, marks, (0, 0, *canvas.size)):
        _write(pen, tag)
    return canvas


def colour(label: str) -> Rgb:
    """The colour of a label, which is the same on every canvas and in every run; its own where it
    names one."""
    if label in ImageColor.colormap:
        red, green, blue, *_ = ImageColor.getrgb(label)
        return red, green, blue
    return PALETTE[crc32(label.encode()) % len(PALETTE)]


def _zoomed(rect: Rect, zoom: int) -> Rect:
    """The rectangle scaled, with its corners in order."""
    x0, y0, x1, y1 = (side * zoom for side in rect)
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _dashed(pen: ImageDraw.ImageDraw, rect: Rect, dash_px: int = 9, gap_px: int = 6) -> None:
    """Draws a border just inside the rectangle, so that neighbours do not overlap."""
    x0, y0, x1, y1 = (round(side) for side in (rect[0], rect[1], rect[2] - 1, rect[3] - 1))
    for x in range(x0, x1 + 1, dash_px + gap_px):
        for y in (y0, y1):
            pen.line((x, y, min(x + dash_px, x1), y), LINE)
    for y in range(y0, y1 + 1, dash_px + gap_px):
        for x in (x0, x1):
            pen.line((x, y, x, min(y + dash_px, y1)), LINE)


def _outline(pen: ImageDraw.ImageDraw, mark: BoxMark) -> None:
    """Draws a tinted box. The dark hairline around it keeps it visible on its own colour."""
    x0, y0, x1, y1 = mark.rect
    ink = colour(mark.label)
    pen.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=(0, 0, 0, 90))
    pen.rectangle(mark.rect, (*ink, 26), (*ink, 255), 2)


def tags_of(cells: Sequence[Cell], marks: Sequence[BoxMark], whole: Rect) -> list[Tag]:
    """Captions, then the tags of boxes by falling score, each where it hides least.

    A tag that would hide more than `MAX_HIDDEN` of any box, or touch another tag, is left out: what
    was read matters more than its name, which the page lists anyway. `whole` is the canvas.
    """
    boxes = [mark.rect for mark in marks]
    tags: list[Tag] = []
    wanted = [_captions(cell) for cell in cells]
    wanted += [_box_tags(mark, cells, whole) for mark in sorted(marks, key=lambda m: -m.score)]
    for spots in wanted:
        plates = [tag.rect for tag in tags]
        free = [tag for tag in spots if _is_free(tag.rect, plates)]
        hidden = [_hidden_share(tag.rect, boxes) for tag in free]
        if min(hidden, default=1.0) <= MAX_HIDDEN:
            tags.append(free[hidden.index(min(hidden))])
    return tags


def _home(mark: BoxMark, cells: Sequence[Cell], whole: Rect) -> Rect:
    """The cell that holds the box's midpoint, or the whole canvas. The box's tag stays inside."""
    x, y = (mark.rect[0] + mark.rect[2]) / 2, (mark.rect[1] + mark.rect[3]) / 2
    for cell in cells:
        x0, y0, x1, y1 = cell.rect
        if x0 <= x < x1 and y0 <= y < y1:
            return cell.rect
    return whole


def _captions(cell: Cell) -> list[Tag]:
    """The cell's caption along its upper and its lower edge, the top left corner first."""
    x0, y0, x1, y1 = cell.rect
    width, height = _plate_px(cell.caption, CAPTION_PX)
    free_px = max(x1 - x0 - width - 6, 0)
    corners = [
        (x0 + 3 + free_px * step / STEPS, y)
        for y in (y0 + 3, y1 - 3 - height)
        for step in range(STEPS + 1)
    ]
    return [
        Tag((x, y, x + width, y + height), cell.caption, CAPTION, CAPTION_PX) for x, y in corners
    ]


def _box_tags(mark: BoxMark, cells: Sequence[Cell], whole: Rect) -> list[Tag]:
    """The tag of a box at every place: along its edges outside, beside it, and inside its upper
    corners; the usual places first."""
    text, ink = f"{mark.label} {mark.score:.2f}", (*colour(mark.label), 235)
    size_px = min(max((mark.rect[3] - mark.rect[1]) * 0.45, 10), 14)
    home = _home(mark, cells, whole)
    spots = _spots(mark.rect, *_plate_px(text, size_px))
    return [Tag(_inside(spot, home), text, ink, size_px) for spot in spots]


def _spots(box: Rect, width: float, height: float) -> list[Rect]:
    """The rectangles where a plate could go, the usual places first."""
    x0, y0, x1, y1 = box
    left, right, middle = x0 - 1, x1 + 1 - width, (y0 + y1 - height) / 2
    along = [left + (right - left) * step / STEPS for step in range(STEPS + 1)]
    outside = [(x, y) for y in (y0 - height, y1) for x in along]
    beside = [(x1 + 2, middle), (x0 - 2 - width, middle)]
    inside = [(left, y0), (right, y0)]
    return [(x, y, x + width, y + height) for x, y in outside + beside + inside]


def _plate_px(text: str, size_px: float) -> tuple[float, float]:
    """The width and height of a text's plate."""
    return round(ImageFont.load_default(size_px).getlength(text)) + 8, round(size_px * 1.3) + 2


def _inside(rect: Rect, home: Rect) -> Rect:
    """The rectangle moved into its home, in the same size."""
    dx = max(home[0] - rect[0], 0) or min(home[2] - rect[2], 0)
    dy = max(home[1] - rect[1], 0) or min(home[3] - rect[3], 0)
    return rect[0] + dx, rect[1] + dy, rect[2] + dx, rect[3] + dy


def _hidden_share(plate: Rect, boxes: Sequence[Rect]) -> float:
    """The largest share of any box that a plate would cover."""
    shares = (_overlap_px(plate, box) / max(_area_px(box), 1) for box in boxes)
    return max(shares, default=0.0)


def _is_free(plate: Rect, plates: Sequence[Rect]) -> bool:
    return not any(_overlap_px(plate, other) for other in plates)


def _overlap_px(one: Rect, other: Rect) -> float:
    """The square pixels that two rectangles share."""
    width = max(min(one[2], other[2]) - max(one[0], other[0]), 0)
    height = max(min(one[3], other[3]) - max(one[1], other[1]), 0)
    return width * height


def _area_px(rect: Rect) -> float:
    return max(rect[2] - rect[0], 0) * max(rect[3] - rect[1], 0)


def _write(pen: ImageDraw.ImageDraw, tag: Tag) -> None:
    x0, y0, _, y1 = tag.rect
    pen.rounded_rectangle(tag.rect, 3, tag.plate)
    pen.text(
        (x0 + 4, (y0 + y1) / 2),
        tag.text,
        _ink_on(tag.plate),
        ImageFont.load_default(tag.size_px),
        "lm",
    )


def _ink_on(plate: tuple[int, ...]) -> tuple[int, ...]:
    """Black or white, whichever reads better on the plate, by its brightness (ITU-R BT.601)."""
    brightness = 0.299 * plate[0] + 0.587 * plate[1] + 0.114 * plate[2]
    return (16, 18, 24, 255) if brightness > 150 else ON_CAPTION
