"""A provider in whose place another one is put."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from PIL import Image

from gateway.upstream.replaceable import ReplaceableProvider
from providers.base import Picture
from providers.detection import Box, Detection, Task
from providers.engine.worker import Detector, LocalProvider
from providers.options import Options, about_of
from tests.support.waiting import ThreadGate

PICTURE = Picture(4, 4, pixels=Image.new("RGB", (4, 4)))


def local(detect: Detector) -> LocalProvider:
    options = Options(kind="test")
    return LocalProvider(about_of("mine", options, frozenset({Task.OBJECTS})), detect, 60_000)


def answer(label: str) -> list[Detection]:
    return [Detection(label, 0.9, Box(0, 0, 1, 1))]


async def test_pictures_under_way_are_answered_by_the_provider_that_has_them() -> None:
    """A picture that the earlier provider looks at is answered by it, and closing it waits for
    that; all later ones are answered by the other one at once."""
    begun, go_on = ThreadGate(), threading.Event()

    def slow(image: Image.Image) -> Sequence[Detection]:
        begun.set()
        go_on.wait(60)
        return answer("old")

    provider = ReplaceableProvider(local(slow))
    under_way = asyncio.create_task(provider.detect(PICTURE, Task.OBJECTS))
    await begun.wait()
    closing = asyncio.create_task(provider.replace(local(lambda image: answer("new"))).close())
    assert await provider.detect(PICTURE, Task.OBJECTS) == answer("new")
    assert not closing.done()
    go_on.set()
    assert await under_way == answer("old")
    await closing
    await provider.ready()
    await provider.close()
