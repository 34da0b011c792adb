"""Ground truth in COCO's JSON form (https://cocodataset.org/#format-data)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from providers.detection import Box, Detection

SYNONYMS = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "tvmonitor": "tv",
    "diningtable": "dining table",
    "pottedplant": "potted plant",
}
"""PASCAL VOC's names for classes that COCO, and detectors trained on it, call otherwise."""


class Known(NamedTuple):
    """What is true of one photo: its objects, and the labels that its truth speaks of. Whether
    there is anything of another label, nobody knows; nor how many objects there are in a crowd."""

    objects: Sequence[Detection]
    labels: frozenset[str]
    crowds: Sequence[Detection] = ()


def read_coco(path: Path) -> dict[str, Known]:
    """By image file name, what is true of it, boxes as fractions of the image; crowds (`iscrowd`)
    are no objects. The file speaks of all its categories, on each of its images.

    Raises ValueError naming the file where it is not of that form.
    """
    try:
        document = json.loads(path.read_bytes())
        names = {category["id"]: _usual(category["name"]) for category in document["categories"]}
        labels = frozenset(names.values())
        objects: dict[int, list[Detection]] = defaultdict(list)
        crowds: dict[int, list[Detection]] = defaultdict(list)
        sizes = {image["id"]: (image["width"], image["height"]) for image in document["images"]}
        for annotation in document["annotations"]:
            name = names[annotation["category_id"]]
            box = _box(annotation["bbox"], *sizes[annotation["image_id"]])
            kept = crowds if annotation.get("iscrowd") else objects
            kept[annotation["image_id"]].append(Detection(name, 1.0, box))
        return {
            image["file_name"]: Known(objects[image["id"]], labels, crowds[image["id"]])
            for image in document["images"]
        }
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: is not COCO ground truth ({error!r})") from None


def _usual(name: str) -> str:
    return SYNONYMS.get(name, name)


def _box(xywh: list[float], width: int, height: int) -> Box:
    x, y, w, h = xywh
    return Box(x / width, y / height, (x + w) / width, (y + h) / height).clip()
