"""How a gateway stops: it says so first, answers for a while, and always ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from gateway.testing.pictures import Block, drawn, encoded
from tests.support.waiting import PATIENCE_S, block_until

pytestmark = pytest.mark.slow

PHOTO = encoded(drawn((200, 200), Block("red", 40, 40, 160, 160)))
ROUTE = {"task": "objects", "provider": "eye", "stages": [{"shape": "1x1"}], "watch": {"share": 0}}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """`start(**config)`: a gateway's process and its address."""
    file = tmp_path / "imgrid.yaml"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("IMGRID_")}
    imgrid = str(Path(sys.executable).with_name("imgrid"))
    with ExitStack() as stack:

        def run(**config: Any) -> tuple[subprocess.Popen[str], str]:
            content = {
                "listen": "127.0.0.1:0",
                "providers": {"eye": {"kind": "shapes"}},
                "routes": [ROUTE],
                **config,
            }
            file.write_text(yaml.safe_dump(content))
            command = [imgrid, "serve", "-c", str(file)]
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean)
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found
            return process, found[0]

        yield run


@contextmanager
def dripping() -> Iterator[str]:
    """The address of a server that takes connections, and sends a byte now and then for ever."""
    over = threading.Event()

    def serve(listener: socket.socket) -> None:
        with ExitStack() as stack:
            peers = []
            listener.settimeout(0.02)
            while not over.is_set():
                try:
                    peers.append(stack.enter_context(listener.accept()[0]))
                    peers[-1].sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
                except TimeoutError:
                    pass
                for peer in [*peers]:
                    try:
                        peer.sendall(b"x")
                    except OSError:
                        peers.remove(peer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def test_a_stopping_gateway_is_not_ready_and_goes_on_answering(
    start: Callable[..., tuple[subprocess.Popen[str], str]],
) -> None:
    """After SIGTERM /readyz is 503 at once, the port answers on new connections for drain_ms, and
    then the process ends with 0."""
    process, address = start(drain_ms=10_000)
    assert httpx.get(f"{address}/readyz").status_code == 200
    process.send_signal(signal.SIGTERM)
    block_until(lambda: httpx.get(f"{address}/readyz").status_code == 503)
    assert httpx.get(f"{address}/readyz").json()["problems"].keys() == {"process"}
    reply = httpx.post(f"{address}/v1/detect", content=PHOTO)
    assert len(reply.json()["photos"][0]["detections"]) == 1
    assert httpx.get(f"{address}/healthz").status_code == 200
    block_until(lambda: httpx.get(f"{address}/healthz").headers.get("connection") == "close", 9)
    assert process.wait(PATIENCE_S) == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{address}/readyz")


@pytest.mark.parametrize(
    ("drain_ms", "signals"), [(0, [signal.SIGTERM]), (600_000, [signal.SIGINT])]
)
def test_no_drain_is_waited_for_where_none_is_wanted(
    start: Callable[..., tuple[subprocess.Popen[str], str]],
    drain_ms: int,
    signals: list[signal.Signals],
) -> None:
    """With drain_ms 0, and after Ctrl-C, the gateway stops at once."""
    process, _ = start(drain_ms=drain_ms)
    for each in signals:
        process.send_signal(each)
    assert process.wait(PATIENCE_S) == 0


def test_an_upstream_that_drips_does_not_keep_the_process(
    start: Callable[..., tuple[subprocess.Popen[str], str]],
) -> None:
    """An upstream that sends a byte now and then for ever gets its time: the photo has its error,
    the call counts as one that may be billed, and SIGTERM ends the process."""
    with dripping() as upstream:
        eye = {"kind": "gateway", "endpoint": upstream, "timeout_ms": 300}
        process, address = start(providers={"eye": eye}, drain_ms=0, billed_unknown="fail")
        reply = httpx.post(f"{address}/v1/detect", content=PHOTO, timeout=PATIENCE_S)
        assert reply.json()["error"]["code"] == "billed_unknown"
        usage = httpx.get(f"{address}/v1/usage").json()
        assert (usage["maybe_billed_images"], usage["billed_images"]) == (1, 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


def test_a_thread_that_nothing_can_end_does_not_keep_the_process(
    start: Callable[..., tuple[subprocess.Popen[str], str]],
) -> None:
    """SIGTERM ends the process even while a local provider's thread is stuck for ever."""
    eye = {"kind": "shapes", "timeout_ms": 300, "latency_ms": 10_000_000}
    process, address = start(providers={"eye": eye}, drain_ms=0, billed_unknown="fail")
    reply = httpx.post(f"{address}/v1/detect", content=PHOTO, timeout=PATIENCE_S)
    assert reply.status_code == 502
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
