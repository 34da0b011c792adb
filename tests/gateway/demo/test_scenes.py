"""The drawn scenes of the demo of objects."""

import io
from collections import Counter

import pytest
from PIL import Image

from gateway.demo.scenes import Scene, draw
from providers.shapes import shapes_on


@pytest.mark.parametrize("scene", draw(12), ids=lambda scene: scene.name)
def test_all_things_are_found_on_the_picture_alone(scene: Scene) -> None:
    """The kind `shapes` finds on each picture the things that were drawn, and no others."""
    picture = Image.open(io.BytesIO(scene.jpeg)).convert("RGB")
    assert Counter(found.label for found in shapes_on(picture)) == Counter(scene.things)


def test_scenes_are_always_the_same() -> None:
    """The same scenes are drawn again, and a longer list begins with them."""
    assert draw(3) == draw(5)[:3]


def test_one_in_six_is_far_away() -> None:
    """One scene in six has two small things far away, which a grid shows too small."""
    names = [scene.name for scene in draw(12)]
    assert [name for name in names if name.startswith("far")] == ["far-06", "far-12"]
