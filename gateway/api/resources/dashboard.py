"""The operators' dashboard: the page at /ui, and what it shows at /v1/dashboard.

The page holds no data and no key: it asks for the operator's key, and reads the API with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources

from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.api.authenticate import head_of
from gateway.api.resources.dashboard_money import BudgetOut, MoneyOut, MoneyView, budgets_now
from gateway.api.resources.health import ReadinessProbe
from gateway.api.resources.routes import RouteOut, RoutesApi
from gateway.api.resources.tenant_endpoint import HttpHandler, http_response, tenant_endpoint
from gateway.core.clock import Clock
from gateway.core.errors import BadRequest, Unauthenticated
from gateway.core.model import BufferLane, Tenant
from gateway.dialects.json_messages import json_reply
from gateway.ledger.budgets import Budgets
from gateway.observe.metrics import Metrics
from gateway.observe.summary import ProcessSummary, summary_of
from gateway.security.keyring import Keyring
from gateway.store.budgets import BudgetStore
from gateway.store.inspection import Backlog, Inspection
from gateway.store.jobs import DeliveryStore
from gateway.upstream.registry import UpstreamRegistry

PAGE, API = "/ui", "/v1/dashboard"
STATIC: Mapping[str, tuple[str, str]] = {
    PAGE: ("dashboard.html", "text/html; charset=utf-8"),
    "/ui/dashboard.js": ("dashboard.js", "text/javascript; charset=utf-8"),
    "/ui/dashboard.css": ("dashboard.css", "text/css; charset=utf-8"),
}
"""The files of the page and their types, by path."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
DEAD_SHOWN = 100
"""Dead deliveries are counted up to so many."""


class LaneOut(Struct):
    """Photos that wait for one kind of canvas, and how long the oldest has."""

    provider: str
    task: str
    pool: str
    shape: str
    photos: int
    oldest_s: float


class ProviderOut(Struct):
    """A provider at this replica. `problem` is empty where there is none."""

    name: str
    kind: str
    problem: str
    typical_s: float
    free_slots: int


class DashboardOut(Struct):
    """Everything that the page shows. `at` is the time in Unix seconds. `dead_letters` are photos
    that were given up, `dead_deliveries` webhooks, of which at most DEAD_SHOWN are counted.
    `replica` is about the process that answered."""

    at: float
    money: MoneyOut
    budgets: list[BudgetOut]
    routes: list[RouteOut]
    photos: int
    lanes: list[LaneOut]
    dead_letters: int
    dead_deliveries: int
    providers: list[ProviderOut]
    notices: dict[str, str]
    replicas: int
    replica: ProcessSummary


@dataclass(frozen=True, slots=True)
class DashboardApi:
    """The page and its endpoint. `notices` say what is wrong while photos are answered."""

    money: MoneyView
    budgets: Budgets
    budget_store: BudgetStore
    inspection: Inspection
    deliveries: DeliveryStore
    upstream: UpstreamRegistry
    metrics: Metrics
    routes: RoutesApi
    readiness: ReadinessProbe
    keyring: Keyring
    clock: Clock
    notices: Callable[[], Mapping[str, str]]

    def add_to(self, app: Starlette) -> None:
        """Adds the page and the endpoint."""
        for path, (name, content_type) in STATIC.items():
            self._add(app, path, _file_handler(name, content_type))
        self._add(app, API, tenant_endpoint(self._dashboard, self.keyring, operators=True))

    def _add(self, app: Starlette, path: str, handler: HttpHandler) -> None:
        route = Route(path, handler, include_in_schema=False)
        route.methods = {"GET"}  # Starlette adds HEAD
        app.router.routes.append(route)

    async def _dashboard(self, request: Request, tenant: Tenant) -> Response:
        if not tenant.is_operator:
            raise Unauthenticated(
                "This is for operators: send one of operator_keys, not a tenant's key."
            )
        if head_of(request).query:
            raise BadRequest("The dashboard takes no parameters.")
        response = http_response(json_reply(200, await self._content()))
        response.headers["Cache-Control"] = "no-store"
        return response

    async def _content(self) -> DashboardOut:
        now = self.clock()
        occupancy, lanes = await self.inspection.occupancy(), await self.inspection.backlogs()
        _, problems = await self.readiness.probe()
        return DashboardOut(
            at=now,
            money=await self.money.current(now),
            budgets=await budgets_now(self.budgets, self.budget_store, now),
            routes=self.routes.all_rows(),
            photos=occupancy.photos,
            lanes=[_lane_out(lane, backlog, now) for lane, backlog in lanes.items()],
            dead_letters=len(await self.inspection.dead_letters()),
            dead_deliveries=len(await self.deliveries.dead_deliveries(DEAD_SHOWN)),
            providers=[
                self._provider_out(name, problems.get(name, "")) for name in self.upstream.clients
            ],
            notices={**self._other_problems(problems), **self.notices()},
            replicas=self.inspection.replicas,
            replica=summary_of(self.metrics.instruments),
        )

    def _provider_out(self, name: str, problem: str) -> ProviderOut:
        return ProviderOut(
            name,
            self.upstream.about(name).kind,
            problem,
            round(self.upstream.typical_s(name), 3),
            self.upstream.free_slots()[name],
        )

    def _other_problems(self, problems: Mapping[str, str]) -> dict[str, str]:
        """The problems that are no provider's."""
        return {name: text for name, text in problems.items() if name not in self.upstream.clients}


def _lane_out(lane: BufferLane, backlog: Backlog, now: float) -> LaneOut:
    oldest_s = round(max(now - backlog.oldest_at, 0.0), 3)
    return LaneOut(lane.provider, lane.task, lane.pool, str(lane.shape), backlog.photos, oldest_s)


def _file_handler(name: str, content_type: str) -> HttpHandler:
    """A handler that serves a file of this package."""

    async def serve(_: Request) -> Response:
        data = resources.files("gateway.api.resources").joinpath("ui", name).read_bytes()
        return Response(data, headers={**HEADERS, "Content-Type": content_type})

    return serve
