"""Providers that make blocking calls over a network: threads and readiness."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from urllib.parse import urlsplit

from providers.base import About, Picture, feature_name
from providers.detection import Detection, Task
from providers.errors import Misconfigured, PictureRefused, Unavailable
from providers.remote.call_threads import CallThreads

CONNECT_TIMEOUT_S = 3
MISCONFIGURED_FOR_S = 30.0
"""How long `ready` raises after a call failed as misconfigured. It ends by itself: without calls,
nothing else could show that the fault was repaired."""


class ThreadedProvider(ABC):
    """A provider with one thread for each concurrent call. It never repeats a call; that is for the
    gateway to decide.

    `url` is the endpoint, https if it names no scheme. State: the threads, whether it was closed,
    and the message and time of the last call if that failed as misconfigured.
    """

    def __init__(
        self, about: About, url: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.about = about
        self._url = urlsplit(url if "://" in url else f"https://{url}")
        self._clock = clock
        self._closed = False
        self._misconfigured: tuple[str, float] | None = None
        self._threads = CallThreads(about.name, about.concurrency)

    @abstractmethod
    def call(self, picture: Picture, task: Task, extras: Sequence[str]) -> Sequence[Detection]:
        """The detections from one call, made in one of the threads. Raises a `ProviderError` and
        nothing else."""

    @abstractmethod
    def disconnect(self) -> None:
        """Closes the connections. May be called again."""

    async def detect(
        self, picture: Picture, task: Task, extras: Sequence[str] = ()
    ) -> Sequence[Detection]:
        self._check_open()
        self._check_task(task, extras)
        if not (picture.data or picture.pixels or picture.draw):
            raise PictureRefused("there are no bytes")
        try:
            detections = await self._threads.run(partial(self.call, picture, task, extras))
        except Misconfigured as error:
            if task != Task.EXTRAS:  # there, the fault may lie in one client's own options
                self._misconfigured = str(error), self._clock()
            raise
        self._misconfigured = None
        return detections

    async def ready(self) -> None:
        """Returns if the endpoint accepts a connection and no recent call failed as
        misconfigured."""
        self._check_open()
        self._check_configured()
        default_port = 443 if self._url.scheme == "https" else 80
        host, port = self._url.hostname, self._url.port or default_port
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError) as error:
            raise Unavailable(
                f"{host}:{port} takes no connection "
                f"({error or f'no answer in {CONNECT_TIMEOUT_S} s'})"
            ) from error

    async def close(self) -> None:
        self._closed = True
        self._threads.close()
        self.disconnect()

    def _check_task(self, task: Task, extras: Sequence[str]) -> None:
        """Raises Misconfigured unless the provider answers the task and all features of EXTRAS."""
        name = self.about.name
        if task not in self.about.tasks:
            raise Misconfigured(f"{name} answers {', '.join(sorted(self.about.tasks))}, not {task}")
        if task != Task.EXTRAS:
            return
        features = [feature_name(item) for item in extras]
        unknown = [feature for feature in features if feature not in self.about.extras]
        if unknown or not features:
            raise Misconfigured(
                f"{name} can say {', '.join(sorted(self.about.extras))}, "
                f"not {', '.join(unknown) or 'nothing'}"
            )

    def _check_configured(self) -> None:
        if self._misconfigured:
            message, since = self._misconfigured
            if self._clock() - since < MISCONFIGURED_FOR_S:
                raise Misconfigured(message)

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(f"{self.about.name} has been closed")
