"""What providers share that compute on this machine: threads, a time limit, decoding, and faults in
the common words.

A local provider is a `Look` wrapped in `LocalProvider`.
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

Look = Callable[[Image.Image], Sequence[Detection]]
"""RGB pixels in, all detections out. Called in several threads at once, as many as
`About.concurrency`."""


def introduce(
    name: str, options: Options, task: Task, wants: Literal["bytes", "pixels"] = "pixels"
) -> About:
    """What a provider of one task says of itself: free of charge unless its options put a price on
    it."""
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


def need(package: str, extra: str) -> Any:
    """The imported package. Raises Misconfigured naming the extra of this project that brings
    it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise Misconfigured(
            f"{error}; install it: pip install 'imgrid-gateway[{extra}]'"
        ) from error


def rgb(picture: Picture) -> Image.Image:
    """The pixels of a picture, decoded where it holds bytes only. Raises PictureRefused where it
    holds no picture."""
    if picture.pixels is not None:
        return picture.pixels if picture.pixels.mode == "RGB" else picture.pixels.convert("RGB")
    try:
        with Image.open(BytesIO(picture.data)) as opened:
            return opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureRefused(
            f"these {len(picture.data)} bytes cannot be decoded as a picture: {error}"
        ) from error


class LocalProvider:
    """A provider that looks in threads of its own, one for each picture asked about at the same
    time.

    State: the thread pool. A call that runs out of time is given up, but its thread goes on until
    the look is over: a thread cannot be stopped from outside.
    """

    def __init__(self, about: About, look: Look, timeout_ms: int) -> None:
        self._about = about
        self._look = look
        self._timeout_s = timeout_ms / 1000
        self._pool = ThreadPoolExecutor(
            about.concurrency, thread_name_prefix=f"provider-{about.name}"
        )
        self._closed = False

    @property
    def about(self) -> About:
        return self._about

    async def detect(
        self,
        picture: Picture,
        task: Task,
        wanted: Sequence[str] = (),
    ) -> Sequence[Detection]:
        await self.ready()
        if task not in self._about.tasks:
            raise Misconfigured(
                f"{self._about.name} answers {', '.join(sorted(self._about.tasks))}, not {task}"
            )
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.get_running_loop().run_in_executor(
                    self._pool, self._answer, picture
                )
        except TimeoutError:
            raise NoAnswer(
                f"{self._about.name} gave no answer within {self._timeout_s:g} s (timeout_ms)"
            ) from None

    async def ready(self) -> None:
        if self._closed:
            raise Unavailable(f"{self._about.name} has been closed")

    async def close(self) -> None:
        """Returns once the looks under way are over."""
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown)

    def _answer(self, picture: Picture) -> Sequence[Detection]:
        try:
            return self._look(rgb(picture))
        except ProviderError:
            raise
        except Exception as error:
            # A network's runtime raises types of its own; whatever it was, this picture has no
            # answer now.
            raise Unavailable(
                f"{self._about.name} failed: {type(error).__name__}: {error}"
            ) from error
