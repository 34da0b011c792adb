"""Servers with a script for the egress guard, and resolvers with fixed answers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import (
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

from gateway.security.egress import (
    Resolve,
)


@dataclass(frozen=True)
class Request:
    """A request as the server received it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Script = Callable[[Request], Iterable[bytes | float]]
"""The parts of an answer to a request; a number is a pause in seconds."""


@dataclass
class ScriptedServer:
    """A server on loopback. Holds its requests and the number of connections; `done` is set after
    each conversation, and `sni_names` are the names that clients named in the handshake."""

    url: str = ""
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)
    sni_names: list[str] = field(default_factory=list)


Serve = Callable[..., Awaitable[ScriptedServer]]


LOOPBACK = [IPv4Network("127.0.0.1/32")]


def always(*addresses: str) -> Resolve:
    """A resolver that knows one answer."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


def failing(error: Exception) -> Resolve:
    """A resolver that raises the error."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        raise error

    return resolve


async def read_request(reader: asyncio.StreamReader) -> Request:
    """The request that arrives."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    method, path, _ = first.split(" ")
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body)


def reply(body: bytes = b"", status: str = "200 OK", **headers: Any) -> bytes:
    """An answer with its length; `Some_Name=value` becomes a header."""
    lines = {
        "Content-Length": len(body),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def closed_port() -> int:
    """A port of loopback without a server."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def chunked(body: bytes) -> list[bytes]:
    """An answer in one chunk."""
    return [
        reply(Content_Length=None, Transfer_Encoding="chunked"),
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
    ]


def drip(request: Request) -> Iterator[bytes | float]:
    """A body that comes byte by byte."""
    yield reply(Content_Length=1000)
    for _ in range(1000):
        yield 0.01
        yield b"."


def dripping_head(request: Request) -> Iterator[bytes | float]:
    """A header that comes line by line."""
    yield b"HTTP/1.1 200 OK\r\n"
    for number in range(1000):
        yield 0.01
        yield f"X-{number}: y\r\n".encode()


def dripping_redirects(request: Request) -> Iterator[bytes | float]:
    """A slow redirect to itself."""
    yield 0.1
    yield reply(status="302 Found", Location="/")


def silence(request: Request) -> Iterator[bytes | float]:
    """No answer."""
    yield 60.0
