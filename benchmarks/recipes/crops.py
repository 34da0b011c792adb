"""Crops of the objects of some labels, which the recipes train on."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path

from PIL import Image

MIN_SIDE_PX = 64
"""Of a crop."""
MARGIN = 0.1


def crops_of(
    folder: Path, truth: Path, labels: Collection[str]
) -> Iterator[tuple[str, str, Image.Image]]:
    """The photo's file name, the label and the pixels of every crop of a folder, by its ground
    truth (COCO)."""
    document = json.loads(truth.read_text())
    names = {each["id"]: each["name"] for each in document["categories"]}
    files = {each["id"]: each["file_name"] for each in document["images"]}
    for row in document["annotations"]:
        label = names[row["category_id"]]
        x, y, width, height = row["bbox"]
        if label not in labels or min(width, height) < MIN_SIDE_PX:
            continue
        path = folder / files[row["image_id"]]
        path = path if path.exists() else folder / "images" / files[row["image_id"]]
        with Image.open(path) as photo:
            box = (
                max(x - MARGIN * width, 0),
                max(y - MARGIN * height, 0),
                min(x + (1 + MARGIN) * width, photo.width),
                min(y + (1 + MARGIN) * height, photo.height),
            )
            yield path.name, label, photo.convert("RGB").crop(box)
