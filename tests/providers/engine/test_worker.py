"""What providers share that compute on this machine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from providers.base import Picture
from providers.detection import Task
from providers.engine.worker import LocalProvider, about_of, import_package, rgb_image
from providers.errors import Misconfigured, NoAnswer, PictureRefused, Unavailable
from providers.options import Options

PICTURE = Picture(4, 4, pixels=Image.new("RGB", (4, 4)))


def local(look, **settings):
    options = Options(kind="test", **settings)
    return LocalProvider(about_of("mine", options, Task.OBJECTS), look, options.timeout_ms)


def test_about() -> None:
    """A provider is free unless its options name a price, and says what its options say."""
    assert about_of("mine", Options(kind="test"), Task.TEXT).price.usd_per_image == 0
    about = about_of(
        "mine", Options(kind="test", usd_per_image=0.5, canvas="640x480", concurrency=3), Task.TEXT
    )
    assert (about.price.usd_per_image, about.canvas_px, about.concurrency) == (0.5, (640, 480), 3)


async def test_parallel() -> None:
    """As many pictures are looked at together as its concurrency says."""
    together = threading.Barrier(3, timeout=5)

    def look(image):
        together.wait()
        return []

    provider = local(look, concurrency=3)
    assert await asyncio.gather(*(provider.detect(PICTURE, Task.OBJECTS) for _ in range(3))) == [
        [],
        [],
        [],
    ]
    await provider.close()


async def test_foreign_errors() -> None:
    """Whatever a look raises is an error of the common kind that tells what it was; common errors
    pass as they are."""

    def fails(error):
        def look(image):
            raise error

        return local(look)

    with pytest.raises(Unavailable, match="mine failed: ZeroDivisionError: by nought"):
        await fails(ZeroDivisionError("by nought")).detect(PICTURE, Task.OBJECTS)
    with pytest.raises(PictureRefused, match="too dark"):
        await fails(PictureRefused("too dark")).detect(PICTURE, Task.OBJECTS)


async def test_time_limit() -> None:
    """A look that takes too long is no answer; closing waits until it is over."""
    go_on, over = threading.Event(), threading.Event()

    def look(image):
        go_on.wait(5)
        over.set()
        return []

    provider = local(look, timeout_ms=10)
    with pytest.raises(NoAnswer, match=r"mine gave no answer within 0.01 s \(timeout_ms\)"):
        await provider.detect(PICTURE, Task.OBJECTS)
    go_on.set()
    await provider.close()
    assert over.is_set()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "RGB"])
def test_modes(mode: str, encoded: Callable[..., Any]) -> None:
    """Pictures of every mode become RGB, from pixels and from bytes."""
    image = Image.new(mode, (3, 2))
    assert rgb_image(Picture(3, 2, pixels=image)).mode == "RGB"
    data = encoded(image, "TIFF")
    assert (rgb_image(Picture(3, 2, data=data)).mode, rgb_image(Picture(3, 2, data=data)).size) == (
        "RGB",
        (3, 2),
    )


def test_package_missing() -> None:
    """A package that is not installed is named together with the extra that brings it."""
    with pytest.raises(Misconfigured, match=r"no_such_reader.*pip install 'imgrid-gateway\[ocr\]'"):
        import_package("no_such_reader", "ocr")
