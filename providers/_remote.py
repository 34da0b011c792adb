"""What providers share that ask over a network through a vendor's SDK: threads, readiness, pixels as fractions."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from providers.base import About, Box, Detection, Misconfigured, Picture, PictureRefused, Task, Unavailable

UNREADY_S = 30.0
"""How long it is not ready after a call was refused as misconfigured. Not for ever: while nobody is sent here, no call
can show that it was put right."""


class Remote(ABC):
    """Calls in threads, one try a call: trying again is the gateway's to decide.

    `url` is where the SDK sends its calls; https where it names no scheme. Holds its threads, whether it was closed,
    and what the last call said is misconfigured and when.
    """

    def __init__(self, about: About, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.about = about
        self._url = urlsplit(url if "://" in url else f"https://{url}")
        self._clock = clock
        self._closed = False
        self._misconfigured: tuple[str, float] | None = None
        self._threads = ThreadPoolExecutor(about.concurrency, f"{about.name}-call")

    @abstractmethod
    def call(self, picture: Picture, task: Task, wanted: Sequence[str]) -> Sequence[Detection]:
        """Asks once, in one of the threads. Raises one of the `ProviderError`s and nothing else."""

    @abstractmethod
    def hang_up(self) -> None:
        """Gives back the SDK's connections; may be called again."""

    async def detect(self, picture: Picture, task: Task, wanted: Sequence[str] = ()) -> Sequence[Detection]:
        self._check_open()
        if task not in self.about.tasks:
            raise Misconfigured(f"{self.about.name} answers {', '.join(sorted(self.about.tasks))}, not {task}")
        if not picture.data:
            raise PictureRefused("there are no bytes")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, self.call, picture, task, wanted)
        except Misconfigured as error:
            self._misconfigured = str(error), self._clock()
            raise
        self._misconfigured = None
        return found

    async def ready(self) -> None:
        """Whether the endpoint takes a connection, and the last call was not refused as misconfigured a moment ago."""
        self._check_open()
        if self._misconfigured:
            message, at = self._misconfigured
            if self._clock() - at < UNREADY_S:
                raise Misconfigured(message)
        host, port = self._url.hostname, self._url.port or (443 if self._url.scheme == "https" else 80)
        try:
            async with asyncio.timeout(3):
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"{host}:{port} takes no connection ({error or 'no answer in 3 s'})") from error

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(f"{self.about.name} has been closed")

    async def close(self) -> None:
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.hang_up()


def pause_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by `Retry-After`; None where it is not there or is a date."""
    wait_s = headers.get("Retry-After", "")
    return float(wait_s) if wait_s.isdigit() else None


def fractions(points: Iterable[Any], size: tuple[int, int]) -> tuple[tuple[float, float], ...]:
    """Whatever has an `x` and a `y` in pixels, as fractions of a picture of that width and height."""
    return tuple((point.x / size[0], point.y / size[1]) for point in points)


def bounds(corners: Iterable[tuple[float, float]]) -> Box:
    """The smallest box around them. Raises ValueError where there are none."""
    xs, ys = zip(*corners, strict=True)
    return Box(min(xs), min(ys), max(xs), max(ys))
