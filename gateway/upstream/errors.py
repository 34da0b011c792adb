"""Translates a provider's errors into the gateway's."""

from __future__ import annotations

from gateway.core.errors import GatewayError, UpstreamFailed, UpstreamThrottled
from gateway.upstream.faults import CircuitOpen
from providers.errors import ProviderError, Throttled


def translate(error: Exception) -> GatewayError:
    """The error that a client gets for an upstream failure. It holds no details; the log does."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, Throttled):
        return UpstreamThrottled(
            "The vision service asked to slow down for longer than this photo could wait.",
            error.retry_after_s or 1.0,
        )
    if isinstance(error, CircuitOpen):
        return UpstreamFailed(
            "The vision service fails too often, and is asked nothing for a while.",
            error.retry_after_s,
        )
    if isinstance(error, ProviderError):
        return UpstreamFailed(f"The vision service could not answer ({type(error).__name__}).")
    return GatewayError()
