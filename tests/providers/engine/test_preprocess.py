"""Pictures of extreme proportions are padded before an engine sees them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from providers.detection import Box, Detection, Landmark
from providers.engine.preprocess import MAX_SIDE_RATIO, PADDING_RGB, padded_to_ratio

SIDES = st.integers(1, 600)


@given(SIDES, SIDES)
def test_no_side_is_many_times_the_other(width: int, height: int) -> None:
    """However thin a picture is, the padded one is not, and it shows the picture in its middle."""
    image = Image.new("RGB", (width, height), "red")
    padded = padded_to_ratio(image)
    assert max(padded.image.size) <= MAX_SIDE_RATIO * min(padded.image.size)
    x, y, shown_width, shown_height = padded.place
    assert (shown_width, shown_height) == (width, height)
    assert padded.image.crop((x, y, x + width, y + height)).tobytes() == image.tobytes()
    assert abs(padded.image.width - width - 2 * x) <= 1
    assert abs(padded.image.height - height - 2 * y) <= 1


@pytest.mark.parametrize("size", [(80, 10), (10, 80), (40, 40)])
def test_ordinary_pictures_are_left_alone(size: tuple[int, int]) -> None:
    """A picture of ordinary proportions is not copied, and its detections stay as they are."""
    image = Image.new("RGB", size)
    padded = padded_to_ratio(image)
    detection = Detection("dog", 0.5, Box(0.1, 0.2, 0.3, 0.4))
    assert padded.image is image
    assert padded.moved_back(detection) is detection


def test_padding_is_grey() -> None:
    """The padding is the grey that networks know from their training."""
    assert padded_to_ratio(Image.new("RGB", (800, 4))).image.getpixel((0, 0)) == PADDING_RGB


@given(SIDES, SIDES, st.floats(0, 1), st.floats(0, 1))
def test_detections_are_moved_back(width: int, height: int, x: float, y: float) -> None:
    """A place that is found on the padded picture is the place on the picture: of a box, of a
    polygon and of a landmark."""
    padded = padded_to_ratio(Image.new("RGB", (width, height)))
    seen = (
        (padded.place.x + x * width) / padded.image.width,
        (padded.place.y + y * height) / padded.image.height,
    )
    moved = padded.moved_back(
        Detection(
            "dog",
            0.5,
            Box(*seen, *seen),
            polygon=(seen,),
            landmarks=(Landmark("nose", *seen),),
        )
    )
    assert moved.box == pytest.approx((x, y, x, y), abs=1e-6)
    assert moved.polygon[0] == pytest.approx((x, y), abs=1e-6)
    assert (moved.landmarks[0].x, moved.landmarks[0].y) == pytest.approx((x, y), abs=1e-6)
