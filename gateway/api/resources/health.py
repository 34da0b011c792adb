"""Endpoints for operators: /healthz, /readyz, /metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gateway.api.authenticate import head_of, tenant_of
from gateway.api.resources.tenant_endpoint import HttpHandler
from gateway.core.clock import Clock
from gateway.core.errors import BufferAway, GatewayError
from gateway.core.outage_log import OutageLog
from gateway.dialects.native.dialect import DIALECT
from gateway.dialects.openapi_parts import response_of
from gateway.observe.metrics import Metrics
from gateway.security.keyring import Keyring
from gateway.store.inspection import Inspection
from providers.base import Provider

if TYPE_CHECKING:
    from fastapi import FastAPI

PROBE_S = 10.0
"""How long a provider may take to report whether it is ready."""
READY_FOR_S = 5.0
"""How long a provider's report that it is ready, or why not, is reused."""
HEAD_PATHS = ("/healthz", "/readyz")
"""Paths that load balancers ask by HEAD."""
WITHHELD = "not ready; the log says why, as does this page to callers with a key"
_READY = {
    "type": "object",
    "properties": {
        "ready": {"type": "boolean"},
        "problems": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["ready", "problems"],
}
READINESS: dict[int | str, dict[str, Any]] = {
    200: response_of(_READY, "Yes"),
    503: response_of(_READY, "No"),
}


@dataclass
class ReadinessProbe:
    """Tells whether a photo could be answered now. `resting` are the providers whose breaker is
    open or whose calls are stuck, with the reason. `is_leaving` says that the process stops soon.

    Holds the providers' last reports for a few seconds. Concurrent probes share one round of
    reports; otherwise gateways that are each other's providers would probe each other without end.
    """

    providers: Mapping[str, Provider]
    inspection: Inspection
    resting: Callable[[], Mapping[str, str]]
    is_leaving: Callable[[], bool] = lambda: False
    probed_at: float = -READY_FOR_S
    problems: Mapping[str, str] | None = None
    outages: OutageLog = field(default_factory=lambda: OutageLog(time.monotonic))
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def probe(self) -> tuple[bool, Mapping[str, str]]:
        """Whether the buffer and at least one provider are ready, and the problems by provider; the
        buffer's problem has the name `buffer`, and that of a process that stops `process`."""
        if self.is_leaving():
            return False, {"process": "it was told to stop; ask another one"}
        async with self.lock:
            now = time.monotonic()
            if self.problems is None or now - self.probed_at >= READY_FOR_S:
                self.problems = await self._provider_problems()
                self._log(self.problems)
                self.probed_at = now
            problems = {**self.problems, **self.resting()}
        ready = len(problems) < len(self.providers) and not self.inspection.problem
        if self.inspection.problem:
            problems["buffer"] = self.inspection.problem
        return ready, problems

    def _log(self, problems: Mapping[str, str]) -> None:
        """Logs what strangers are not told: each problem as it begins, and its end."""
        for name in self.providers:
            subject = f"readiness of {name}"
            if text := problems.get(name):
                self.outages.failed(subject, text.partition(":")[0], text)
            else:
                self.outages.worked(subject, is_over=True)

    async def _provider_problems(self) -> dict[str, str]:
        texts = await asyncio.gather(*map(_problem, self.providers.values()))
        return {name: text for name, text in zip(self.providers, texts, strict=True) if text}


async def _problem(provider: Provider) -> str:
    """The reason why the provider is not ready; empty where it is."""
    try:
        async with asyncio.timeout(PROBE_S) as limit:
            await provider.ready()
    except Exception as error:  # a plugin may raise anything
        if limit.expired():
            return f"it did not say within {PROBE_S:g} s whether it is ready"
        return f"{type(error).__name__}: {error}"
    return ""


@dataclass(frozen=True, slots=True)
class Operations:
    """The endpoints."""

    readiness: ReadinessProbe
    inspection: Inspection
    metrics: Metrics
    keyring: Keyring
    clock: Clock
    notices: Callable[[], Mapping[str, str]] = dict
    """What is wrong while photos are answered, by name."""
    connections: Callable[[], Mapping[str, int]] = dict
    grpc_calls: Callable[[], Mapping[str, int]] = dict
    is_private: bool = False
    """Whether only operators reach the endpoints."""

    def add_health_to(self, app: Starlette) -> None:
        """Adds the endpoints of a public port whose operators have an address of their own."""
        self._add(app, "/healthz", _healthz)

    def add_to(self, app: Starlette) -> None:
        """Adds the endpoints."""
        self._add(app, "/healthz", _healthz)
        self._add(app, "/readyz", self._readyz)
        self._add(app, "/metrics", self._metrics)

    def _add(self, app: Starlette, path: str, handler: HttpHandler) -> None:
        route = Route(path, handler, include_in_schema=False)
        if path not in HEAD_PATHS:
            route.methods = {"GET"}  # Starlette adds HEAD
        app.router.routes.append(route)

    def describe(self, api: FastAPI) -> None:
        """Adds the endpoints' descriptions."""
        api.get(
            "/healthz",
            tags=["operations"],
            summary="Is the process alive?",
            operation_id="health",
            response_model=dict[str, str],
        )(_healthz)
        api.get(
            "/readyz",
            tags=["operations"],
            summary="Can a photo be answered?",
            responses=READINESS,
            operation_id="readiness",
        )(self._readyz)
        api.get(
            "/metrics",
            tags=["operations"],
            summary="Prometheus metrics",
            operation_id="metrics",
            response_class=PlainTextResponse,
        )(self._metrics)

    async def _readyz(self, request: Request) -> JSONResponse:
        ready, problems = await self.readiness.probe()
        problems = {**problems, **self.notices()}
        if not self._may_see(request):
            problems = dict.fromkeys(problems, WITHHELD)
        content = {"ready": ready, "problems": dict(problems)}
        return JSONResponse(content, 200 if ready else 503)

    def _may_see(self, request: Request) -> bool:
        """Whether the reader may see problems in the words of vendors and of this machine."""
        if self.is_private:
            return True
        try:
            tenant_of(head_of(request), DIALECT, self.keyring)
        except GatewayError:
            return False
        return True

    async def _metrics(self, _: Request) -> Response:
        for client, count in self.connections().items():
            self.metrics.instruments.connections.labels(client).set(count)
        for client, count in self.grpc_calls().items():
            self.metrics.instruments.grpc_calls.labels(client).set(count)
        await self._measure_buffer()
        text = generate_latest(self.metrics.registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    async def _measure_buffer(self) -> None:
        """Sets the gauges of the buffer, which tells no events."""
        instruments = self.metrics.instruments
        instruments.buffer_up.set(not self.inspection.problem)
        try:
            occupancy, lanes = await self.inspection.occupancy(), await self.inspection.backlogs()
            instruments.dead_letters.set(len(await self.inspection.dead_letters()))
        except BufferAway:
            instruments.buffer_up.set(0)
            return
        instruments.buffer_photos.set(occupancy.photos)
        instruments.buffer_bytes.set(occupancy.bytes)
        now = self.clock()
        oldest_s = max((now - lane.oldest_at for lane in lanes.values()), default=0.0)
        instruments.oldest_wait_seconds.set(oldest_s)


async def _healthz(_: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})
