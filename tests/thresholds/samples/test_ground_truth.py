"""Ground truth as COCO writes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thresholds.samples.ground_truth import read_coco

IMAGES = [
    {"id": 1, "file_name": "a.jpg", "width": 200, "height": 100},
    {"id": 2, "file_name": "b.jpg", "width": 10, "height": 10},
]
CATEGORIES = [{"id": 3, "name": "sofa"}, {"id": 4, "name": "dog"}]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Any]:
    def reading(*annotations):
        file = tmp_path / "truth.json"
        file.write_text(
            json.dumps({"images": IMAGES, "categories": CATEGORIES, "annotations": annotations})
        )
        return read_coco(file)

    return reading


def test_objects(read: Callable[..., Any]) -> None:
    """Boxes are fractions of their image, labels those that COCO uses, and a crowd is apart from
    objects."""
    known = read(
        {"image_id": 1, "category_id": 3, "bbox": [20, 10, 100, 50]},
        {"image_id": 1, "category_id": 4, "bbox": [0, 0, 10, 10], "iscrowd": 1},
    )
    ((sofa,), _, (crowd,)) = known["a.jpg"]
    assert (sofa.label, sofa.score, sofa.box) == ("couch", 1.0, (0.1, 0.1, 0.6, 0.6))
    assert (crowd.label, crowd.box) == ("dog", (0.0, 0.0, 0.05, 0.1))
    assert (known["b.jpg"].objects, known["b.jpg"].crowds) == ([], [])


def test_labels(read: Callable[..., Any]) -> None:
    """The file speaks of all its categories on every image, found there or not, under the same
    names."""
    assert {known.labels for known in read().values()} == {frozenset({"couch", "dog"})}


def test_another_form(tmp_path: Path) -> None:
    """What is of another form, or not there, is an error that names the file."""
    (tmp_path / "truth.json").write_text("[]")
    with pytest.raises(ValueError, match=r"truth\.json: is not COCO"):
        read_coco(tmp_path / "truth.json")
    with pytest.raises(ValueError, match=r"none\.json: cannot be read"):
        read_coco(tmp_path / "none.json")
