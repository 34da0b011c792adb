"""`GET /v1/routes`: how a tenant's photos are asked about now, and how well that agrees with asking
each alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from msgspec import Struct

from gateway.api.authenticate import check_local, head
from gateway.core.errors import GatewayError
from gateway.core.model import Route, Tenant
from gateway.dialects.json_messages import json_reply
from gateway.dialects.native.dialect import DIALECT
from gateway.dialects.native.schemas import Failure
from gateway.dialects.openapi_parts import SECURED, error_responses, response_of
from gateway.observe.drift import DriftMonitor
from gateway.pipeline.group_size import GroupSizer
from gateway.security.keyring import Keyring
from thresholds.cascade import Promise
from thresholds.drift import Mean

PATH = "/v1/routes"


class StageOut(Struct):
    """One question: to whom, at which shape, and by which kind of rule its answer is accepted."""

    provider: str
    shape: str
    rule: str


class PromiseOut(Struct):
    """What the cascade's plan promised, and from how many photos it knew."""

    metric: str
    max_drop: float
    delta: float
    photos: int
    agreement: float


class AgreementOut(Struct):
    """Mean agreement with photos alone, between what it lies, and on how many photos it was
    seen."""

    photos: int
    mean: float
    low: float
    high: float


class GroupOut(Struct):
    """How photos are cleared together: the share of them that was flagged lately, here; the shape
    that they are asked about at first, and why: 1x1 where groups do not pay."""

    rate: float
    shape: str
    reason: str


class RouteOut(Struct):
    """One route. `level` is target, or how far it is tightened, since when (Unix seconds) at this
    replica; `agreement` is the target's since then, null where nothing was compared yet; `promised`
    is what the route is held to."""

    name: str
    task: str
    provider: str
    companion: str | None
    level: str
    since: float
    stages: list[StageOut]
    promise: PromiseOut | None
    promised: float | None
    agreement: AgreementOut | None
    labels: dict[str, AgreementOut]
    group: GroupOut | None = None


class RoutesOut(Struct):
    """The routes that serve a tenant."""

    routes: list[RouteOut]


@dataclass(frozen=True, slots=True)
class Routes:
    """The endpoint. Keys and errors are those of the native dialect."""

    routes: Sequence[Route]
    watcher: DriftMonitor
    keyring: Keyring
    sizes: GroupSizer

    def add_to(self, app: FastAPI) -> None:
        """Adds the endpoint; `describe_routes` adds its description."""
        app.add_route(PATH, self._answer, methods=["GET"], include_in_schema=False)

    async def _answer(self, request: Request) -> Response:
        greeting = head(request)
        try:
            if self.keyring.open:
                check_local(greeting)
            tenant = DIALECT.authenticate(greeting, self.keyring)
            reply = json_reply(
                200, RoutesOut([self._told(route) for route in self._serving(tenant)])
            )
        except GatewayError as error:
            reply = DIALECT.render_error(error)
        return Response(reply.body, reply.status, reply.headers)

    def _serving(self, tenant: Tenant) -> Iterator[Route]:
        """Of each task the first route that is for the tenant, which is the one that serves it."""
        seen: set[str] = set()
        for route in self.routes:
            if route.task not in seen and (not route.tenants or tenant.name in route.tenants):
                seen.add(route.task)
                yield route

    def _told(self, route: Route) -> RouteOut:
        level, record = self.watcher.level(route.name), self.watcher.records[route.name]
        stages = [
            StageOut(stage.provider or route.provider, str(stage.shape), stage.rule.kind)
            for stage in route.variant(level).stages
        ]
        labels = {
            label: told for label, mean in record.labels.items() if (told := _agreement(mean))
        }
        return RouteOut(
            route.name,
            route.task,
            route.provider,
            route.companion or None,
            level,
            round(record.since, 3),
            stages,
            _promise(route.cascade.promise),
            record.promised,
            _agreement(record.whole),
            labels,
            self._group(route),
        )

    def _group(self, route: Route) -> GroupOut | None:
        chosen = self.sizes.choice(route.name)
        if chosen is None:
            return None
        rate, choice = chosen
        return GroupOut(round(rate.share, 6), str(choice.shape), choice.reason)


def _promise(promise: Promise | None) -> PromiseOut | None:
    return PromiseOut(**promise.model_dump()) if promise is not None else None


def _agreement(mean: Mean) -> AgreementOut | None:
    interval = mean.interval
    return (
        AgreementOut(mean.count, *(round(side, 6) for side in interval))
        if interval is not None
        else None
    )


def describe_routes(document: dict[str, Any]) -> None:
    """Adds the endpoint and its types to an OpenAPI document."""
    refs, parts = msgspec.json.schema_components(
        [RoutesOut, Failure], ref_template="#/components/schemas/{name}"
    )
    document["components"]["schemas"].update(parts)
    document["paths"][PATH] = {
        "get": {
            "operationId": "routes",
            "tags": ["native"],
            "summary": "How your photos are asked about now, and how well that agrees with asking each alone",
            "security": SECURED,
            "responses": {"200": response_of(refs[0]), **error_responses(refs[1])},
        }
    }
