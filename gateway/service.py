"""From a client's question to the outcomes of its photos: the route, admission, and the flow."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.admission import House, admit
from gateway.dialects.base import Question
from gateway.errors import GatewayError, NotServed
from gateway.events import Events, Refused
from gateway.flow import Flow
from gateway.model import Entry, Outcome, Photo, Quality, Route, Tenant
from providers.base import Limits, Task


@dataclass(frozen=True, slots=True)
class Service:
    """What every dialect's endpoint calls. `level` names the variant that a route's photos go by now."""

    routes: Sequence[Route]
    flow: Flow
    house: House
    events: Events
    level: Callable[[str], str]

    async def answer(self, question: Question, tenant: Tenant, *, dialect: str, limits: Limits) -> list[Outcome]:
        """One outcome a photo, in order; a photo that is refused costs the others nothing.

        Raises NotServed where no route fits, Busy where the buffer is full, Stopping where the process goes down.
        """
        if not question.photos:
            return []
        route = self.route(question.task, tenant)
        admitted = [self._admit(data, limits) for data in question.photos]
        for refusal in admitted:
            if isinstance(refusal, GatewayError):
                self.events.tell(Refused(dialect, refusal.code))
        photos = [photo for photo in admitted if isinstance(photo, Photo)]
        answers = await self._answers(photos, route, tenant, question)
        return [answers[photo.id] if isinstance(photo, Photo) else Outcome(None, error=photo) for photo in admitted]

    def route(self, task: Task, tenant: Tenant) -> Route:
        """The first route for the task and the tenant."""
        for route in self.routes:
            if route.task == task and (not route.tenants or tenant.name in route.tenants):
                return route
        served = ", ".join(sorted({route.task for route in self.routes}))
        raise NotServed(f"No route serves the task {task} for you; there are routes for {served}.")

    def enter(self, photo: Photo, route: Route, tenant: Tenant, job: str, *, index: int, quality: Quality) -> Entry:
        """A job's photo, ready to be put."""
        return self.flow.entry(photo, route, tenant, job, index, variant=self._variant(route, quality))

    def _variant(self, route: Route, quality: Quality) -> str:
        return self.level(route.name) if quality == "target" else quality

    def _admit(self, data: bytes | GatewayError, limits: Limits) -> Photo | GatewayError:
        if isinstance(data, GatewayError):
            return data
        try:
            return admit(uuid.uuid4().hex, data, limits, self.house)
        except GatewayError as refusal:
            return refusal

    async def _answers(
        self, photos: Sequence[Photo], route: Route, tenant: Tenant, question: Question
    ) -> Mapping[str, Outcome]:
        if not photos:
            return {}
        variant = self._variant(route, question.quality)
        outcomes = await self.flow.answer(photos, route, tenant, deadline_s=question.deadline_s, variant=variant)
        return {photo.id: outcome for photo, outcome in zip(photos, outcomes, strict=True)}
