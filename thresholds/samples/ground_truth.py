"""Ground truth in COCO's JSON form (https://cocodataset.org/#format-data)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from providers.detection import Box, Detection

SYNONYMS = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "tvmonitor": "tv",
    "diningtable": "dining table",
    "pottedplant": "potted plant",
}
"""From PASCAL VOC's names of classes to those of COCO and of detectors trained on it."""


class Known(NamedTuple):
    """The ground truth of one photo: its objects, and the labels of which they are complete.
    Objects of other labels are unknown, and so is the number of objects in a crowd."""

    objects: Sequence[Detection]
    labels: frozenset[str]
    crowds: Sequence[Detection] = ()


def read_coco(path: Path) -> dict[str, Known]:
    """The ground truth of each image by file name, boxes as fractions of the image. Crowds
    (`iscrowd`) are not objects. All categories of the file are complete on each of its images.

    Raises ValueError, naming the file, where it is not of that form.
    """
    try:
        return _known_by_file(json.loads(path.read_bytes()))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: is not COCO ground truth ({error!r})") from None


def _known_by_file(document: Any) -> dict[str, Known]:
    names = {category["id"]: _coco_name(category["name"]) for category in document["categories"]}
    labels = frozenset(names.values())
    objects: dict[int, list[Detection]] = defaultdict(list)
    crowds: dict[int, list[Detection]] = defaultdict(list)
    sizes_px = {image["id"]: (image["width"], image["height"]) for image in document["images"]}
    for annotation in document["annotations"]:
        name, image = names[annotation["category_id"]], annotation["image_id"]
        box = _box(annotation["bbox"], *sizes_px[image])
        boxes = crowds if annotation.get("iscrowd") else objects
        boxes[image].append(Detection(name, 1.0, box))
    return {
        image["file_name"]: Known(objects[image["id"]], labels, crowds[image["id"]])
        for image in document["images"]
    }


def _coco_name(name: str) -> str:
    return SYNONYMS.get(name, name)


def _box(xywh_px: list[float], width_px: int, height_px: int) -> Box:
    x, y, w, h = xywh_px
    return Box(x / width_px, y / height_px, (x + w) / width_px, (y + h) / height_px).clip()
