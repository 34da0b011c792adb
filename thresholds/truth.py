"""Ground truth in COCO's JSON form (https://cocodataset.org/#format-data)."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from providers.base import Box, Detection

SYNONYMS = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "tvmonitor": "tv",
    "diningtable": "dining table",
    "pottedplant": "potted plant",
}
"""PASCAL VOC's names for classes that COCO, and detectors trained on it, call otherwise."""


def read_coco(path: Path) -> dict[str, list[Detection]]:
    """By image file name, its true objects, boxes as fractions of the image; crowds are left out.

    Raises ValueError naming the file where it is not of that form.
    """
    try:
        document = json.loads(path.read_bytes())
        names = {category["id"]: category["name"] for category in document["categories"]}
        objects: dict[int, list[Detection]] = defaultdict(list)
        sizes = {image["id"]: (image["width"], image["height"]) for image in document["images"]}
        for annotation in document["annotations"]:
            if not annotation.get("iscrowd"):
                name = names[annotation["category_id"]]
                box = _box(annotation["bbox"], *sizes[annotation["image_id"]])
                objects[annotation["image_id"]].append(Detection(SYNONYMS.get(name, name), 1.0, box))
        return {image["file_name"]: objects[image["id"]] for image in document["images"]}
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: is not COCO ground truth ({error!r})") from None


def _box(xywh: list[float], width: int, height: int) -> Box:
    x, y, w, h = xywh
    return Box(x / width, y / height, (x + w) / width, (y + h) / height).clip()
