"""Providers that speak HTTP themselves: one connection pool, responses of bounded size and time,
and the translation of errors."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import httpx

from providers.base import About, Picture
from providers.detection import Detection, Task
from providers.errors import NoAnswer, ProviderError, Unavailable
from providers.remote.status import status_error
from providers.remote.threaded import ThreadedProvider

CONNECT_TIMEOUT_S = 5.0
READY_TIMEOUT_S = 3.0
MAX_MESSAGE_CHARS = 300
"""The part of a server's error message that is passed on."""
MAX_STATUS_BYTES = 64 * 1024
"""The largest response without detections: a server's state or metadata."""


class HttpResponse(NamedTuple):
    """A response; header names may be in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpProvider(ThreadedProvider):
    """A provider that calls an HTTP endpoint from threads. It never repeats a call.

    `headers` go with every request. Redirects are not followed: the request, its keys included, is
    meant for the endpoint. State: the connection pool, and that of ThreadedProvider.
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
            # a compressed response may grow to a thousand times its bytes
            headers={"Accept-Encoding": "identity", **(headers or {})},
            limits=httpx.Limits(
                max_connections=about.concurrency + 1, max_keepalive_connections=about.concurrency
            ),
        )

    @abstractmethod
    def check_ready(self) -> None:
        """Returns if the server could be asked now. Runs in a thread. Raises a `ProviderError` and
        nothing else."""

    async def detect(
        self, picture: Picture, task: Task, extras: Sequence[str] = ()
    ) -> Sequence[Detection]:
        """All detections. The time limit holds even for a server that sends its headers byte by
        byte."""
        try:
            async with asyncio.timeout(2 * self._timeout_s):
                return await super().detect(picture, task, extras)
        except TimeoutError:
            raise self._timeout_error(self._timeout_s) from None

    async def ready(self) -> None:
        self._check_open()
        self._check_configured()
        try:
            async with asyncio.timeout(2 * READY_TIMEOUT_S):
                await self._threads.run(self.check_ready)
        except TimeoutError:
            raise Unavailable(
                f"{self._base} did not say within {2 * READY_TIMEOUT_S:g} s whether it is ready"
            ) from None

    def request(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_STATUS_BYTES,
        timeout_s: float | None = None,
    ) -> HttpResponse:
        """The response to one request to a path below the endpoint, whatever its status.

        Raises Unavailable if nothing was sent, and NoAnswer if no whole response of at most
        `max_bytes` came in time.
        """
        limit_s = timeout_s or self._timeout_s
        deadline_s = self._clock() + limit_s
        timeout = httpx.Timeout(limit_s, connect=min(limit_s, CONNECT_TIMEOUT_S))
        try:
            with self._client.stream(
                method, f"{self._base}{path}", content=content, headers=headers, timeout=timeout
            ) as response:
                body = self._read_body(response, max_bytes, deadline_s)
                if body is None:
                    raise self._timeout_error(limit_s)
                return HttpResponse(response.status_code, response.headers, body)
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
            raise self._timeout_error(limit_s) from error
        except httpx.HTTPError as error:
            raise NoAnswer(f"{self._base} hung up: {error}") from error
        except RuntimeError as error:  # httpx raises it if the client was closed meanwhile
            raise Unavailable(f"{self.about.name} has been closed") from error

    def disconnect(self) -> None:
        self._client.close()

    def _read_body(
        self, response: httpx.Response, max_bytes: int, deadline_s: float
    ) -> bytes | None:
        """The body; None if it is not complete at the deadline."""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise NoAnswer(f"{self._base} answers compressed, though nobody asked it to")
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > max_bytes:
                raise NoAnswer(f"{self._base} answers with more than {max_bytes} bytes")
            if self._clock() > deadline_s:
                return None
        return bytes(body)

    def _timeout_error(self, limit_s: float) -> NoAnswer:
        setting = " (timeout_ms)" if limit_s == self._timeout_s else ""
        return NoAnswer(f"{self.about.name} gave no answer within {limit_s:g} s{setting}")


def response_error(response: HttpResponse, message: str) -> ProviderError:
    """The error that a response without the expected content means, by its status alone."""
    text = f"{response.status}: {message[:MAX_MESSAGE_CHARS]}"
    return status_error(response.status, text, response.headers)
