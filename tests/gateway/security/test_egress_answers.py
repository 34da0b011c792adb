"""The egress guard limits the answers that it reads, and names each failure."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import (
    Callable,
    Iterator,
    Sequence,
)
from typing import Any

import pytest

from gateway.security.egress import (
    EgressGuard,
    FetchFailed,
)
from tests.support.egress import (
    Request,
    Serve,
    always,
    chunked,
    closed_port,
    drip,
    dripping_head,
    dripping_redirects,
    failing,
    reply,
    silence,
)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda body: [reply(body)], id="with its length"),
        pytest.param(lambda body: [reply(Content_Length=None), body], id="until it hangs up"),
        pytest.param(chunked, id="chunked"),
    ],
)
async def test_a_body_has_a_limit(
    serve: Serve, guard_with: Callable[..., EgressGuard], answer: Callable[..., Any]
) -> None:
    """A body of the limit arrives whole; one byte more is a permanent failure, however it is
    sent."""
    server = await serve(lambda request: answer(bytes(100_000)))
    assert await guard_with().fetch(server.url, max_bytes=100_000) == bytes(100_000)
    with pytest.raises(FetchFailed, match="99999 bytes") as error:
        await guard_with().fetch(server.url, max_bytes=99_999)
    assert not error.value.transient


async def test_a_length_over_the_limit_is_refused_unread(
    serve: Serve, guard_with: Callable[..., EgressGuard]
) -> None:
    """An answer that announces too much is refused before any of it arrives."""
    server = await serve(lambda request: [reply(Content_Length=10**12), 60.0])
    with pytest.raises(FetchFailed, match="larger than 1000 bytes"):
        await guard_with().fetch(server.url, max_bytes=1000)


async def test_a_body_without_end_is_given_up(
    serve: Serve, guard_with: Callable[..., EgressGuard]
) -> None:
    """A server that never stops sending is given up once the limit is reached."""

    def endless(request: Request) -> Iterator[bytes | float]:
        yield reply(Content_Length=None)
        while True:
            yield bytes(10_000)

    server = await serve(endless)
    with pytest.raises(FetchFailed, match="larger"):
        await guard_with().fetch(server.url, max_bytes=50_000)
    await server.done.wait()


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "identity, gzip", "GZIP"])
async def test_a_compressed_answer_is_refused(
    serve: Serve, guard_with: Callable[..., EgressGuard], encoding: str
) -> None:
    """A compressed answer is refused, because it could unpack to more than the limit."""
    server = await serve(lambda request: [reply(b"photo", Content_Encoding=encoding)])
    with pytest.raises(FetchFailed, match="compressed") as error:
        await guard_with().fetch(server.url, max_bytes=10)
    assert not error.value.transient


async def test_the_encoding_identity_is_accepted(
    serve: Serve, guard_with: Callable[..., EgressGuard]
) -> None:
    """The encoding `identity` counts as uncompressed."""
    server = await serve(lambda request: [reply(b"photo", Content_Encoding="Identity")])
    assert await guard_with().fetch(server.url, max_bytes=10) == b"photo"


@pytest.mark.parametrize("answer", [drip, dripping_head, dripping_redirects, silence])
async def test_the_time_limit_covers_the_whole_call(
    serve: Serve, guard_with: Callable[..., EgressGuard], answer: Callable[..., Any]
) -> None:
    """A server that never pauses for long, and never ends either, takes too long; a retry may
    help."""
    server = await serve(answer)
    with pytest.raises(FetchFailed, match="too long") as error:
        await guard_with(timeout_s=0.2, max_redirects=100).fetch(server.url, max_bytes=10_000)
    assert error.value.transient


async def test_the_time_limit_covers_resolving(guard_with: Callable[..., EgressGuard]) -> None:
    """A name that does not resolve in time takes too long."""

    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()

    with pytest.raises(FetchFailed, match="too long"):
        await guard_with(timeout_s=0.05, resolve=never).fetch(
            "http://photos.example/", max_bytes=10
        )


# What fails


@pytest.mark.parametrize(
    ("status", "passing"),
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
    serve: Serve, guard_with: Callable[..., EgressGuard], status: int, passing: bool
) -> None:
    """Any other status fails, and the error states whether it may pass."""
    server = await serve(lambda request: [reply(status=f"{status} So", Content_Length=None)])
    with pytest.raises(FetchFailed, match=f"status {status}") as error:
        await guard_with().fetch(server.url, max_bytes=10)
    assert error.value.transient is passing


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
async def test_a_broken_answer_fails(
    serve: Serve, guard_with: Callable[..., EgressGuard], parts: list[bytes | float]
) -> None:
    """A broken answer is a failed connection, which may pass."""
    server = await serve(lambda request: parts)
    with pytest.raises(FetchFailed) as error:
        await guard_with().fetch(server.url, max_bytes=10)
    assert error.value.transient


async def test_a_refused_connection_may_pass_and_names_no_address(
    guard_with: Callable[..., EgressGuard],
) -> None:
    """A refused connection fails for now, and the message does not reveal the address behind the
    name."""
    guard = guard_with(resolve=always("127.0.0.1"))
    with pytest.raises(FetchFailed) as error:
        await guard.post(f"http://photos.example:{closed_port()}/", b"", {})
    assert error.value.transient
    assert "127" not in str(error.value)


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (socket.gaierror(socket.EAI_NONAME, "not known"), False),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), True),
        (OSError("broken"), True),
        (UnicodeError("label too long"), False),
        (ValueError("odd"), False),
    ],
    ids=repr,
)
async def test_a_resolver_that_fails_is_a_failure(
    guard_with: Callable[..., EgressGuard], error: Exception, passing: bool
) -> None:
    """A name that cannot be resolved fails, and may pass if the resolver says so."""
    with pytest.raises(FetchFailed) as failed:
        await guard_with(resolve=failing(error)).fetch("http://photos.example/", max_bytes=10)
    assert failed.value.transient is passing


async def test_a_name_without_addresses_is_a_failure(
    guard_with: Callable[..., EgressGuard],
) -> None:
    """A name without addresses fails."""
    with pytest.raises(FetchFailed):
        await guard_with(resolve=always()).fetch("http://photos.example/", max_bytes=10)


async def test_a_call_can_be_cancelled(
    serve: Serve, guard_with: Callable[..., EgressGuard]
) -> None:
    """A cancelled call raises no failure."""
    received = asyncio.Event()

    def waiting(request: Request) -> Iterator[bytes | float]:
        received.set()
        yield 60.0

    server = await serve(waiting)
    fetching = asyncio.create_task(guard_with().fetch(server.url, max_bytes=10))
    await received.wait()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching


# Posting


@pytest.mark.parametrize("status", [200, 204, 404, 410, 500])
async def test_a_post_arrives_and_its_status_returns(
    serve: Serve, guard_with: Callable[..., EgressGuard], status: int
) -> None:
    """Body and headers arrive as they were given, and any status is an answer."""
    server = await serve(
        lambda request: [reply(b"thanks" if status != 204 else b"", status=f"{status} So")]
    )
    headers = {
        "webhook-id": "7",
        "Content-Type": "application/json",
        "host": "other.example",
        "User-Agent": "other",
    }
    assert await guard_with().post(f"{server.url}/hook?a=b", b'{"a": 1}', headers) == status
    (request,) = server.requests
    assert (request.method, request.path, request.body) == ("POST", "/hook?a=b", b'{"a": 1}')
    assert request.headers["webhook-id"] == "7"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["user-agent"] == "imgrid-gateway"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_post_does_not_follow_redirects(
    serve: Serve, guard_with: Callable[..., EgressGuard], status: int
) -> None:
    """A redirect of a POST is the answer, and its target gets no request."""
    server = await serve(lambda request: [reply(status=f"{status} Moved", Location="/elsewhere")])
    assert await guard_with().post(server.url, b"{}", {}) == status
    assert [request.path for request in server.requests] == ["/"]


@pytest.mark.parametrize(
    "parts",
    [
        [reply(Content_Length=10**9), 60.0],
        [reply(Content_Length=None), *[bytes(10_000)] * 500],
        [reply(Content_Length=9)],
    ],
    ids=["announced", "sent", "cut"],
)
async def test_a_posts_status_counts_whatever_follows_it(
    serve: Serve,
    guard_with: Callable[..., EgressGuard],
    parts: list[bytes | float],
) -> None:
    """The answer's body is read for a few bytes only, and its end changes nothing."""
    server = await serve(lambda request: parts)
    assert await guard_with().post(server.url, b"{}", {}) == 200


async def test_a_posts_status_counts_when_time_is_up(
    serve: Serve, guard_with: Callable[..., EgressGuard]
) -> None:
    """A body that drips until the time is up does not undo the status before it."""
    server = await serve(drip)
    assert await guard_with(timeout_s=1).post(server.url, b"{}", {}) == 200


async def test_a_post_without_an_answer_takes_too_long(
    serve: Serve, guard_with: Callable[..., EgressGuard]
) -> None:
    """A missing status within the time limit is a failure that may pass."""
    server = await serve(silence)
    with pytest.raises(FetchFailed, match="too long") as error:
        await guard_with(timeout_s=0.1).post(server.url, b"{}", {})
    assert error.value.transient


@pytest.mark.parametrize(
    "headers", [{"a": "b\r\nc: d"}, {"a\n": "b"}, {"a": "\u20ac"}, {"\u20ac": "b"}]
)
async def test_a_header_cannot_smuggle_another(
    serve: Serve, guard_with: Callable[..., EgressGuard], headers: dict[str, str]
) -> None:
    """A malformed header fails before anything is sent."""
    server = await serve(lambda request: [reply()])
    with pytest.raises(FetchFailed) as error:
        await guard_with().post(server.url, b"{}", headers)
    assert not error.value.transient
    assert not server.requests
