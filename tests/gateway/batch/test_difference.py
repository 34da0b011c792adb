"""Photos of a run that take another's answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.batch.difference import (
    BLOCK,
    AnsweredFrame,
    FrameSource,
    FrameThumbnail,
    film_order,
    frame_sources,
    photo_sources,
    plan_threshold,
    thumbnail,
)
from gateway.grid.perceptual_hash import perceptual_hash
from gateway.testing.pictures import Block, drawn, encoded, photo
from providers.detection import Box, Detection
from tests.support.photos import broken_photo
from thresholds.difference import THUMBNAIL_PX, DifferenceFilter, Thumbnails
from thresholds.plan.difference_plan import THRESHOLDS


def pixels(level: int) -> Thumbnails:
    """A thumbnail of one grey level."""
    return np.full((4, 4), level, np.uint8)


def frame(number: int, level: int | None) -> FrameThumbnail:
    """A frame of one grey level, or one that cannot be decoded."""
    return FrameThumbnail(f"{number}.jpg", None if level is None else pixels(level))


def sources(*levels: int | None) -> list[int]:
    """The number of the source of each frame."""
    frames = [frame(number, level) for number, level in enumerate(levels)]
    return [int(each.source.partition(".")[0]) for each in frame_sources(frames, 0.05)]


def test_a_frame_takes_the_answer_of_one_like_it() -> None:
    """Frames like the last that was asked about take its answer."""
    assert sources(10, 11, 90, 91, 10) == [0, 0, 2, 2, 4]


def test_a_broken_frame_is_asked_about_itself() -> None:
    """A frame that cannot be decoded is asked about itself, and the next goes on as before it."""
    assert sources(None, 10, None, 10, 90) == [0, 1, 2, 1, 4]
    assert sources(None) == [0]
    assert sources() == []


@given(
    runs=st.lists(st.tuples(st.integers(0, 255), st.integers(1, 2 * BLOCK)), min_size=1, max_size=6)
)
def test_sources_reach_across_blocks(runs: list[tuple[int, int]]) -> None:
    """Frames are told their source across blocks of any number."""
    levels = [level for level, length in runs for _ in range(length)]
    thumbnails = np.repeat(np.array(levels, np.uint8), 16).reshape(-1, 4, 4)
    assert sources(*levels) == DifferenceFilter(0.05).sources(thumbnails).tolist()


def test_a_thumbnail_is_grey_and_upright() -> None:
    """A thumbnail is small and grey, and the same however the photo is stored."""
    image = drawn((300, 200), Block("red", 0, 0, 150, 200))
    upright = thumbnail(photo(encoded(image, "JPEG")))
    turned = thumbnail(photo(encoded(image, "JPEG", orientation=6)))
    assert upright is not None
    assert turned is not None
    assert upright.shape == (THUMBNAIL_PX, THUMBNAIL_PX)
    assert np.abs(upright.astype(int) - turned).max() <= 2


def test_a_broken_photo_has_no_thumbnail() -> None:
    """A photo that cannot be decoded has no thumbnail."""
    assert thumbnail(broken_photo()) is None


def test_near_duplicates_share_an_answer_in_any_order() -> None:
    """A photo in another size and format takes the answer of the first; another photo and a blank
    one are asked about."""
    red = drawn((300, 200), Block("red", 20, 20, 120, 180))
    blue = drawn((300, 200), Block("blue", 180, 20, 280, 180), Block("green", 10, 10, 90, 90))
    images = {
        "red.png": encoded(red),
        "blue.png": encoded(blue),
        "small.jpg": encoded(red.resize((150, 100)), "JPEG"),
        "blank.png": encoded(drawn((300, 200))),
        "blank2.png": encoded(drawn((300, 200))),
    }
    hashes = ((key, perceptual_hash(photo(data))) for key, data in images.items())
    shared = list(photo_sources(hashes, 3))
    assert shared[2] == FrameSource("small.jpg", "red.png")
    assert [each.key for each in shared if not each.is_asked] == ["small.jpg"]


def test_a_threshold_out_of_range_is_refused() -> None:
    """A threshold that is no share is refused."""
    with pytest.raises(ValueError, match="not from 0 to 1"):
        list(frame_sources([], 2))


def test_numbers_in_names_count_as_numbers() -> None:
    """Frames come in the order of their numbers, however these are written."""
    names = ["b1.jpg", "a10.jpg", "a2.jpg", "10.jpg", "9.jpg", "a2b10.jpg", "a2b9.jpg"]
    ordered = ["9.jpg", "10.jpg", "a2.jpg", "a2b9.jpg", "a2b10.jpg", "a10.jpg", "b1.jpg"]
    assert film_order(names) == ordered


def test_a_threshold_keeps_apart_frames_with_other_answers() -> None:
    """Of clips whose answer changes with a change of the picture, the threshold is below that
    change; where none of the answers change, it is the highest."""
    red = [Detection("red", 0.9, Box(0, 0, 1, 1))]
    changing, steady = (
        [[AnsweredFrame(pixels(50), red), AnsweredFrame(pixels(60), second)] * 5] * 200
        for second in ([], red)
    )
    plan, best = plan_threshold(changing, 0.05), plan_threshold(steady, 0.05)
    assert plan is not None
    assert best is not None
    assert plan.threshold < 10 / 255 < best.threshold == THRESHOLDS[-1]
    assert (plan.saved, plan.loss) == (0, 0)
    assert best.saved == pytest.approx(0.9)
