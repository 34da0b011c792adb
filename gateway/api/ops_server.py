"""The server of the operators' address (`ops_listen`): plain HTTP, with no key, beside the public
port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette


class _OpsServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the public one."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def ops_serving(app: Starlette, listen: str) -> AsyncIterator[str]:
    """The address of the app, which is served while the block lasts; port 0 is any free port.

    Raises RuntimeError where it cannot listen.
    """
    host, _, port = listen.rpartition(":")
    try:
        listener = _listener(host.strip("[]"), int(port))
    except OSError as error:
        raise RuntimeError(f"cannot listen on {listen} (ops_listen): {error}") from None
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, ws="none", lifespan="off"
    )
    server = _OpsServer(config)
    running = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
        listener.close()


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)
