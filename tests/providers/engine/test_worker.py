"""The parts that providers share that compute on this machine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from PIL import Image

from providers.base import Picture
from providers.detection import Box, Detection, Task
from providers.engine.look import RunningLook
from providers.engine.worker import Detector, LocalProvider, rgb_image
from providers.errors import NoAnswer, PictureRefused, Unavailable
from providers.options import Options, about_of

PICTURE = Picture(4, 4, pixels=Image.new("RGB", (4, 4)))


def local(detect: Detector, **settings: Any) -> LocalProvider:
    """A local provider of objects whose detector is `detect`."""
    options = Options(kind="test", **settings)
    return LocalProvider(
        about_of("mine", options, frozenset({Task.OBJECTS})), detect, options.timeout_ms
    )


def test_options_override_the_price_of_nothing() -> None:
    """A provider is free unless its options name a price, and its description repeats its
    options."""
    assert about_of("mine", Options(kind="test"), frozenset({Task.TEXT})).price.usd_per_image == 0
    about = about_of(
        "mine",
        Options(kind="test", usd_per_image=0.5, canvas="640x480", concurrency=3),
        frozenset({Task.TEXT}),
    )
    assert (about.price.usd_per_image, about.canvas_px, about.concurrency) == (0.5, (640, 480), 3)


async def test_pictures_are_computed_at_once_up_to_the_concurrency() -> None:
    """As many pictures are computed at the same time as the concurrency says."""
    barrier = threading.Barrier(3, timeout=5)

    def detect(image: Image.Image) -> Sequence[Detection]:
        barrier.wait()
        return []

    provider = local(detect, concurrency=3)
    assert await asyncio.gather(*(provider.detect(PICTURE, Task.OBJECTS) for _ in range(3))) == [
        [],
        [],
        [],
    ]
    await provider.close()


async def test_a_detectors_error_becomes_a_common_one() -> None:
    """Any error of a detector becomes the common error that names it; common errors pass
    unchanged."""

    def failing(error: Exception) -> LocalProvider:
        def detect(image: Image.Image) -> Sequence[Detection]:
            raise error

        return local(detect)

    with pytest.raises(Unavailable, match="mine failed: ZeroDivisionError: by nought"):
        await failing(ZeroDivisionError("by nought")).detect(PICTURE, Task.OBJECTS)
    with pytest.raises(PictureRefused, match="too dark"):
        await failing(PictureRefused("too dark")).detect(PICTURE, Task.OBJECTS)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("by nought"), IndexError("3"), MemoryError(), RuntimeError("shape")]
)
async def test_an_error_that_a_picture_causes_refuses_the_picture(error: Exception) -> None:
    """Where a detector fails on a picture and answers about a plain one, the picture is at fault:
    it is refused, so that its neighbours on a canvas are asked about without it."""

    def detect(image: Image.Image) -> Sequence[Detection]:
        if image.size == PICTURE.pixels.size:
            raise error
        return []

    with pytest.raises(PictureRefused, match=f"mine failed: {type(error).__name__}"):
        await local(detect).detect(PICTURE, Task.OBJECTS)


async def test_an_answer_after_the_time_limit_is_none() -> None:
    """A detector that takes too long gives no answer. It is not waited for: the next picture has
    another thread, and closing does not wait either."""
    go_on, first = threading.Event(), threading.Event()

    def detect(image: Image.Image) -> Sequence[Detection]:
        if not first.is_set():
            first.set()
            go_on.wait(20)
        return []

    provider = local(detect, timeout_ms=200, concurrency=2)
    with pytest.raises(NoAnswer, match=r"mine gave no answer within 0.2 s \(timeout_ms\)"):
        await provider.detect(PICTURE, Task.OBJECTS)
    assert await provider.detect(PICTURE, Task.OBJECTS) == []
    await asyncio.wait_for(provider.close(), 5)
    go_on.set()


async def test_closing_waits_for_calls_in_time() -> None:
    """Closing the provider waits for the calls that are still in time."""
    go_on, begun, over = threading.Event(), threading.Event(), threading.Event()

    def detect(image: Image.Image) -> Sequence[Detection]:
        begun.set()
        go_on.wait(5)
        over.set()
        return []

    provider = local(detect)
    asked = asyncio.create_task(provider.detect(PICTURE, Task.OBJECTS))
    await asyncio.to_thread(begun.wait, 5)
    closing = asyncio.create_task(provider.close())
    await asyncio.sleep(0.01)
    assert not closing.done()
    go_on.set()
    await closing
    assert over.is_set()
    assert await asked == []


async def test_a_provider_full_of_stuck_calls_is_unavailable() -> None:
    """As many calls that never end as may run at once make the provider unavailable, with the
    reason, until one ends."""
    go_on = threading.Event()

    def detect(image: Image.Image) -> Sequence[Detection]:
        go_on.wait(20)
        return []

    provider = local(detect, timeout_ms=20, concurrency=1)
    with pytest.raises(NoAnswer):
        await provider.detect(PICTURE, Task.OBJECTS)
    with pytest.raises(Unavailable, match="1 calls of mine go on long after their time"):
        await provider.ready()
    go_on.set()
    while True:
        try:
            await provider.ready()
            break
        except Unavailable:
            await asyncio.sleep(0.01)
    await provider.close()


class PatientDetector:
    """A detector whose look lasts until it is ended. Holds whether it was."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def __call__(self, image: Image.Image) -> Sequence[Detection]:
        raise AssertionError("its looks can be ended")

    def look(self, image: Image.Image, look: RunningLook) -> Sequence[Detection]:
        look.ends_with(self.ended.set)
        self.ended.wait(20)
        look.ends_with(self.ended.set)
        return []


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_look_beyond_its_time_is_ended(is_cancelled: bool) -> None:
    """A look is ended when its time is over, or when nobody waits for it any more."""
    detector = PatientDetector()
    provider = local(detector, timeout_ms=20_000 if is_cancelled else 20)
    asked = asyncio.create_task(provider.detect(PICTURE, Task.OBJECTS))
    await asyncio.sleep(0.05)
    if is_cancelled:
        asked.cancel()
    with pytest.raises((NoAnswer, asyncio.CancelledError)):
        await asked
    assert detector.ended.is_set()
    await provider.close()


@pytest.mark.parametrize("size", [(4000, 5), (5, 4000)])
async def test_extreme_proportions_are_padded_and_moved_back(size: tuple[int, int]) -> None:
    """A detector never sees a picture of extreme proportions, and its boxes are those of the
    picture as it was."""
    seen: list[Image.Image] = []

    def detect(image: Image.Image) -> Sequence[Detection]:
        seen.append(image)
        x, y = (1 - size[0] / image.width) / 2, (1 - size[1] / image.height) / 2
        return [Detection("all", 0.9, Box(x, y, 1 - x, 1 - y))]

    picture = Picture(*size, pixels=Image.new("RGB", size))
    (found,) = await local(detect).detect(picture, Task.OBJECTS)
    assert max(seen[0].size) <= 8 * min(seen[0].size)
    assert found.box == pytest.approx((0, 0, 1, 1), abs=0.11)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "RGB"])
def test_pictures_of_every_mode_become_rgb(mode: str, encoded: Callable[..., bytes]) -> None:
    """Pictures of every mode become RGB, from pixels and from bytes."""
    image = Image.new(mode, (3, 2))
    assert rgb_image(Picture(3, 2, pixels=image)).mode == "RGB"
    data = encoded(image, "TIFF")
    assert (rgb_image(Picture(3, 2, data=data)).mode, rgb_image(Picture(3, 2, data=data)).size) == (
        "RGB",
        (3, 2),
    )
