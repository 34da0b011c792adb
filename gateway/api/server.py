"""The HTTP server: runs an app until it is told to stop, and then finishes the requests under
way."""

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
from starlette.applications import Starlette


class Tls(NamedTuple):
    """The files of a chain of certificates and of its private key, PEM, without a password."""

    cert: Path
    key: Path


def tls_of(cert: Path, key: Path) -> tuple[bytes, bytes]:
    """The contents of a private key and of its chain of certificates. Raises ValueError naming the
    files where they do not fit."""
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key, password="")
        return key.read_bytes(), cert.read_bytes()
    except OSError as error:
        raise ValueError(
            f"{cert} and {key} are not a chain of certificates and its key, in PEM and without a "
            f"password: {error}"
        ) from None


class _Server(uvicorn.Server):
    """A uvicorn server that reports its address once it listens."""

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
    app: Starlette,
    host: str,
    port: int,
    on_listening: Callable[[str], None],
    *,
    grace_s: float | None = None,
    tls: Tls | None = None,
) -> uvicorn.Server:
    """A server that is not running yet; port 0 is any free port. Set its `should_exit` to stop it
    from another thread.

    When it stops, requests under way have `grace_s` to finish, or unlimited time for None.
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
    uvicorn_server = app.state.server = _Server(config, on_listening)
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
    grace_s: float | None = None,
    tls: Tls | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, finishes the requests under way, and returns. Exits with 3
    where it cannot listen."""
    uvicorn_server = server(app, host, port, on_listening, grace_s=grace_s, tls=tls)
    # uvicorn raises the signal again when it is done, and being stopped is no failure
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    uvicorn_server.run()
