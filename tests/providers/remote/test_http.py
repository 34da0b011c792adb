"""The base of the providers that speak HTTP themselves."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest

from providers.base import About, Picture, Provider
from providers.detection import Detection, Task
from providers.errors import NoAnswer, Unavailable
from providers.remote.http import HttpProvider
from tests.support.clouds import Cloud

PICTURE = Picture(1, 1, data=b"x")


class Plain(HttpProvider):
    """A provider that returns no detections after any answer of the server."""

    def call(self, picture: Picture, task: Task, wanted: Sequence[str] = ()) -> list[Detection]:
        self.request("POST", "/", content=picture.data, max_bytes=100)
        return []

    def check_ready(self) -> None:
        pass


@pytest.fixture
async def provider_at() -> AsyncIterator[Callable[..., Provider]]:
    """`provider_at(url, timeout_ms)`: a provider, closed at the end."""
    providers = []

    def start(url: str, timeout_ms: int = 200) -> Any:
        providers.append(Plain(About("mine", "plain", frozenset({Task.OBJECTS})), url, timeout_ms))
        return providers[-1]

    yield start
    for each in providers:
        await each.close()


@pytest.fixture
def dripping() -> Iterator[Callable[[bytes], str]]:
    """`dripping(greeting)`: the address of a server that sends the greeting, and then a byte now
    and then until the end."""
    over, threads = threading.Event(), []

    def serve(listener: socket.socket, greeting: bytes) -> None:
        with listener, listener.accept()[0] as peer:
            peer.sendall(greeting)
            while not over.wait(0.02):
                try:
                    peer.sendall(b"x")
                except OSError:
                    return

    def start(greeting: bytes) -> Any:
        listener = socket.create_server(("127.0.0.1", 0))
        threads.append(threading.Thread(target=serve, args=(listener, greeting)))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    over.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Long: "]
)
async def test_a_dripping_server_is_given_up_in_time(
    provider_at: Callable[..., Provider], dripping: Callable[[bytes], str], greeting: bytes
) -> None:
    """A call to a server that sends a byte now and then ends at the time limit, during the headers
    as well."""
    with pytest.raises(NoAnswer, match=r"within 0.2 s \(timeout_ms\)"):
        await provider_at(dripping(greeting)).detect(PICTURE, Task.OBJECTS)


async def test_an_answer_is_read_up_to_its_limit(
    provider_at: Callable[..., Provider], cloud: Cloud
) -> None:
    """An answer is read up to its limit of bytes and no further."""
    cloud.reply = 200, {}, b"x" * 101
    with pytest.raises(NoAnswer, match="more than 100 bytes"):
        await provider_at(cloud.url).detect(PICTURE, Task.OBJECTS)
    cloud.reply = 200, {}, b"x" * 100
    assert await provider_at(cloud.url).detect(PICTURE, Task.OBJECTS) == []


async def test_redirects_are_not_followed(
    provider_at: Callable[..., Provider], cloud: Cloud
) -> None:
    """A redirect of the endpoint is not followed, so that nothing is sent to another address."""
    cloud.reply = 307, {"Location": f"{cloud.url}/elsewhere"}, b""
    assert await provider_at(cloud.url).detect(PICTURE, Task.OBJECTS) == []
    assert [request.path for request in cloud.requests] == ["/"]


async def test_a_call_is_not_sent_once_its_provider_is_closed(
    provider_at: Callable[..., Provider], cloud: Cloud
) -> None:
    """A call is not sent if its provider is closed before."""
    provider = provider_at(cloud.url)
    provider.disconnect()
    with pytest.raises(Unavailable, match="closed"):
        await provider.detect(PICTURE, Task.OBJECTS)
    assert cloud.requests == []
