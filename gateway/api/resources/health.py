"""What operators ask: /healthz, /readyz, /metrics; and what clients may: /v1/usage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.api.authenticate import check_local, head
from gateway.core.clock import Clock
from gateway.core.errors import BufferAway, GatewayError
from gateway.dialects.native.dialect import DIALECT
from gateway.dialects.openapi_parts import SECURED, error_responses, response_of
from gateway.ledger.accounts import Account
from gateway.observe.metrics import Metrics
from gateway.security.keyring import Keyring
from gateway.store.inspection import Inspection
from gateway.store.ledger import Ledger
from providers.base import Provider
from providers.errors import ProviderError

READY_FOR_S = 5.0
"""How long a provider's word that it could be asked is believed."""
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
_FIGURES = (
    "photos",
    "answered",
    "billed_images",
    "maybe_billed_images",
    "saved",
    "paid_usd",
    "alone_usd",
)
_USAGE = {
    "type": "object",
    "properties": {name: {"type": "number"} for name in _FIGURES},
    "required": list(_FIGURES),
}
USAGE: dict[int | str, dict[str, Any]] = {
    200: response_of(_USAGE),
    **error_responses(
        {"$ref": "#/components/schemas/Failure"}
    ),  # native's, which stands in every document
}


@dataclass
class Ready:
    """Whether a photo could be answered: the buffer takes it and a provider can be asked. Remembers
    what providers said for a few seconds; who asks meanwhile waits for that, or gateways that ask
    each other would ask without end. `resting` are those that are left alone for a while, and
    why."""

    providers: Mapping[str, Provider]
    inspection: Inspection
    resting: Callable[[], Mapping[str, str]]
    looked_at: float = -READY_FOR_S
    problems: Mapping[str, str] | None = None
    one_looks: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def look(self) -> tuple[bool, Mapping[str, str]]:
        """Whether one could, and what is wrong, by provider; `buffer` is the buffer's."""
        async with self.one_looks:
            now = time.monotonic()
            if self.problems is None or now - self.looked_at >= READY_FOR_S:
                found = await asyncio.gather(
                    *(self._problem(provider) for provider in self.providers.values())
                )
                self.problems = {
                    name: text for name, text in zip(self.providers, found, strict=True) if text
                }
                self.looked_at = now
            problems = {**self.problems, **self.resting()}
        able = len(problems) < len(self.providers) and not self.inspection.problem
        return able, {
            **problems,
            **({"buffer": self.inspection.problem} if self.inspection.problem else {}),
        }

    async def _problem(self, provider: Provider) -> str:
        try:
            await provider.ready()
        except ProviderError as error:
            return f"{type(error).__name__}: {error}"
        return ""


@dataclass(frozen=True, slots=True)
class Operations:
    """The endpoints."""

    ready: Ready
    inspection: Inspection
    ledger: Ledger
    metrics: Metrics
    keyring: Keyring
    clock: Clock

    def add_to(self, app: FastAPI) -> None:
        app.get("/healthz", tags=["operations"], summary="Is the process alive?")(_healthz)
        app.get(
            "/readyz", tags=["operations"], summary="Can a photo be answered?", responses=READINESS
        )(self._readyz)
        app.get(
            "/metrics",
            tags=["operations"],
            summary="Prometheus metrics",
            response_class=PlainTextResponse,
        )(self._metrics)
        app.get(
            "/v1/usage",
            tags=["native"],
            summary="What was answered, paid and saved for you",
            openapi_extra={"security": SECURED},
            responses=USAGE,
        )(self._usage)

    async def _readyz(self) -> JSONResponse:
        able, problems = await self.ready.look()
        if (
            self.keyring.store and self.keyring.store.problem
        ):  # whose last good keys go on being good
            problems = {**problems, "keys": self.keyring.store.problem}
        return JSONResponse({"ready": able, "problems": dict(problems)}, 200 if able else 503)

    async def _metrics(self) -> Response:
        self.metrics.up.set(not self.inspection.problem)
        try:
            held, lanes = await self.inspection.held(), await self.inspection.waiting()
            self.metrics.dead.set(len(await self.inspection.dead()))
        except BufferAway:
            self.metrics.up.set(0)
        else:
            self.metrics.waiting.set(held.photos)
            self.metrics.bytes.set(held.bytes)
            now = self.clock()
            self.metrics.oldest.set(
                max((now - lane.oldest_at for lane in lanes.values()), default=0.0)
            )
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def _usage(self, request: Request) -> Response:
        greeting = head(request)
        try:
            if self.keyring.open:
                check_local(greeting)
            tenant = DIALECT.authenticate(greeting, self.keyring)
            account = (await self.ledger.accounts()).get(tenant.name, Account())
        except GatewayError as error:
            reply = DIALECT.render_error(error)
            return Response(reply.body, reply.status, reply.headers)
        return JSONResponse(_told(account))


async def _healthz() -> dict[str, str]:
    return {"status": "ok"}


def _told(account: Account) -> dict[str, Any]:
    figures = (
        account.photos,
        account.answered,
        account.billed,
        account.unknown,
        account.saved,
        account.paid_usd,
        account.alone_usd,
    )
    return {name: round(figure, 6) for name, figure in zip(_FIGURES, figures, strict=True)}
