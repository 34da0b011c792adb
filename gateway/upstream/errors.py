"""From a provider's error to the gateway's."""

from __future__ import annotations

from gateway.core.errors import GatewayError, UpstreamFailed, UpstreamThrottled
from gateway.upstream.faults import Resting
from providers.errors import ProviderError, Throttled


def translate(error: Exception) -> GatewayError:
    """What a client is told of an upstream failure; details stay in the log."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, Throttled):
        return UpstreamThrottled(
            "The vision service asked to slow down for longer than this photo could wait.",
            error.retry_after_s or 1.0,
        )
    if isinstance(error, Resting):
        return UpstreamFailed(
            "The vision service fails too often, and is asked nothing for a while.",
            error.retry_after_s,
        )
    if isinstance(error, ProviderError):
        return UpstreamFailed(f"The vision service could not answer ({type(error).__name__}).")
    return GatewayError()
