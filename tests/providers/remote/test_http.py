"""What providers share that speak HTTP themselves."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from providers.base import About, Picture
from providers.detection import Task
from providers.errors import NoAnswer, Unavailable
from providers.remote.http import HttpProvider

PICTURE = Picture(1, 1, data=b"x")


class Plain(HttpProvider):
    """Answers with nothing, once the server has said anything at all."""

    def call(self, picture, task, extras=()):
        self.request("POST", "/", content=picture.data, max_bytes=100)
        return []

    def check_ready(self):
        pass


@pytest.fixture
async def asking() -> AsyncIterator[Callable[..., Any]]:
    """`asking(url, timeout_ms)`: a provider, closed at the end."""
    made = []

    def start(url, timeout_ms=200):
        made.append(Plain(About("mine", "plain", frozenset({Task.OBJECTS})), url, timeout_ms))
        return made[-1]

    yield start
    for each in made:
        await each.close()


@pytest.fixture
def dripping() -> Iterator[Callable[..., Any]]:
    """`dripping(start)`: the address of a server that says `start`, and then a byte now and then
    until the end."""
    over, threads = threading.Event(), []

    def serve(listener, start):
        with listener, listener.accept()[0] as peer:
            peer.sendall(start)
            while not over.wait(0.02):
                try:
                    peer.sendall(b"x")
                except OSError:
                    return

    def start(said):
        listener = socket.create_server(("127.0.0.1", 0))
        threads.append(threading.Thread(target=serve, args=(listener, said)))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    over.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Long: "]
)
async def test_dripping(
    asking: Callable[..., Any], dripping: Callable[..., Any], start: bytes
) -> None:
    """A server that goes on saying a little is given up in time, whether its headers have come or
    not."""
    with pytest.raises(NoAnswer, match=r"within 0.2 s \(timeout_ms\)"):
        await asking(dripping(start)).detect(PICTURE, Task.OBJECTS)


async def test_too_much(asking: Callable[..., Any], cloud: SimpleNamespace) -> None:
    """An answer is read no further than it may be long."""
    cloud.reply = 200, {}, b"x" * 101
    with pytest.raises(NoAnswer, match="more than 100 bytes"):
        await asking(cloud.url).detect(PICTURE, Task.OBJECTS)
    cloud.reply = 200, {}, b"x" * 100
    assert await asking(cloud.url).detect(PICTURE, Task.OBJECTS) == []


async def test_redirect(asking: Callable[..., Any], cloud: SimpleNamespace) -> None:
    """What is sent goes to no other address, wherever the endpoint points."""
    cloud.reply = 307, {"Location": f"{cloud.url}/elsewhere"}, b""
    assert await asking(cloud.url).detect(PICTURE, Task.OBJECTS) == []
    assert [asked.path for asked in cloud.requests] == ["/"]


async def test_closed_meanwhile(asking: Callable[..., Any], cloud: SimpleNamespace) -> None:
    """A call whose provider is closed before it sends anything is not sent."""
    provider = asking(cloud.url)
    provider.disconnect()
    with pytest.raises(Unavailable, match="closed"):
        await provider.detect(PICTURE, Task.OBJECTS)
    assert cloud.requests == []
