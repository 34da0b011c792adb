"""An egress guard, and servers for it to call."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import (
    AsyncIterator,
    Callable,
    Sequence,
)
from contextlib import AsyncExitStack, suppress
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import pytest

from gateway.security.egress import (
    EgressGuard,
)
from tests.support.egress import (
    LOOPBACK,
    Script,
    ScriptedServer,
    Serve,
    read_request,
    reply,
)


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """A key, and a certificate for photos.example that it signed itself."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    kind = (
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    )
    names = ("-subj", "/CN=photos.example", "-addext", "subjectAltName=DNS:photos.example")
    subprocess.run(
        ["openssl", *kind, *names, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    return key, certificate


@pytest.fixture(scope="module")
def client_tls(tls_files: tuple[Path, ...]) -> ssl.SSLContext:
    """The TLS settings of a client that trusts the certificate."""
    return ssl.create_default_context(cafile=tls_files[1])


@pytest.fixture
async def guard_with(client_tls: ssl.SSLContext) -> AsyncIterator[Callable[..., EgressGuard]]:
    """`guard_with(allow, **options)`: a guard that is closed at the end."""
    async with AsyncExitStack() as stack:

        def make(
            allow: Sequence[IPv4Network | IPv6Network] = LOOPBACK, **options: Any
        ) -> EgressGuard:
            guard = EgressGuard(allow, **{"tls": client_tls, **options})
            stack.push_async_callback(guard.close)
            return guard

        yield make


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """`serve(answer)`: a server that sends the parts of `answer(request)`, and then closes the
    connection."""
    listeners: list[asyncio.Server] = []
    conversations: set[asyncio.Task[Any]] = set()

    async def start(answer: Script, tls: ssl.SSLContext | None = None) -> ScriptedServer:
        server = ScriptedServer()

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            server.connections += 1
            conversations.add(asyncio.current_task())
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                server.requests.append(request := await read_request(reader))
                for part in answer(request):
                    await asyncio.sleep(part) if isinstance(part, float) else writer.write(part)
                    await writer.drain()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            server.done.set()

        listeners.append(await asyncio.start_server(converse, "127.0.0.1", 0, ssl=tls))
        server.port = listeners[-1].sockets[0].getsockname()[1]
        server.url = f"http://127.0.0.1:{server.port}"
        return server

    yield start
    for server in listeners:
        server.close()
    for task in conversations:
        task.cancel()
    await asyncio.gather(*conversations, return_exceptions=True)


# TLS


@pytest.fixture
async def secure(serve: Serve, tls_files: tuple[Path, ...]) -> ScriptedServer:
    """A TLS server with a certificate for photos.example."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls_files[1], tls_files[0])
    context.sni_callback = lambda _, name, __: server.sni_names.append(name)
    server = await serve(lambda request: [reply(b"photo")], tls=context)
    return server
