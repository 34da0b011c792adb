"""A fetch has limits of size and time, and its failures say whether a later attempt may succeed."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import Callable

import pytest

from gateway.security.egress import EgressGuard
from gateway.security.egress_errors import FetchFailed
from tests.support.raw_http import (
    Answer,
    Parts,
    RawRequest,
    Serve,
    always,
    chunked,
    closed_port,
    drip,
    failing,
    reply,
    silence,
)

OpenGuard = Callable[..., EgressGuard]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda body: [reply(body)], id="with its length"),
        pytest.param(lambda body: [reply(Content_Length=None), body], id="until it hangs up"),
        pytest.param(chunked, id="chunked"),
    ],
)
async def test_a_body_has_a_limit(serve: Serve, open_guard: OpenGuard, answer: Answer) -> None:
    """A body of exactly the limit arrives whole, and one byte more is a permanent failure, however
    the body is sent."""
    server = await serve(lambda request: answer(bytes(100_000)))
    assert await open_guard().fetch(server.url, max_bytes=100_000) == bytes(100_000)
    with pytest.raises(FetchFailed, match="99999 bytes") as error:
        await open_guard().fetch(server.url, max_bytes=99_999)
    assert not error.value.transient


async def test_a_stated_length_over_the_limit_is_refused(
    serve: Serve, open_guard: OpenGuard
) -> None:
    """An answer that announces too much is refused before any of it arrives."""
    server = await serve(lambda request: [reply(Content_Length=10**12), 60.0])
    with pytest.raises(FetchFailed, match="larger than 1000 bytes"):
        await open_guard().fetch(server.url, max_bytes=1000)


async def test_an_endless_body_is_abandoned(serve: Serve, open_guard: OpenGuard) -> None:
    """The guard hangs up on an endless body once the limit is reached."""

    def endless(request: RawRequest) -> Parts:
        yield reply(Content_Length=None)
        while True:
            yield bytes(10_000)

    server = await serve(endless)
    with pytest.raises(FetchFailed, match="larger"):
        await open_guard().fetch(server.url, max_bytes=50_000)
    await server.done.wait()


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity, GZIP", gzip.compress)],
)
async def test_a_compressed_answer_is_inflated_within_the_limit(
    serve: Serve, open_guard: OpenGuard, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    """A compressed answer is inflated, and the limit is for what it inflates to."""
    body = compress(bytes(100_000))
    server = await serve(lambda request: [reply(body, Content_Encoding=encoding)])
    assert await open_guard().fetch(server.url, max_bytes=100_000) == bytes(100_000)
    with pytest.raises(FetchFailed, match="larger than 99999 bytes"):
        await open_guard().fetch(server.url, max_bytes=99_999)


@pytest.mark.parametrize(
    ("encoding", "body", "reason"),
    [
        ("br", b"photo", "'br'"),
        ("zstd", b"photo", "'zstd'"),
        ("gzip, gzip", b"photo", "'gzip, gzip'"),
        ("gzip", b"photo", "not gzip"),
        ("gzip", gzip.compress(b"photo", mtime=0)[:-4], "cut short"),
    ],
)
async def test_an_answer_that_cannot_be_inflated_is_refused(
    serve: Serve, open_guard: OpenGuard, encoding: str, body: bytes, reason: str
) -> None:
    """Other codings, and answers that are not what their coding says, are refused by name."""
    server = await serve(lambda request: [reply(body, Content_Encoding=encoding)])
    with pytest.raises(FetchFailed, match=reason) as error:
        await open_guard().fetch(server.url, max_bytes=100)
    assert not error.value.transient


async def test_the_encoding_identity_is_accepted(serve: Serve, open_guard: OpenGuard) -> None:
    """The encoding `identity` is no compression."""
    server = await serve(lambda request: [reply(b"photo", Content_Encoding="Identity")])
    assert await open_guard().fetch(server.url, max_bytes=10) == b"photo"


def dripping_head(request: RawRequest) -> Parts:
    """A head that never ends."""
    yield b"HTTP/1.1 200 OK\r\n"
    for number in range(1000):
        yield 0.01
        yield f"X-{number}: y\r\n".encode()


def dripping_redirects(request: RawRequest) -> Parts:
    """A redirect to itself, after a tenth of a second."""
    yield 0.1
    yield reply(status="302 Found", Location="/")


@pytest.mark.parametrize("answer", [drip, dripping_head, dripping_redirects, silence])
async def test_the_time_limit_covers_the_whole_call(
    serve: Serve, open_guard: OpenGuard, answer: Answer
) -> None:
    """A server that never pauses for long, and never ends either, takes too long; a later attempt
    may succeed."""
    server = await serve(answer)
    with pytest.raises(FetchFailed, match="too long") as error:
        await open_guard(timeout_s=0.2, max_redirects=100).fetch(server.url, max_bytes=10_000)
    assert error.value.transient


async def test_the_time_limit_covers_resolving(open_guard: OpenGuard) -> None:
    """A name that does not resolve in time takes too long."""

    async def never(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()

    with pytest.raises(FetchFailed, match="too long"):
        await open_guard(timeout_s=0.05, resolve=never).fetch(
            "http://photos.example/", max_bytes=10
        )


# What fails


@pytest.mark.parametrize(
    ("status", "transient"),
    [
        (204, False),
        (206, False),
        (304, False),
        (401, False),
        (404, False),
        (429, True),
        (500, True),
        (503, True),
    ],
)
async def test_only_200_is_an_answer(
    serve: Serve, open_guard: OpenGuard, status: int, transient: bool
) -> None:
    """Any other status is a failure, which says whether a later attempt may succeed."""
    server = await serve(lambda request: [reply(status=f"{status} So", Content_Length=None)])
    with pytest.raises(FetchFailed, match=f"status {status}") as error:
        await open_guard().fetch(server.url, max_bytes=10)
    assert error.value.transient is transient


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"\x16\x03\x01 no HTTP at all\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000],
        [reply(b"half", Content_Length=8)],
    ],
    ids=[
        "nothing",
        "no http",
        "no length",
        "two lengths",
        "packed transfer",
        "endless head",
        "half",
    ],
)
async def test_a_broken_answer_is_a_passing_failure(
    serve: Serve, open_guard: OpenGuard, parts: list[bytes]
) -> None:
    """A broken answer is a failed connection; a later attempt may succeed."""
    server = await serve(lambda request: parts)
    with pytest.raises(FetchFailed) as error:
        await open_guard().fetch(server.url, max_bytes=10)
    assert error.value.transient


async def test_a_refused_connection_is_a_passing_failure(
    open_guard: OpenGuard,
) -> None:
    """A refused connection may succeed later, and the error does not contain the address."""
    guard = open_guard(resolve=always("127.0.0.1"))
    with pytest.raises(FetchFailed) as error:
        await guard.post(f"http://photos.example:{closed_port()}/", b"", {})
    assert error.value.transient
    assert "127" not in str(error.value)


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (socket.gaierror(socket.EAI_NONAME, "not known"), False),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), True),
        (OSError("broken"), True),
        (UnicodeError("label too long"), False),
        (ValueError("odd"), False),
    ],
    ids=repr,
)
async def test_an_unresolved_name_is_a_failure(
    open_guard: OpenGuard, error: Exception, transient: bool
) -> None:
    """A name that cannot be resolved is a failure, and passing if the resolver's error is."""
    with pytest.raises(FetchFailed) as failed:
        await open_guard(resolve=failing(error)).fetch("http://photos.example/", max_bytes=10)
    assert failed.value.transient is transient


async def test_a_name_without_addresses_is_a_failure(open_guard: OpenGuard) -> None:
    """A name without addresses is a failure."""
    with pytest.raises(FetchFailed):
        await open_guard(resolve=always()).fetch("http://photos.example/", max_bytes=10)


async def test_a_call_can_be_cancelled(serve: Serve, open_guard: OpenGuard) -> None:
    """A cancelled call ends as cancelled, not as failed."""
    arrival = asyncio.Event()

    def waiting(request: RawRequest) -> Parts:
        arrival.set()
        yield 60.0

    server = await serve(waiting)
    fetching = asyncio.create_task(open_guard().fetch(server.url, max_bytes=10))
    await arrival.wait()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
