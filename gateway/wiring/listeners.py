"""What a gateway listens on beside HTTP, from its settings: for the composition root."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.api.endpoint import Endpoint
from gateway.api.grpc import Door, Rpc
from gateway.api.intake import Intake
from gateway.api.server import Tls, tls_of
from gateway.config.errors import ConfigError
from gateway.config.settings import Settings
from gateway.dialects.base import Dialect
from gateway.dialects.google.grpc import MAX_MESSAGE_BYTES, GoogleGrpc


def tls(config: Settings, file: Path) -> Tls | None:
    """The certificate's and the key's files, where clients must use https. Raises ConfigError."""
    if config.tls is None:
        return None
    files = Tls(file.parent / config.tls.cert, file.parent / config.tls.key)
    try:
        tls_of(*files)
    except ValueError as error:
        raise ConfigError(f"{file}: tls: {error}") from None
    return files


def open_rpc(
    config: Settings, file: Path, endpoint: Callable[[Dialect, Intake], Endpoint]
) -> Rpc | None:
    """Google's clients by gRPC, where that is configured; `endpoint` is what asks for them.

    Raises ConfigError naming file and key for what cannot be had.
    """
    if config.grpc is None:
        return None
    listen, cert, key = config.grpc.listen, config.grpc.cert, config.grpc.key
    limits = config.limits
    most = min(MAX_MESSAGE_BYTES, limits.max_request_bytes)
    intake = Intake(most, limits.max_reading_bytes, limits.body_timeout_ms / 1000)
    try:
        door = Door(listen, tls_of(file.parent / cert, file.parent / key) if cert and key else None)
        return Rpc(endpoint(GoogleGrpc(), intake), door)
    except ImportError:
        raise ConfigError(
            f"{file}: grpc: it needs google-cloud-vision; pip install 'imgrid-gateway[google]'"
        ) from None
    except ValueError as error:
        raise ConfigError(f"{file}: grpc: {error}") from None
