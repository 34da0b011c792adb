"""What providers share that ask over a network: threads and readiness; and those that do so through
a vendor's SDK: pixels as fractions, and how a client's call is handed on."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from providers.base import About, ForwardCall, ForwardReply, Picture, feature
from providers.detection import Box, Detection, Task
from providers.errors import Misconfigured, NoAnswer, PictureRefused, Unavailable

UNREADY_S = 30.0
"""How long it is not ready after a call was refused as misconfigured. Not for ever: while nobody is
sent here, no call can show that it was put right."""

MOST_BYTES = 32 * 1024 * 1024
"""Of an answer that is handed on."""
HANDED_ON = (
    "content-type",
    "retry-after",
    "x-amz-retry-after",
    "x-amzn-requestid",
    "x-amzn-errortype",
    "apim-request-id",
)
"""Headers of an answer that clients go by. Others are about the connection, or the gateway's own
account."""


class ThreadedProvider(ABC):
    """Calls in threads, one try a call: trying again is the gateway's to decide.

    `url` is where the SDK sends its calls; https where it names no scheme. Holds its threads,
    whether it was closed, and what the last call said is misconfigured and when.
    """

    def __init__(
        self, about: About, url: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
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

    async def detect(
        self, picture: Picture, task: Task, wanted: Sequence[str] = ()
    ) -> Sequence[Detection]:
        self._check_open()
        self._check_served(task, wanted)
        if not picture.data and picture.pixels is None:
            raise PictureRefused("there are no bytes")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, self.call, picture, task, wanted)
        except Misconfigured as error:
            if task != Task.EXTRAS:  # what is wrong with those may be the one client's own options
                self._misconfigured = str(error), self._clock()
            raise
        self._misconfigured = None
        return found

    async def ready(self) -> None:
        """Whether the endpoint takes a connection, and the last call was not refused as
        misconfigured a moment ago."""
        self._check_open()
        self._check_refused()
        host, port = (
            self._url.hostname,
            self._url.port or (443 if self._url.scheme == "https" else 80),
        )
        try:
            async with asyncio.timeout(3):
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError) as error:
            raise Unavailable(
                f"{host}:{port} takes no connection ({error or 'no answer in 3 s'})"
            ) from error

    def _check_served(self, task: Task, wanted: Sequence[str]) -> None:
        name = self.about.name
        if task not in self.about.tasks:
            raise Misconfigured(f"{name} answers {', '.join(sorted(self.about.tasks))}, not {task}")
        unknown = [item for item in wanted if feature(item) not in self.about.extras]
        if task == Task.EXTRAS and (unknown or not wanted):
            asked = ", ".join(map(feature, unknown)) or "nothing"
            raise Misconfigured(
                f"{name} can say {', '.join(sorted(self.about.extras))}, not {asked}"
            )

    def _check_refused(self) -> None:
        if self._misconfigured:
            message, at = self._misconfigured
            if self._clock() - at < UNREADY_S:
                raise Misconfigured(message)

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(f"{self.about.name} has been closed")

    async def close(self) -> None:
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.hang_up()


class CloudProvider(ThreadedProvider):
    """One that can hand on clients' calls, for the same vendor is at both ends."""

    @abstractmethod
    def send(self, call: ForwardCall) -> ForwardReply:
        """Hands a client's call on, once, in one of the threads. Raises what `Forwarder.forward`
        does."""

    async def forward(self, call: ForwardCall) -> ForwardReply:
        """Of calls that are handed on nothing is concluded: what is wrong with one may be its
        client's doing."""
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.send, call)


class ExtraItem(NamedTuple):
    """One of what EXTRAS are `wanted`: the vendor's name of it, and the vendor's own options."""

    name: str
    options: Mapping[str, str]


def items_of(wanted: Sequence[str], options: Iterable[str]) -> list[ExtraItem]:
    """Each once, in their order; `"CROP_HINTS?max_results=3"` is one with an option.

    Raises PictureRefused where one has other options than those.
    """
    found: dict[str, ExtraItem] = {}
    for each in wanted:
        item = ExtraItem(feature(each), dict(parse_qsl(each.partition("?")[2])))
        if unknown := sorted(item.options.keys() - set(options)):
            raise PictureRefused(
                f"{item.name} has no option {', '.join(unknown)}, but {', '.join(sorted(options))}"
            )
        found.setdefault(item.name, item)
    return list(found.values())


def number(item: ExtraItem, option: str) -> int | None:
    """An option that is a whole number; None where it is not given. Raises PictureRefused where it
    is none."""
    if (written := item.options.get(option)) is None:
        return None
    if not (written.isascii() and written.isdigit() and len(written) < 10):
        raise PictureRefused(f"{option} of {item.name} is a whole number, not {written!r}")
    return int(written)


def read(
    chunks: Iterable[bytes], until: float, clock: Callable[[], float] = time.monotonic
) -> bytes:
    """The body of an answer that comes bit by bit. Raises NoAnswer where it is larger than
    `MOST_BYTES`, or not there by then."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > MOST_BYTES:
            raise NoAnswer(f"the answer is larger than {MOST_BYTES} bytes")
        if clock() > until:
            raise NoAnswer("the answer did not come to its end in time (timeout_ms)")
    return bytes(body)


def forwarded(status: int, headers: Mapping[str, str], body: bytes) -> ForwardReply:
    """An answer with the headers of it that are `HANDED_ON`."""
    lower = {name.lower(): value for name, value in headers.items()}
    return ForwardReply(status, {name: lower[name] for name in HANDED_ON if name in lower}, body)


def pooled(session: Any, connections: int) -> Any:
    """The `requests` session, keeping so many connections; ten else, however many are opened."""
    from requests.adapters import HTTPAdapter

    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=connections))
    return session


def pause_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by `Retry-After`; None where it is not there or is a date."""
    wait_s = headers.get("Retry-After", "")
    return float(wait_s) if wait_s.isdigit() else None


def fractions(points: Iterable[Any], size: tuple[int, int]) -> tuple[tuple[float, float], ...]:
    """Whatever has an `x` and a `y` in pixels, as fractions of a picture of that width and
    height."""
    return tuple((point.x / size[0], point.y / size[1]) for point in points)


def bounds(corners: Iterable[tuple[float, float]]) -> Box:
    """The smallest box around them. Raises ValueError where there are none."""
    xs, ys = zip(*corners, strict=True)
    return Box(min(xs), min(ys), max(xs), max(ys))
