"""The gateway's ports from settings: TLS for the HTTP port, and the gRPC port."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.api.endpoint import Endpoint
from gateway.api.grpc import GrpcAddress, GrpcServer
from gateway.api.intake import Intake
from gateway.api.server import Tls, tls_of
from gateway.config.errors import ConfigError
from gateway.config.settings import Settings
from gateway.dialects.base import Dialect
from gateway.dialects.google.grpc import MAX_MESSAGE_BYTES, GoogleGrpc
from providers.extras import install_hint


def tls_files(config: Settings, file: Path) -> Tls | None:
    """The files of the HTTP port's certificate and key; None where it speaks plain HTTP.

    Raises ConfigError where they do not fit.
    """
    if config.tls is None:
        return None
    files = Tls(file.parent / config.tls.cert, file.parent / config.tls.key)
    try:
        tls_of(*files)
    except ValueError as error:
        raise ConfigError(f"{file}: tls: {error}") from None
    return files


def open_grpc(
    config: Settings, file: Path, endpoint: Callable[[Dialect, Intake], Endpoint]
) -> GrpcServer | None:
    """The server for Google's gRPC clients, not yet running; None where it is not configured.

    `endpoint` makes the endpoint of a dialect. Raises ConfigError naming file and key.
    """
    if config.grpc is None:
        return None
    listen, cert, key = config.grpc.listen, config.grpc.cert, config.grpc.key
    limits = config.limits
    max_message_bytes = min(MAX_MESSAGE_BYTES, limits.max_request_bytes)
    intake = Intake(
        max_message_bytes,
        limits.max_reading_bytes,
        limits.body_timeout_ms / 1000,
        config.tenant_count,
    )
    try:
        tls = tls_of(file.parent / cert, file.parent / key) if cert and key else None
        address = GrpcAddress(listen, tls, limits.max_connections, limits.header_timeout_ms / 1000)
        return GrpcServer(endpoint(GoogleGrpc(), intake), address)
    except ImportError:
        raise ConfigError(
            f"{file}: grpc: it needs google-cloud-vision; {install_hint('google')}"
        ) from None
    except ValueError as error:
        raise ConfigError(f"{file}: grpc: {error}") from None
