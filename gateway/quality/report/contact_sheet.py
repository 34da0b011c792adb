"""A sheet of small photos with the boxes of two answers, as a part of a page.

The colours are two of Okabe and Ito's, which colour-blind people can tell apart, and the lines
differ as well: solid, dashed, dotted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Literal, NamedTuple

from gateway.core.errors import PhotoError
from gateway.core.model import Size
from gateway.grid.tile import tile
from gateway.quality.collect.photos import photo_of_key
from gateway.quality.report.document import data_uri
from providers.detection import Detection

BoxKind = Literal["alone", "plan", "truth"]

TRUTH: Mapping[BoxKind, str] = {"truth": "ground truth"}

SIDE_PX = 320
MOST_BYTES = 20 * 1024
"""Of one photo on the sheet: twenty are 400 KiB, and 540 KiB as text of the page."""
QUALITIES = (75, 60, 45, 30, 15)
MOST_BOXES = 40
"""Boxes of one kind on a photo, those with the highest scores."""


class SheetPhoto(NamedTuple):
    """A photo of a profile by its key, its sides upright, the boxes of each kind, and what happened
    to it."""

    key: str
    size_px: tuple[int, int]
    boxes: Mapping[BoxKind, Sequence[Detection]]
    note: str


@dataclass(frozen=True, slots=True)
class ContactSheet:
    """Photos under a heading, their boxes of each kind in `names`. `thumbnails` are small JPEGs by
    the photos' keys; of the other photos only the boxes are drawn."""

    title: str
    photos: Sequence[SheetPhoto]
    names: Mapping[BoxKind, str]
    thumbnails: Mapping[str, bytes]

    def html(self) -> str:
        shots = "\n".join(self._shot(photo) for photo in self.photos)
        return f'<h3>{escape(self.title)}</h3><div class="sheet">{shots}</div>'

    def _shot(self, photo: SheetPhoto) -> str:
        width, height = thumbnail_size(photo.size_px)
        jpeg, drawn = self.thumbnails.get(photo.key), ""
        if jpeg is not None:
            drawn = f'<image href="{data_uri(jpeg)}" width="{width}" height="{height}"/>'
        boxes = _boxes(photo.boxes, width, height)
        words = [
            f"{name}: {_labels(photo.boxes.get(kind, ()))}" for kind, name in self.names.items()
        ]
        caption = "".join(f"<br>{escape(line)}" for line in words)
        return (
            f'<figure><svg viewBox="0 0 {width} {height}" role="img" '
            f'aria-label="{escape("; ".join(words))}">{drawn}{boxes}</svg>'
            f"<figcaption><strong>{escape(photo.note)}</strong>"
            f'<span class="soft">{caption}</span></figcaption></figure>'
        )


DRAWN: tuple[BoxKind, ...] = ("plan", "alone", "truth")
"""From bottom to top: solid lines show through dashed ones, and both through dotted ones."""


@dataclass(frozen=True, slots=True)
class SheetLegend:
    """Which line is whose."""

    names: Mapping[BoxKind, str]

    def html(self) -> str:
        entries = []
        for kind, name in self.names.items():
            rect = f'<rect class="{kind}" x="5" y="5" width="30" height="16"/>'
            swatch = f'<svg class="boxes" width="40" height="26" aria-hidden="true">{rect}</svg>'
            entries.append(f"<span>{swatch}{escape(name)}</span>")
        return f'<div class="legend">{"".join(entries)}</div>'


def sheet_parts(
    sheets: Mapping[str, Sequence[SheetPhoto]],
    names: Mapping[BoxKind, str],
    files: Mapping[str, Path],
) -> tuple[list[SheetLegend | ContactSheet], str]:
    """A legend and a sheet for each heading, and a sentence on photos that are no longer there,
    empty without any."""
    photos = [photo for each in sheets.values() for photo in each]
    jpegs = thumbnails(photos, files)
    parts: list[SheetLegend | ContactSheet] = [SheetLegend(names)]
    parts += [ContactSheet(title, each, names, jpegs) for title, each in sheets.items() if each]
    absent = len(photos) - len(jpegs)
    if not absent:
        return parts, ""
    return parts, (
        f" {absent} of these {len(photos)} photos are no longer where the profile found them, or "
        "have changed; their boxes are drawn without them."
    )


def _boxes(boxes: Mapping[BoxKind, Sequence[Detection]], width: int, height: int) -> str:
    """The boxes as lines of their kinds, over darker and wider ones that show on any photo."""
    casing, lines = "", ""
    for kind in DRAWN:
        best = sorted(boxes.get(kind, ()), key=lambda each: -each.score)[:MOST_BOXES]
        rects = [_rect(detection, width, height) for detection in best]
        casing += "".join(f"<rect {rect}/>" for rect in rects)
        lines += "".join(f'<rect class="{kind}" {rect}/>' for rect in rects)
    return f'<g class="boxes casing">{casing}</g><g class="boxes">{lines}</g>'


def _rect(detection: Detection, width: int, height: int) -> str:
    x1, y1, x2, y2 = detection.box
    sides = {
        "x": x1 * width,
        "y": y1 * height,
        "width": (x2 - x1) * width,
        "height": (y2 - y1) * height,
    }
    return " ".join(f'{name}="{value:.1f}"' for name, value in sides.items())


def _labels(detections: Sequence[Detection]) -> str:
    """The labels with their numbers, such as `person 2, dog`."""
    counts = Counter(detection.label for detection in detections).most_common()
    names = [f"{label} {count}" if count > 1 else label for label, count in counts]
    return ", ".join(names) or "nothing"


def thumbnail_size(size_px: tuple[int, int]) -> tuple[int, int]:
    """The sides of a photo's thumbnail: the longer one is `SIDE_PX`."""
    scale = SIDE_PX / max(size_px)
    return max(round(size_px[0] * scale), 1), max(round(size_px[1] * scale), 1)


def thumbnails(photos: Sequence[SheetPhoto], files: Mapping[str, Path]) -> dict[str, bytes]:
    """Small JPEGs of the photos, by key, without those that are no longer in their files."""
    jpegs = {}
    for photo in photos:
        jpeg = thumbnail(files[photo.key], photo.key) if photo.key in files else None
        if jpeg is not None:
            jpegs[photo.key] = jpeg
    return jpegs


def thumbnail(file: Path, key: str) -> bytes | None:
    """The photo in a file as a JPEG of at most `MOST_BYTES`; None where it is no longer there."""
    photo = photo_of_key(file, key)
    if photo is None:
        return None
    try:
        small = tile(photo, Size(*thumbnail_size(photo.size)))
    except PhotoError:
        return None
    for quality in QUALITIES:
        jpeg = BytesIO()
        small.save(jpeg, "JPEG", quality=quality)
        if jpeg.tell() <= MOST_BYTES:
            return jpeg.getvalue()
    return None
