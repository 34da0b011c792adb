"""HTTP written by hand: servers with invalid, slow or endless answers, and resolvers of names."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

Parts = Iterable[bytes | float]
"""What a server does in turn: it writes bytes, or waits for so many seconds."""


@dataclass(frozen=True)
class RawRequest:
    """A request as it arrived; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[RawRequest], Parts]
Serve = Callable[..., Awaitable["RawServer"]]
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class RawServer:
    """A server on loopback that writes an answer and hangs up.

    Holds the requests, the number of connections, and the names that clients of TLS asked for;
    `done` is set when a connection has ended.
    """

    def __init__(self, answer: Answer) -> None:
        self.requests: list[RawRequest] = []
        self.tls_names: list[str | None] = []
        self.connections = 0
        self.done = asyncio.Event()
        self._answer = answer
        self._conversations: set[asyncio.Task[Any]] = set()

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        if tls:
            tls.sni_callback = lambda _, name, __: self.tls_names.append(name)
        self._server = await asyncio.start_server(self._converse, "127.0.0.1", 0, ssl=tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def close(self) -> None:
        self._server.close()
        for task in self._conversations:
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task
        self._conversations.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            request = await read_request(reader)
            self.requests.append(request)
            for part in self._answer(request):
                await asyncio.sleep(part) if isinstance(part, float) else writer.write(part)
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        self.done.set()


async def read_request(reader: asyncio.StreamReader) -> RawRequest:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    method, path, _ = first.split(" ")
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return RawRequest(method, path, headers, body)


def reply(body: bytes = b"", status: str = "200 OK", **headers: Any) -> bytes:
    """A reply with its length; `Some_Name=value` becomes a header, and None leaves one out."""
    lines = {
        "Content-Length": len(body),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def chunked(body: bytes) -> list[bytes]:
    """A reply whose body is one chunk."""
    return [
        reply(Content_Length=None, Transfer_Encoding="chunked"),
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
    ]


def drip(request: RawRequest) -> Parts:
    """A body that takes ten seconds, a byte at a time."""
    yield reply(Content_Length=1000)
    for _ in range(1000):
        yield 0.01
        yield b"."


def silence(request: RawRequest) -> Parts:
    yield 60.0


def always(*addresses: str) -> Resolve:
    """A resolver that gives these addresses for every name."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


def failing(error: Exception) -> Resolve:
    """A resolver that raises."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        raise error

    return resolve


def closed_port() -> int:
    """A port of loopback on which nothing listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port
