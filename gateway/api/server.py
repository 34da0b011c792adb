"""Runs an app until it is told to stop; what was taken by then is finished first."""

from __future__ import annotations

import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

import uvicorn
from fastapi import FastAPI


class Tls(NamedTuple):
    """Files: a chain of certificates and its private key, PEM, without a password."""

    cert: Path
    key: Path


def tls_of(cert: Path, key: Path) -> tuple[bytes, bytes]:
    """A private key and its chain, once they are found to fit. Raises ValueError naming the
    files."""
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key, password="")
        return key.read_bytes(), cert.read_bytes()
    except OSError as error:
        raise ValueError(
            f"{cert} and {key} are not a chain of certificates and its key, in PEM and without a "
            f"password: {error}"
        ) from None


class _Server(uvicorn.Server):
    """Tells its address once it listens."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[str], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            scheme = "https" if self.config.is_ssl else "http"
            self._on_listening(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")


def server(
    app: FastAPI,
    host: str,
    port: int,
    on_listening: Callable[[str], None],
    *,
    grace_s: float | None = None,
    tls: Tls | None = None,
) -> uvicorn.Server:
    """A server, not yet running; port 0 is any free one. Set its `should_exit` to stop it from
    another thread.

    When it stops, requests under way have `grace_s` to be finished, or as long as they take.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=None if grace_s is None else ceil(grace_s),
        ssl_certfile=tls.cert if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
    running = app.state.server = _Server(config, on_listening)
    return running


@contextmanager
def serving(app: FastAPI, tls: Tls | None = None) -> Iterator[str]:
    """The address, on loopback and a free port, of an app that runs in a thread of its own while
    the block lasts.

    Raises RuntimeError where it does not start within a minute.
    """
    listening: SimpleQueue[str] = SimpleQueue()
    running = server(app, "127.0.0.1", 0, listening.put, tls=tls)
    thread = threading.Thread(target=running.run, name="gateway")
    thread.start()
    try:
        yield listening.get(timeout=60)
    except Empty:
        raise RuntimeError("the gateway did not start within a minute") from None
    finally:
        running.should_exit = True
        thread.join()


def serve(
    app: FastAPI,
    host: str,
    port: int,
    on_listening: Callable[[str], None],
    *,
    grace_s: float | None = None,
    tls: Tls | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, finishes what was taken, and returns; exits with 3 if it
    cannot listen there.

    uvicorn raises the signal again when it is done; being stopped is no failure, so by then nothing
    heeds it.
    """
    running = server(app, host, port, on_listening, grace_s=grace_s, tls=tls)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    running.run()
