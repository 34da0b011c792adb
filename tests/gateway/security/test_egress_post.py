"""A post arrives as it was given, and returns the status of the answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.security.egress import EgressGuard, seconds_of
from gateway.security.egress_errors import FetchFailed
from tests.support.raw_http import Serve, drip, reply, silence

OpenGuard = Callable[..., EgressGuard]


@pytest.mark.parametrize("status", [200, 204, 404, 410, 500])
async def test_a_post_arrives_and_its_status_returns(
    serve: Serve, open_guard: OpenGuard, status: int
) -> None:
    """Body and headers arrive as they were given, except the host and the agent; the post returns
    any status."""
    server = await serve(
        lambda request: [reply(b"thanks" if status != 204 else b"", status=f"{status} So")]
    )
    sent = {
        "webhook-id": "7",
        "Content-Type": "application/json",
        "host": "other.example",
        "User-Agent": "other",
    }
    assert (await open_guard().post(f"{server.url}/hook?a=b", b'{"a": 1}', sent)).status == status
    (request,) = server.requests
    assert (request.method, request.path, request.body) == ("POST", "/hook?a=b", b'{"a": 1}')
    assert request.headers["webhook-id"] == "7"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["user-agent"] == "imgrid-gateway"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_post_does_not_follow_redirects(
    serve: Serve, open_guard: OpenGuard, status: int
) -> None:
    """The status of a redirect is the answer, and its place is not asked."""
    server = await serve(lambda request: [reply(status=f"{status} Moved", Location="/elsewhere")])
    assert (await open_guard().post(server.url, b"{}", {})).status == status
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
    open_guard: OpenGuard,
    parts: list[bytes | float],
) -> None:
    """The answer's body is read for a few bytes at most, and changes nothing about the status."""
    server = await serve(lambda request: parts)
    assert (await open_guard().post(server.url, b"{}", {})).status == 200


async def test_a_posts_status_counts_when_time_is_up(serve: Serve, open_guard: OpenGuard) -> None:
    """A body that drips until the time limit does not undo the status before it."""
    server = await serve(drip)
    assert (await open_guard(timeout_s=1).post(server.url, b"{}", {})).status == 200


async def test_a_post_without_an_answer_takes_too_long(serve: Serve, open_guard: OpenGuard) -> None:
    """A post without a status within the time limit is a failure; a later attempt may succeed."""
    server = await serve(silence)
    with pytest.raises(FetchFailed, match="too long") as error:
        await open_guard(timeout_s=0.1).post(server.url, b"{}", {})
    assert error.value.transient


@pytest.mark.parametrize(
    "headers", [{"a": "b\r\nc: d"}, {"a\n": "b"}, {"a": "\u20ac"}, {"\u20ac": "b"}]
)
async def test_a_header_cannot_smuggle_another(
    serve: Serve, open_guard: OpenGuard, headers: dict[str, str]
) -> None:
    """An invalid header is a permanent failure, before anything is sent."""
    server = await serve(lambda request: [reply()])
    with pytest.raises(FetchFailed) as error:
        await open_guard().post(server.url, b"{}", headers)
    assert not error.value.transient
    assert not server.requests


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("120", 120.0), ("Wed, 01 Jan 2020 00:00:00 GMT", 0.0), ("soon", 0.0), ("", 0.0)],
)
async def test_a_receivers_retry_after_is_read(
    serve: Serve, open_guard: OpenGuard, header: str, seconds: float
) -> None:
    """A number of seconds counts; a past date and what is neither do not."""
    server = await serve(lambda request: [reply(status="503 No", Retry_After=header)])
    answer = await open_guard().post(server.url, b"{}", {})
    assert (answer.status, answer.retry_after_s) == (503, seconds)


def test_a_date_is_a_number_of_seconds() -> None:
    """The other form that HTTP allows."""
    assert seconds_of("Thu, 01 Jan 1970 00:02:00 GMT", 60.0) == 60.0
