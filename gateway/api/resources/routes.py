"""`GET /v1/routes`: how a tenant's photos are currently asked about, and how well the answers agree
with those of photos alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from gateway.api.resources.tenant_endpoint import http_response, tenant_endpoint
from gateway.core.model import Route, Tenant
from gateway.dialects.json_messages import json_reply
from gateway.dialects.native.schemas import Failure
from gateway.dialects.openapi_parts import SECURED, error_responses, response_of
from gateway.learning.lessons import Lessons
from gateway.observe.drift import DriftMonitor
from gateway.pipeline.group_size import GroupSizer
from gateway.security.keyring import OPERATOR, Keyring
from providers.detection import Task
from thresholds.cascade import Promise
from thresholds.drift import ConfidenceSequence

PATH = "/v1/routes"


class StageOut(Struct):
    """One stage: its provider, its shape, and the kind of rule that accepts its answers."""

    provider: str
    shape: str
    rule: str


class PromiseOut(Struct):
    """What the cascade's plan promised, and the number of photos that it was made from. Without
    ground truth, `floor` is the metric of 1x1 against a second look alone."""

    metric: str
    max_drop: float
    delta: float
    photos: int
    agreement: float
    floor: float | None
    min_score: float


class AgreementOut(Struct):
    """The mean agreement with photos alone, its confidence interval, and the number of photos
    compared."""

    photos: int
    mean: float
    low: float
    high: float


class GroupOut(Struct):
    """How photos are cleared in groups: the share that was flagged lately at this replica; the
    shape that photos are asked about at first, and why. The shape is 1x1 where groups cost more."""

    rate: float
    shape: str
    reason: str


class MismatchOut(Struct):
    """One thing (kind, canvas, model or vocabulary) in which the route's provider is another than
    the one that the cascade was made with: its thresholds may not hold."""

    what: str
    made_with: str
    route: str


class LessonOut(Struct):
    """What a route that plans itself has learned of your photos: its phase (learning or saving);
    what it may lose (`max_drop`) or is to save (`save`); how many photos it learned from, and at
    how many the next plan is due. In images: what it has `spent` on learning and watching, and
    `saved` on your photos; `paid_back` is whether the latter is more. `images` is what a photo
    costs by the plan, and `drop` the bound of what the plan loses. `certifiable_images` may be
    certified with about `certifiable_photos` photos; null where nothing is known of that."""

    phase: str
    max_drop: float | None
    save: float | None
    photos: int
    next_plan_photos: int
    spent: float
    saved: float
    paid_back: bool
    images: float
    drop: float | None
    certifiable_images: float | None
    certifiable_photos: int | None


class RouteOut(Struct):
    """One route. `level` is target, or how far the route is tightened, at this replica since the
    Unix time `since`. `agreement` is measured since then, and null where nothing was compared yet;
    `promised` is the agreement that the route must keep. `cause` is the agreement before `since`,
    for which the level changed; null where it never did."""

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
    mismatches: list[MismatchOut] = []
    lesson: LessonOut | None = None
    cause: AgreementOut | None = None


class RoutesOut(Struct):
    """The routes that serve a tenant."""

    routes: list[RouteOut]


@dataclass(frozen=True, slots=True)
class RoutesApi:
    """The endpoint. Keys and errors are those of the native dialect."""

    routes: Sequence[Route]
    drift_monitor: DriftMonitor
    group_sizer: GroupSizer
    lessons: Lessons
    keyring: Keyring

    def add_to(self, app: Starlette) -> None:
        """Adds the endpoint; `describe_routes` adds its description."""
        endpoint = tenant_endpoint(self._list, self.keyring)
        app.add_route(PATH, endpoint, methods=["GET"], include_in_schema=False)

    async def _list(self, _: Request, tenant: Tenant) -> Response:
        routes = [self._route_out(route, tenant) for route in self._serving(tenant)]
        return http_response(json_reply(200, RoutesOut(routes)))

    def all_rows(self) -> list[RouteOut]:
        """All routes, for operators: as configured, without what they learned of single pools."""
        return [self._route_out(route, OPERATOR) for route in self.routes]

    def _serving(self, tenant: Tenant) -> Iterator[Route]:
        """For each task the tenant's first route, which is the one that serves it."""
        tasks: set[Task] = set()
        for route in self.routes:
            if route.task not in tasks and (not route.tenants or tenant.name in route.tenants):
                tasks.add(route.task)
                yield route

    def _route_out(self, route: Route, tenant: Tenant) -> RouteOut:
        route = self.lessons.current(route, tenant.pool)
        level = self.drift_monitor.level(route)
        record, cause = self.drift_monitor.record(route), self.drift_monitor.cause(route)
        return RouteOut(
            name=route.name,
            task=route.task,
            provider=route.provider,
            companion=route.companion or None,
            level=level,
            since=round(record.since, 3),
            stages=_stages_out(route, level),
            promise=_promise_out(route.cascade.promise),
            promised=record.promised,
            agreement=_agreement_out(record.overall),
            labels=_label_agreements(record.labels),
            group=self._group_out(route),
            mismatches=[MismatchOut(*mismatch) for mismatch in route.mismatches],
            lesson=self._lesson_out(route, tenant),
            cause=_agreement_out(cause.overall) if cause is not None else None,
        )

    def _lesson_out(self, route: Route, tenant: Tenant) -> LessonOut | None:
        state = self.lessons.state(route, tenant.pool)
        if state is None:
            return None
        goal, tally = self.lessons.terms[route.name].goal, state.lesson.tally
        plan = state.plan
        return LessonOut(
            phase=state.phase,
            max_drop=goal.max_drop,
            save=goal.save,
            photos=state.lesson.observations,
            next_plan_photos=state.next_photos,
            spent=round(tally.spent, 3),
            saved=round(tally.saved, 3),
            paid_back=state.is_paid_back,
            images=round(plan.images, 4) if plan is not None else 1.0,
            drop=plan.drop if plan is not None else None,
            certifiable_images=plan.certifiable_images if plan is not None else None,
            certifiable_photos=plan.certifiable_photos if plan is not None else None,
        )

    def _group_out(self, route: Route) -> GroupOut | None:
        size = self.group_sizer.choice(route.name)
        if size is None:
            return None
        rate, choice = size
        return GroupOut(round(rate.share, 6), str(choice.shape), choice.reason)


def _stages_out(route: Route, level: str) -> list[StageOut]:
    return [
        StageOut(stage.provider or route.provider, str(stage.shape), stage.rule.kind)
        for stage in route.variant(level).stages
    ]


def _promise_out(promise: Promise | None) -> PromiseOut | None:
    return PromiseOut(**promise.model_dump()) if promise is not None else None


def _label_agreements(means: Mapping[str, ConfidenceSequence]) -> dict[str, AgreementOut]:
    """The agreement of each label that was compared often enough for an interval."""
    agreements = {label: _agreement_out(mean) for label, mean in means.items()}
    return {label: agreement for label, agreement in agreements.items() if agreement is not None}


def _agreement_out(mean: ConfidenceSequence) -> AgreementOut | None:
    interval = mean.interval
    if interval is None:
        return None
    return AgreementOut(mean.count, *(round(bound, 6) for bound in interval))


def describe_routes(document: dict[str, Any]) -> None:
    """Adds the endpoint and its types to an OpenAPI document."""
    refs, components = msgspec.json.schema_components(
        [RoutesOut, Failure], ref_template="#/components/schemas/{name}"
    )
    document["components"]["schemas"].update(components)
    document["paths"][PATH] = {
        "get": {
            "operationId": "routes",
            "tags": ["native"],
            "summary": "How your photos are asked about now, "
            "and how well that agrees with asking each alone",
            "security": SECURED,
            "responses": {"200": response_of(refs[0]), **error_responses(refs[1])},
        }
    }
