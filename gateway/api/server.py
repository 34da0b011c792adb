"""The HTTP server: runs an app until it is told to stop, and then finishes the requests under
way."""

from __future__ import annotations

import logging
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, NamedTuple, cast

import uvicorn
from starlette.applications import Starlette

from gateway.api.connection_register import ConnectionLimits, ConnectionRegister
from gateway.api.descriptors import are_descriptors_exhausted, raise_descriptor_limit
from gateway.api.http_connection import HttpConnection
from gateway.core.events import Events

log = logging.getLogger("imgrid")

CLOSING_S = 15.0
"""How long the parts of a stopped gateway may take to close."""
LINGER_S = 2.0
"""How long a gateway whose parts are closed waits for threads that are stuck."""
TICKS_PER_CHECK = 10
"""uvicorn ticks ten times a second."""


class Tls(NamedTuple):
    """The files of a chain of certificates and of its private key, PEM, without a password."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class StopTimes:
    """How a server stops when it is told to by SIGTERM, in seconds.

    For `drain_s` it goes on answering, while /readyz says that it will not. Then it accepts nothing
    new, and requests under way have `grace_s` to finish, or unlimited time for None.
    """

    drain_s: float = 0.0
    grace_s: float | None = None


def tls_context(tls: Tls) -> ssl.SSLContext:
    """The context of a port with that certificate. Raises OSError where the files do not fit."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.cert, tls.key, password="")
    return context


def tls_of(cert: Path, key: Path) -> tuple[bytes, bytes]:
    """The contents of a private key and of its chain of certificates. Raises ValueError naming the
    files where they do not fit."""
    try:
        tls_context(Tls(cert, key))
        return key.read_bytes(), cert.read_bytes()
    except OSError as error:
        raise ValueError(
            f"{cert} and {key} are not a chain of certificates and its key, in PEM and without a "
            f"password: {error}"
        ) from None


class _Server(uvicorn.Server):
    """A uvicorn server that reports its address once it listens, and that goes on answering for a
    while after SIGTERM. Holds until when.

    `on_stop` is called when it is told to stop, and `on_closed` when all parts are closed.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        register: ConnectionRegister,
        on_listening: Callable[[str], None],
        times: StopTimes,
        *,
        on_stop: Callable[[], None] = lambda: None,
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._register = register
        self._on_listening = on_listening
        self._times = times
        self._on_stop = on_stop
        self._on_closed = on_closed
        self._drains_until: float | None = None
        self.scheme = "http"

    @property
    def is_leaving(self) -> bool:
        """Whether the server was told to stop. It may still answer."""
        return self.should_exit or self._drains_until is not None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            if not self.lifespan.should_exit:  # else a part did not start, which was logged
                log.error(
                    "cannot listen on %s:%d (listen): end the program that listens there, or "
                    "choose another address with --listen or the key listen",
                    self.config.host,
                    self.config.port,
                )
            raise
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._on_listening(f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.is_leaving:
            self._on_stop()
            if sig == signal.SIGTERM and self._times.drain_s:
                self._drains_until = time.monotonic() + self._times.drain_s
                # clients that keep connections come back on new ones, elsewhere if they can
                self.config.encoded_headers.append((b"connection", b"close"))
                return
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if self._drains_until is not None and time.monotonic() >= self._drains_until:
            self.should_exit = True
        if counter % TICKS_PER_CHECK == 0 and are_descriptors_exhausted():
            self._register.tell_exhausted("descriptors", raise_descriptor_limit() or 0)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        self._on_closed()


def server(
    app: Starlette,
    host: str,
    port: int,
    on_listening: Callable[[str], None],
    *,
    times: StopTimes = StopTimes(),
    tls: Tls | None = None,
    on_stop: Callable[[], None] = lambda: None,
    on_closed: Callable[[], None] = lambda: None,
) -> uvicorn.Server:
    """A server that is not running yet; port 0 is any free port. Set its `should_exit` to stop it
    from another thread.

    Its connections have their places in the register that is the app's state `connections`.
    """
    register: ConnectionRegister = getattr(app.state, "connections", None) or ConnectionRegister(
        ConnectionLimits(), Events()
    )
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=cast(Any, partial(HttpConnection, register, tls_context(tls) if tls else None)),
        ws="none",
        log_config=None,  # its records go where all others go
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=None if times.grace_s is None else ceil(times.grace_s),
    )
    uvicorn_server = app.state.server = _Server(
        config, register, on_listening, times, on_stop=on_stop, on_closed=on_closed
    )
    uvicorn_server.scheme = "https" if tls else "http"
    return uvicorn_server


@contextmanager
def serving(app: Starlette, tls: Tls | None = None) -> Iterator[str]:
    """The address of the app, which runs in a thread, on loopback and a free port, while the block
    lasts.

    Raises RuntimeError where it does not start within a minute.
    """
    addresses: SimpleQueue[str] = SimpleQueue()
    uvicorn_server = server(app, "127.0.0.1", 0, addresses.put, tls=tls)
    thread = threading.Thread(target=uvicorn_server.run, name="gateway")
    thread.start()
    try:
        yield addresses.get(timeout=60)
    except Empty:
        raise RuntimeError("the gateway did not start within a minute") from None
    finally:
        uvicorn_server.should_exit = True
        thread.join()


def serve(
    app: Starlette,
    host: str,
    port: int,
    on_listening: Callable[[str], None],
    *,
    times: StopTimes = StopTimes(),
    tls: Tls | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, finishes the requests under way, and returns. Exits with 3
    where it cannot listen.

    The process ends even where threads are stuck: with 0 when all parts are closed, and with 1
    where they do not close in time.
    """
    uvicorn_server = server(
        app,
        host,
        port,
        on_listening,
        times=times,
        tls=tls,
        on_stop=lambda: _end_process_by(times),
        on_closed=lambda: _end_process_in(LINGER_S, 0, "threads are stuck in their last calls"),
    )
    if (descriptors := raise_descriptor_limit()) is not None and hasattr(app.state, "connections"):
        app.state.connections.fit(descriptors)
    # uvicorn raises the signal again when it is done, and being stopped is no failure
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    uvicorn_server.run()


def _end_process_by(times: StopTimes) -> None:
    """Ends the process when a server with these times should have stopped long ago."""
    if times.grace_s is not None:
        stop_s = times.drain_s + times.grace_s + CLOSING_S
        _end_process_in(stop_s, 1, f"the gateway did not stop within {stop_s:.0f} s")


def _end_process_in(seconds: float, status: int, reason: str) -> None:
    """Ends the process after a while with that status, whatever its threads do, unless it has ended
    by then."""

    def end() -> None:
        log.warning("the process is ended: %s", reason)
        os._exit(status)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
