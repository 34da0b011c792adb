"""What providers share that speak HTTP themselves: one pool of connections, answers of bounded size
and time, and faults in the common words."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import httpx

from providers.base import About, Picture
from providers.detection import Detection, Task
from providers.errors import Misconfigured, NoAnswer, ProviderError, Throttled, Unavailable
from providers.remote.sdk import ThreadedProvider, pause_s

CONNECT_S = 5.0
GREET_S = 3.0
LONGEST_MESSAGE = 300
"""Characters of what a server says went wrong."""
MOST_GREETING_BYTES = 64 * 1024


class HttpAnswer(NamedTuple):
    """What came back; names of headers in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpProvider(ThreadedProvider):
    """Calls in threads over one pool, one try a call. Holds the pool, and what everything threaded
    holds.

    `headers` go with every request. Nothing is redirected: what is sent is meant for the endpoint,
    keys included.
    """

    def __init__(
        self,
        about: About,
        endpoint: str,
        timeout_ms: int,
        *,
        headers: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(about, endpoint, clock=clock)
        self._base = endpoint.rstrip("/")
        self._timeout_s = timeout_ms / 1000
        self._client = httpx.Client(
            # what comes compressed may be a thousand times as large as its bytes
            headers={"Accept-Encoding": "identity", **(headers or {})},
            limits=httpx.Limits(
                max_connections=about.concurrency + 1, max_keepalive_connections=about.concurrency
            ),
        )

    @abstractmethod
    def greet(self) -> None:
        """Asks whether it could be asked now, in a thread. Raises one of the `ProviderError`s and
        nothing else."""

    async def detect(
        self, picture: Picture, task: Task, wanted: Sequence[str] = ()
    ) -> Sequence[Detection]:
        """A server that sends its headers byte by byte is given up too; its thread goes on until it
        is done."""
        try:
            async with asyncio.timeout(2 * self._timeout_s):
                return await super().detect(picture, task, wanted)
        except TimeoutError:
            raise self._late(self._timeout_s) from None

    async def ready(self) -> None:
        self._check_open()
        self._check_refused()
        await asyncio.to_thread(self.greet)

    def exchange(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        most_bytes: int = MOST_GREETING_BYTES,
        timeout_s: float | None = None,
    ) -> HttpAnswer:
        """One request to a path below the endpoint, and its answer, whatever its status.

        Raises Unavailable where nothing was sent, and NoAnswer where something was and no whole
        answer of at most `most_bytes` came in time.
        """
        limit_s = timeout_s or self._timeout_s
        until, limits = (
            self._clock() + limit_s,
            httpx.Timeout(limit_s, connect=min(limit_s, CONNECT_S)),
        )
        try:
            with self._client.stream(
                method, f"{self._base}{path}", content=content, headers=headers, timeout=limits
            ) as answer:
                body = self._body(answer, most_bytes, until)
                if body is None:
                    raise self._late(limit_s)
                return HttpAnswer(answer.status_code, answer.headers, body)
        except (
            httpx.ConnectError,
            httpx.ConnectTimeout,
            httpx.PoolTimeout,
            httpx.ProxyError,
        ) as error:
            raise Unavailable(
                f"{self._base} takes no connection ({error or 'no answer in time'})"
            ) from error
        except httpx.TimeoutException as error:
            raise self._late(limit_s) from error
        except httpx.HTTPError as error:
            raise NoAnswer(f"{self._base} hung up: {error}") from error
        except RuntimeError as error:  # httpx's word for a client that was closed meanwhile
            raise Unavailable(f"{self.about.name} has been closed") from error

    def _body(self, answer: httpx.Response, most_bytes: int, until: float) -> bytes | None:
        """None where it is not there by then."""
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise NoAnswer(f"{self._base} answers compressed, though nobody asked it to")
        parts: list[bytes] = []
        left = most_bytes
        for part in answer.iter_raw():
            left -= len(part)
            if left < 0:
                raise NoAnswer(f"{self._base} answers with more than {most_bytes} bytes")
            if self._clock() > until:
                return None
            parts.append(part)
        return b"".join(parts)

    def _late(self, limit_s: float) -> NoAnswer:
        setting = " (timeout_ms)" if limit_s == self._timeout_s else ""
        return NoAnswer(f"{self.about.name} gave no answer within {limit_s:g} s{setting}")

    def hang_up(self) -> None:
        self._client.close()


def refusal(answer: HttpAnswer, message: str) -> ProviderError:
    """What an answer without what was asked for means by its status, where nothing says more."""
    said = f"{answer.status}: {message[:LONGEST_MESSAGE]}"
    if answer.status == 429:
        return Throttled(said, pause_s(answer.headers))
    if answer.status < 300 or answer.status == 504:
        return NoAnswer(said)
    return (
        Unavailable(said) if answer.status >= 500 or answer.status == 408 else Misconfigured(said)
    )
