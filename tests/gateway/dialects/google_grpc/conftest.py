"""Gateways with a port for gRPC, and Google's clients of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from google.cloud import vision
from google.cloud.vision_v1.services.image_annotator.transports import (
    ImageAnnotatorGrpcTransport,
)

from gateway.wiring.parts import Parts
from tests.support.google_vision import (
    ANY_GRPC_PORT,
)


@pytest.fixture(scope="session")
def channel() -> Iterator[Callable[[str], grpc.Channel]]:
    """`channel(address)`: a connection without TLS."""
    with ExitStack() as stack:
        yield lambda address: stack.enter_context(grpc.insecure_channel(address))


@pytest.fixture(scope="session")
def sdk(channel: Callable[[str], grpc.Channel]) -> Callable[[str], vision.ImageAnnotatorClient]:
    """`sdk(address)`: the SDK's client over gRPC without TLS."""
    return lambda address: vision.ImageAnnotatorClient(
        transport=ImageAnnotatorGrpcTransport(channel=channel(address))
    )


@pytest.fixture(scope="session")
def serve(start_gateway: Callable[..., tuple[str, Parts]]) -> Callable[..., tuple[str, str]]:
    """`serve(...)`: the REST and gRPC addresses of a gateway that `start_gateway` starts."""

    def start(*args: Any, **config: Any) -> tuple[str, str]:
        address, parts = start_gateway(*args, **{"grpc": ANY_GRPC_PORT, **config})
        return address, parts.grpc.address

    return start


@pytest.fixture(scope="session")
def gateway(serve: Callable[..., tuple[str, str]]) -> str:
    return serve()[1]


@pytest.fixture(scope="session")
def closed(serve: Callable[..., tuple[str, str]], tenants: list[dict[str, Any]]) -> str:
    """The gRPC address of a gateway with two tenants."""
    return serve(tenants=tenants)[1]
