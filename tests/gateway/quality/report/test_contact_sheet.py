"""Sheets of small photos with boxes."""

from __future__ import annotations

import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gateway.quality.collect.photos import digest
from gateway.quality.report.contact_sheet import (
    MOST_BOXES,
    MOST_BYTES,
    ContactSheet,
    SheetLegend,
    SheetPhoto,
    sheet_parts,
    thumbnail,
)
from gateway.testing.pictures import Block, drawn, encoded
from providers.detection import Box, Detection

EVIL = "<script>alert('x')</script>&\""
DOG = Detection("dog", 0.9, Box(0.25, 0.5, 0.75, 1.0))
NAMES = {"plan": "the plan", "alone": "1x1"}


def shot(key: str = "k", note: str = "n", **boxes: list[Detection]) -> SheetPhoto:
    return SheetPhoto(key, (640, 320), boxes, note)


class Tags(HTMLParser):
    """Holds the start tags of a text with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.tags if attributes.get("class") == name]


def test_the_boxes_of_each_answer_have_their_own_line() -> None:
    """Both answers are drawn, in pixels of the small photo, each with its own kind of line."""
    sheet = ContactSheet("t", [shot(plan=[DOG], alone=[DOG, DOG])], NAMES, {})
    tags = Tags(sheet.html())
    (box,) = tags.of_class("plan")
    sides = box["x"], box["y"], box["width"], box["height"]
    assert sides == ("80.0", "80.0", "160.0", "80.0")
    assert len(tags.of_class("alone")) == 2


def test_labels_are_also_told_in_words() -> None:
    """The answers stand under the photo in words as well, for those who do not see the boxes."""
    text = ContactSheet("t", [shot(plan=[DOG, DOG])], NAMES, {}).html()
    assert "the plan: dog 2" in text
    assert "1x1: nothing" in text


def test_only_the_best_boxes_of_a_crowd_are_drawn() -> None:
    """Of very many boxes those with the highest scores are drawn."""
    crowd = [Detection("ant", score, DOG.box) for score in np.linspace(0, 1, 500)]
    tags = Tags(ContactSheet("t", [shot(plan=crowd)], NAMES, {}).html())
    assert len(tags.of_class("plan")) == MOST_BOXES


def test_everything_from_outside_is_escaped() -> None:
    """Names of labels and of files are text, never tags or attributes."""
    evil = Detection(EVIL, 0.9, DOG.box)
    sheet = ContactSheet(EVIL, [shot("k", EVIL, plan=[evil])], {"plan": EVIL}, {})
    for text in (sheet.html(), SheetLegend({"plan": EVIL}).html()):
        assert "<script" not in text
        assert "alert('x')" not in text


def noise(side_px: int) -> bytes:
    """A photo that hardly any compression makes smaller."""
    pixels = np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3), np.uint8)
    return encoded(Image.fromarray(pixels))


@pytest.mark.parametrize("data", [noise(700), encoded(drawn((300, 900), Block("red", 1, 1, 9, 9)))])
def test_a_small_photo_has_a_bounded_size(tmp_path: Path, data: bytes) -> None:
    """However large a photo is, its JPEG on the sheet has at most so many bytes and pixels."""
    file = tmp_path / "photo.png"
    file.write_bytes(data)
    jpeg = thumbnail(file, digest(data))
    assert jpeg is not None
    assert len(jpeg) <= MOST_BYTES
    with Image.open(io.BytesIO(jpeg)) as image:
        assert (image.format, max(image.size)) == ("JPEG", 320)


def test_photos_that_are_gone_are_told_and_their_boxes_drawn(tmp_path: Path) -> None:
    """A photo that is no longer in its file, or is another one now, is drawn as boxes only, and
    the sheet says how many."""
    data = noise(40)
    (tmp_path / "here.png").write_bytes(data)
    (tmp_path / "other.png").write_bytes(noise(50))
    files = {
        digest(data): tmp_path / "here.png",
        "changed": tmp_path / "other.png",
        "moved": tmp_path / "none.png",
    }
    photos = [shot(key, plan=[DOG]) for key in (*files, "unknown")]
    parts, absent = sheet_parts({"Lost most": photos, "Gained most": []}, NAMES, files)
    assert "3 of these 4 photos are no longer where the profile found them" in absent
    assert [type(part) for part in parts] == [SheetLegend, ContactSheet]
    tags = Tags(parts[1].html())
    assert sum(tag == "image" for tag, _ in tags.tags) == 1
    assert len(tags.of_class("plan")) == 4


def test_with_all_photos_there_nothing_is_told() -> None:
    """Without photos there is nothing to tell of any that are gone."""
    assert sheet_parts({"Lost most": []}, NAMES, {})[1] == ""
