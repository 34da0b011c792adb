"""OpenTelemetry traces from settings."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config.errors import ConfigError
from gateway.config.settings import Settings
from gateway.core.clock import Clock
from gateway.core.events import Listener
from gateway.core.trace_context import BeginTrace, TraceSampler, no_trace
from providers.extras import install_hint

EXPORT_TIMEOUT_S = 5.0
"""How long one export may take, and so how long a collector that is away delays the end."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """Begins the traces of requests, and listens to events to make their spans. By default nothing
    is traced."""

    begin: BeginTrace = no_trace
    listeners: tuple[Listener, ...] = ()
    close: Callable[[], None] = lambda: None


def open_tracing(
    config: Settings, file: Path, kinds: Mapping[str, str], *, clock: Clock
) -> Tracing:
    """The tracing of a gateway whose providers have these kinds. Raises ConfigError."""
    settings = config.tracing
    if settings is None:
        return Tracing()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        from gateway.observe.traces import TraceListener
    except ImportError:
        raise ConfigError(
            f"{file}: tracing: OpenTelemetry is not installed; {install_hint('otel')}"
        ) from None
    url = f"{settings.endpoint.rstrip('/')}/v1/traces"
    exporter = OTLPSpanExporter(url, timeout=EXPORT_TIMEOUT_S)
    listener = TraceListener(exporter, settings.service_name, kinds, clock=clock)
    return Tracing(TraceSampler(settings.sample, random.Random()), (listener,), listener.close)
