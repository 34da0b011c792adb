"""The parts that providers share that compute on this machine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from PIL import Image

from providers.base import Picture
from providers.detection import Detection, Task
from providers.engine.worker import Detector, LocalProvider, about_of, import_package, rgb_image
from providers.errors import Misconfigured, NoAnswer, PictureRefused, Unavailable
from providers.options import Options

PICTURE = Picture(4, 4, pixels=Image.new("RGB", (4, 4)))


def local(detect: Detector, **settings: Any) -> LocalProvider:
    """A local provider of objects whose detector is `detect`."""
    options = Options(kind="test", **settings)
    return LocalProvider(about_of("mine", options, Task.OBJECTS), detect, options.timeout_ms)


def test_options_override_the_price_of_nothing() -> None:
    """A provider is free unless its options name a price, and its description repeats its
    options."""
    assert about_of("mine", Options(kind="test"), Task.TEXT).price.usd_per_image == 0
    about = about_of(
        "mine", Options(kind="test", usd_per_image=0.5, canvas="640x480", concurrency=3), Task.TEXT
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


async def test_an_answer_after_the_time_limit_is_none() -> None:
    """A detector that takes too long gives no answer; closing the provider waits until it has
    ended."""
    go_on, over = threading.Event(), threading.Event()

    def detect(image: Image.Image) -> Sequence[Detection]:
        go_on.wait(5)
        over.set()
        return []

    provider = local(detect, timeout_ms=10)
    with pytest.raises(NoAnswer, match=r"mine gave no answer within 0.01 s \(timeout_ms\)"):
        await provider.detect(PICTURE, Task.OBJECTS)
    go_on.set()
    await provider.close()
    assert over.is_set()


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


def test_a_missing_package_is_named_with_its_extra() -> None:
    """The error about a package that is not installed names it and the extra that brings it."""
    with pytest.raises(Misconfigured, match=r"no_such_reader.*pip install 'imgrid-gateway\[ocr\]'"):
        import_package("no_such_reader", "ocr")
