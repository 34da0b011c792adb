"""The frame of every provider that computes on this machine: threads, a time limit, decoding, and
the translation of errors.

A local provider is a `Detector` wrapped in `LocalProvider`.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any, Literal

from PIL import Image

from providers.base import About, Picture
from providers.detection import Detection, Task
from providers.errors import Misconfigured, NoAnswer, PictureRefused, ProviderError, Unavailable
from providers.options import Options
from providers.prices import Price

Detector = Callable[[Image.Image], Sequence[Detection]]
"""RGB pixels in, all detections out. Called from `About.concurrency` threads at once."""


def about_of(
    name: str, options: Options, task: Task, wants: Literal["bytes", "pixels"] = "pixels"
) -> About:
    """The `About` of a provider of one task. It is free of charge unless its options set a
    price."""
    return About(
        name=name,
        kind=options.kind,
        tasks=frozenset({task}),
        wants=wants,
        price=options.usd_per_image or Price(),
        canvas_px=(options.canvas.width_px, options.canvas.height_px),
        concurrency=options.concurrency,
        calls=options.calls,
    )


def import_package(package: str, extra: str) -> Any:
    """The imported package. Raises Misconfigured naming the extra of this project that installs
    it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise Misconfigured(
            f"{error}; install it: pip install 'imgrid-gateway[{extra}]'"
        ) from error


def rgb_image(picture: Picture) -> Image.Image:
    """The RGB pixels of a picture, decoded if it holds bytes only. Raises PictureRefused if the
    bytes are no picture."""
    if picture.pixels is not None:
        return picture.pixels if picture.pixels.mode == "RGB" else picture.pixels.convert("RGB")
    try:
        with Image.open(BytesIO(picture.data)) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureRefused(
            f"these {len(picture.data)} bytes cannot be decoded as a picture: {error}"
        ) from error


class LocalProvider:
    """A provider that runs its detector in threads of its own, one for each concurrent picture.

    State: the thread pool, and whether it was closed. A call beyond the time limit is abandoned,
    but its thread runs on: a thread cannot be stopped from outside.
    """

    def __init__(self, about: About, detector: Detector, timeout_ms: int) -> None:
        self._about = about
        self._detector = detector
        self._timeout_s = timeout_ms / 1000
        self._pool = ThreadPoolExecutor(
            about.concurrency, thread_name_prefix=f"provider-{about.name}"
        )
        self._closed = False

    @property
    def about(self) -> About:
        return self._about

    async def detect(
        self, picture: Picture, task: Task, extras: Sequence[str] = ()
    ) -> Sequence[Detection]:
        await self.ready()
        if task not in self._about.tasks:
            raise Misconfigured(
                f"{self._about.name} answers {', '.join(sorted(self._about.tasks))}, not {task}"
            )
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await loop.run_in_executor(self._pool, self._detect, picture)
        except TimeoutError:
            raise NoAnswer(
                f"{self._about.name} gave no answer within {self._timeout_s:g} s (timeout_ms)"
            ) from None

    async def ready(self) -> None:
        if self._closed:
            raise Unavailable(f"{self._about.name} has been closed")

    async def close(self) -> None:
        """Returns once all running calls have ended."""
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown)

    def _detect(self, picture: Picture) -> Sequence[Detection]:
        try:
            return self._detector(rgb_image(picture))
        except ProviderError:
            raise
        except Exception as error:  # a network's runtime raises types of its own
            raise Unavailable(
                f"{self._about.name} failed: {type(error).__name__}: {error}"
            ) from error
