"""The parts that providers share that speak HTTP themselves."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from types import SimpleNamespace

import pytest

from providers.base import About, Picture
from providers.detection import Detection, Task
from providers.errors import NoAnswer, Unavailable
from providers.remote.http import HttpProvider

PICTURE = Picture(1, 1, data=b"x")


class Plain(HttpProvider):
    """A provider that answers with nothing once the server has answered at all."""

    def call(self, picture: Picture, task: Task, extras: Sequence[str] = ()) -> Sequence[Detection]:
        self.request("POST", "/", content=picture.data, max_bytes=100)
        return []

    def check_ready(self) -> None:
        pass


@pytest.fixture
async def provider_of() -> AsyncIterator[Callable[..., Plain]]:
    """`provider_of(url, timeout_ms)`: a provider, closed at the end."""
    providers = []

    def start(url: str, timeout_ms: int = 200) -> Plain:
        providers.append(Plain(About("mine", "plain", frozenset({Task.OBJECTS})), url, timeout_ms))
        return providers[-1]

    yield start
    for each in providers:
        await each.close()


@pytest.fixture
def dripping() -> Iterator[Callable[[bytes], str]]:
    """`dripping(start)`: the address of a server that sends `start`, and then a byte now and then
    until the end."""
    over, threads = threading.Event(), []

    def serve(listener: socket.socket, start: bytes) -> None:
        with listener, listener.accept()[0] as peer:
            peer.sendall(start)
            while not over.wait(0.02):
                try:
                    peer.sendall(b"x")
                except OSError:
                    return

    def start(beginning: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        threads.append(threading.Thread(target=serve, args=(listener, beginning)))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    over.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Long: "]
)
async def test_a_server_that_drips_is_abandoned_in_time(
    provider_of: Callable[..., Plain], dripping: Callable[[bytes], str], start: bytes
) -> None:
    """A server that keeps sending a little is abandoned at the time limit, before its headers are
    complete or after."""
    with pytest.raises(NoAnswer, match=r"within 0.2 s \(timeout_ms\)"):
        await provider_of(dripping(start)).detect(PICTURE, Task.OBJECTS)


async def test_an_answer_is_read_no_further_than_its_limit(
    provider_of: Callable[..., Plain], cloud: SimpleNamespace
) -> None:
    """An answer is read no further than its maximum length."""
    cloud.reply = 200, {}, b"x" * 101
    with pytest.raises(NoAnswer, match="more than 100 bytes"):
        await provider_of(cloud.url).detect(PICTURE, Task.OBJECTS)
    cloud.reply = 200, {}, b"x" * 100
    assert await provider_of(cloud.url).detect(PICTURE, Task.OBJECTS) == []


async def test_a_redirect_is_not_followed(
    provider_of: Callable[..., Plain], cloud: SimpleNamespace
) -> None:
    """A request goes to no other address, even if the endpoint redirects it."""
    cloud.reply = 307, {"Location": f"{cloud.url}/elsewhere"}, b""
    assert await provider_of(cloud.url).detect(PICTURE, Task.OBJECTS) == []
    assert [call.path for call in cloud.requests] == ["/"]


async def test_a_call_after_the_close_is_not_sent(
    provider_of: Callable[..., Plain], cloud: SimpleNamespace
) -> None:
    """A call whose provider is closed before it sends anything is not sent."""
    provider = provider_of(cloud.url)
    provider.disconnect()
    with pytest.raises(Unavailable, match="closed"):
        await provider.detect(PICTURE, Task.OBJECTS)
    assert cloud.requests == []
