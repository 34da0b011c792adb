"""Ground truth as COCO writes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thresholds.samples.ground_truth import Known, read_coco

IMAGES = [
    {"id": 1, "file_name": "a.jpg", "width": 200, "height": 100},
    {"id": 2, "file_name": "b.jpg", "width": 10, "height": 10},
]
CATEGORIES = [{"id": 3, "name": "sofa"}, {"id": 4, "name": "dog"}]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., dict[str, Known]]:
    """`read(*annotations)`: the ground truth of a COCO file with these annotations."""

    def read_annotations(*annotations: dict[str, Any]) -> dict[str, Known]:
        file = tmp_path / "truth.json"
        file.write_text(
            json.dumps({"images": IMAGES, "categories": CATEGORIES, "annotations": annotations})
        )
        return read_coco(file)

    return read_annotations


def test_boxes_are_fractions_and_crowds_are_apart(read: Callable[..., dict[str, Known]]) -> None:
    """Boxes are fractions of their image, labels have COCO's names, and a crowd is apart from the
    objects."""
    known = read(
        {"image_id": 1, "category_id": 3, "bbox": [20, 10, 100, 50]},
        {"image_id": 1, "category_id": 4, "bbox": [0, 0, 10, 10], "iscrowd": 1},
    )
    ((sofa,), _, (crowd,)) = known["a.jpg"]
    assert (sofa.label, sofa.score, sofa.box) == ("couch", 1.0, (0.1, 0.1, 0.6, 0.6))
    assert (crowd.label, crowd.box) == ("dog", (0.0, 0.0, 0.05, 0.1))
    assert (known["b.jpg"].objects, known["b.jpg"].crowds) == ([], [])


def test_every_image_covers_all_categories(read: Callable[..., dict[str, Known]]) -> None:
    """Every image covers all categories of the file, with objects or without, under COCO's
    names."""
    assert {known.labels for known in read().values()} == {frozenset({"couch", "dog"})}


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    """The error for a file of another form, or a missing one, names the file."""
    (tmp_path / "truth.json").write_text("[]")
    with pytest.raises(ValueError, match=r"truth\.json: is not COCO"):
        read_coco(tmp_path / "truth.json")
    with pytest.raises(ValueError, match=r"none\.json: cannot be read"):
        read_coco(tmp_path / "none.json")
