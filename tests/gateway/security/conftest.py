"""Guards that a test opens, and servers that they may fetch from."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from gateway.security.addresses import Network
from gateway.security.egress import EgressGuard
from tests.support.raw_http import Answer, RawServer, Serve, reply

LOOPBACK = IPv4Network("127.0.0.1/32")


@pytest.fixture(scope="module")
def certificate_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The files of a key and of a certificate for photos.example, signed with that key."""
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
def client_tls(certificate_files: tuple[Path, Path]) -> ssl.SSLContext:
    """The TLS settings of a client that trusts the certificate."""
    return ssl.create_default_context(cafile=certificate_files[1])


@pytest.fixture
async def open_guard(client_tls: ssl.SSLContext) -> AsyncIterator[Callable[..., EgressGuard]]:
    """`open_guard(allow, **options)`: a guard that is closed at the end."""
    async with AsyncExitStack() as stack:

        def make(allow: Sequence[Network] = (LOOPBACK,), **options: Any) -> EgressGuard:
            guard = EgressGuard(allow, **{"tls": client_tls, **options})
            stack.push_async_callback(guard.close)
            return guard

        yield make


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """`await serve(answer)`: a server that runs until the end of the test."""
    async with AsyncExitStack() as stack:

        async def start(answer: Answer, tls: ssl.SSLContext | None = None) -> RawServer:
            server = RawServer(answer)
            await server.start(tls)
            stack.push_async_callback(server.close)
            return server

        yield start


@pytest.fixture
async def secure(serve: Serve, certificate_files: tuple[Path, Path]) -> RawServer:
    """A TLS server with a certificate for photos.example."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_files[1], certificate_files[0])
    return await serve(lambda request: [reply(b"photo")], tls=context)
