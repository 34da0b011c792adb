"""The service: from a client's question to the answers of its photos.

It finds the route of each task request, fetches photos that are named by URL, admits them, and has
the scheduler answer them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast, get_args

from gateway.api.byte_quota import ByteQuota
from gateway.core.errors import GatewayError, NotServed
from gateway.core.events import Events, RequestRefused
from gateway.core.limits import PhotoLimits
from gateway.core.model import Outcome, Photo, Quality, Route, Tenant, Way
from gateway.core.question import Item, ItemAnswer, Question, Source, TaskRequest
from gateway.core.request_id import new_photo_id
from gateway.dialects.base import DialectSpec
from gateway.intake.admission import admit
from gateway.pipeline.scheduler import Scheduler
from gateway.vocabulary.translate import Translator, translates_moderation
from providers.base import Limits
from providers.detection import Task, Vocabulary

log = logging.getLogger("imgrid")

Ways = Mapping[Task, Way | NotServed]
Fetch = Callable[[str], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Service:
    """What every dialect's endpoint calls.

    `learned` is a route by the plan that new photos of a pool go by, and `level` names the variant
    that a route's photos currently go by. `vocabularies` are the
    providers', by their names; the `translator` puts their words into those of the client's
    dialect. `read_source` reads at most so many bytes of a photo that is named by URL for a tenant,
    and raises GatewayError. `fetch_quota` limits what calls with such photos hold before the buffer
    counts it.
    """

    routes: Sequence[Route]
    scheduler: Scheduler
    photo_limits: PhotoLimits
    events: Events
    learned: Callable[[Route, str], Route]
    level: Callable[[Route], str]
    translator: Translator
    vocabularies: Mapping[str, Vocabulary]
    read_source: Callable[[str, Tenant, int], Awaitable[bytes]]
    fetch_quota: ByteQuota

    async def answer(
        self, question: Question, tenant: Tenant, dialect: DialectSpec
    ) -> list[ItemAnswer]:
        """The answer for each photo, in order; one that is refused costs the others nothing. Where
        it is all or nothing, the others then have no outcomes.

        Raises NotServed or BadRequest where no photo's requests are served, Busy where the buffer
        is full or too much is being fetched, and Stopping where the process goes down.
        """
        ways = [self._ways(item, tenant, dialect.vendor, question) for item in question.items]
        refusals = [way for way in ways if isinstance(way, GatewayError)]
        if refusals and len(refusals) == len(ways):
            raise refusals[0]
        photos = await self._photos(question.items, ways, tenant, question.limits or dialect.limits)
        self._tell_refusals(photos, dialect.name)
        if _is_refused_whole(question, photos):
            return list(map(_unasked, photos))
        answers = await self._answers(photos, ways, tenant, question)
        vocabulary = _vocabulary(dialect.vendor)
        if not vocabulary:
            return answers
        return [self._translated(answer, vocabulary) for answer in answers]

    def _tell_refusals(self, photos: Sequence[Photo | GatewayError], dialect: str) -> None:
        for photo in photos:
            if isinstance(photo, GatewayError):
                self.events.tell(RequestRefused(dialect, photo.code))

    # -- the way of a task request

    def way(self, request: TaskRequest, tenant: Tenant, quality: Quality, vendor: str = "") -> Way:
        """The route and the variant by which a task request is served. Raises NotServed."""
        route = self._route(request, tenant, vendor, exact=request.alone or quality == "exact")
        route = self.learned(route, tenant.pool)
        vocabulary = self.vocabularies[route.provider]
        if request.in_vendor_words and not translates_moderation(vocabulary, _vocabulary(vendor)):
            raise NotServed(
                f"The provider of the route {route.name} answers {request.task} in words that have "
                f"no translation into {vendor}'s."
            )
        only_labels = self.translator.labels_in(
            request.only_labels, _vocabulary(vendor), vocabulary
        )
        alone = request.alone or _is_below_promise(request, route, vocabulary)
        variant = self._variant(route, "exact" if alone else quality)
        return Way(route, variant, request.extras, only_labels)

    def _ways(
        self, item: Item, tenant: Tenant, vendor: str, question: Question
    ) -> Ways | GatewayError:
        """The way of each request of one photo, by task; the error where none of them is served, or
        where one is not and the dialect cannot tell its error beside the others' answers."""
        if isinstance(item.photo, GatewayError) and not item.requests:
            return item.photo
        ways: dict[Task, Way | NotServed] = {}
        for request in item.requests:
            try:
                ways[request.task] = self.way(request, tenant, question.quality, vendor)
            except NotServed as refusal:
                ways[request.task] = refusal
        refusals = [way for way in ways.values() if isinstance(way, NotServed)]
        if refusals and (len(refusals) == len(ways) or not question.partial):
            return refusals[0]
        return ways

    def _route(self, request: TaskRequest, tenant: Tenant, vendor: str, *, exact: bool) -> Route:
        """The first route for the request's task and the tenant. Raises NotServed.

        Extras go to a provider of the client's own vendor. Labels without a route of their own are
        the labels of the photo's objects, as are labels of a route with `labels: boxes` unless
        exact answers are wanted.
        """
        tenant_routes = [
            route for route in self.routes if not route.tenants or tenant.name in route.tenants
        ]
        route = _first_route(tenant_routes, request.task, vendor)
        if request.task == Task.LABELS and (
            route is None or (route.labels == "boxes" and not exact)
        ):
            route = _first_route(tenant_routes, Task.OBJECTS, vendor) or route
        if route is None:
            raise _not_served(request, tenant_routes)
        return route

    def _variant(self, route: Route, quality: Quality) -> str:
        return self.level(route) if quality == "target" else quality

    # -- photos

    async def _photos(
        self,
        items: Sequence[Item],
        ways: Sequence[Ways | GatewayError],
        tenant: Tenant,
        limits: Limits,
    ) -> list[Photo | GatewayError]:
        """Each photo as it is admitted, or the error that refuses it.

        Photos that came with the request count against the quota too while others are fetched.
        """
        with self.fetch_quota.reserving(tenant.name) as reserve:
            if any(isinstance(item.photo, Source) for item in items):
                reserve(sum(len(item.photo) for item in items if isinstance(item.photo, bytes)))

            async def fetch(url: str) -> bytes:
                max_bytes = min(limits.max_bytes, self.photo_limits.max_bytes)
                data = await self.read_source(url, tenant, max_bytes)
                reserve(len(data))
                return data

            admissions = [
                self._photo(item, item_ways, limits, fetch)
                for item, item_ways in zip(items, ways, strict=True)
            ]
            # with return_exceptions all have ended when the quota is given back
            results = await asyncio.gather(*admissions, return_exceptions=True)
        photos: list[Photo | GatewayError] = []
        for result in results:
            if not isinstance(result, Photo | GatewayError):
                raise result
            photos.append(result)
        return photos

    async def _photo(
        self, item: Item, ways: Ways | GatewayError, limits: Limits, fetch: Fetch
    ) -> Photo:
        if isinstance(ways, GatewayError):
            raise ways
        data = item.photo
        if isinstance(data, GatewayError):
            raise data
        data = await fetch(data.url) if isinstance(data, Source) else data
        return admit(new_photo_id(), data, limits, self.photo_limits)

    # -- answers

    async def _answers(
        self,
        photos: Sequence[Photo | GatewayError],
        ways: Sequence[Ways | GatewayError],
        tenant: Tenant,
        question: Question,
    ) -> list[ItemAnswer]:
        """The answer for each photo. Every request of a photo is scheduled by itself, under an id
        of its own."""
        scheduled: list[tuple[Photo, Way]] = []
        for photo, photo_ways in zip(photos, ways, strict=True):
            if isinstance(photo, Photo) and not isinstance(photo_ways, GatewayError):
                for way in photo_ways.values():
                    if isinstance(way, Way):
                        copy = replace(photo, id=new_photo_id(), hops=question.hops)
                        scheduled.append((copy, way))
        outcomes: Iterator[Outcome] = iter(())
        if scheduled:
            outcomes = iter(
                await self.scheduler.answer_all(scheduled, tenant, deadline_s=question.deadline_s)
            )
        return [
            _item_answer(photo, photo_ways, outcomes, item.notice)
            for photo, photo_ways, item in zip(photos, ways, question.items, strict=True)
        ]

    def _translated(self, answer: ItemAnswer, vocabulary: Vocabulary) -> ItemAnswer:
        """The answer in the words of a vocabulary."""
        outcomes: dict[Task, Outcome] = {}
        for task, outcome in answer.outcomes.items():
            outcomes[task] = self._translated_outcome(outcome, task, vocabulary)
        return replace(answer, outcomes=outcomes)

    def translated(self, outcome: Outcome, task: Task, dialect: str) -> Outcome:
        """The outcome of a photo of a job in the words of a vendor's dialect."""
        vocabulary = _vocabulary(dialect)
        return self._translated_outcome(outcome, task, vocabulary) if vocabulary else outcome

    def _translated_outcome(self, outcome: Outcome, task: Task, vocabulary: Vocabulary) -> Outcome:
        """The outcome in the words of a vocabulary. Detections whose details cannot be translated
        lose them."""
        own_vocabulary = self._vocabulary_of(outcome)
        translate = self.translator.translate
        try:
            detections = translate(outcome.detections, task, own_vocabulary, vocabulary)
        except Exception:  # details are the provider's, of any form
            log.exception("details cannot be translated")
            plain = [replace(detection, details={}) for detection in outcome.detections]
            detections = translate(plain, task, own_vocabulary, vocabulary)
        return replace(outcome, detections=tuple(detections))

    def _vocabulary_of(self, outcome: Outcome) -> Vocabulary:
        """The vocabulary of the provider that answered last."""
        return self.vocabularies.get(outcome.steps[-1].provider, "") if outcome.steps else ""


def _first_route(routes: Sequence[Route], task: Task, vendor: str) -> Route | None:
    for route in routes:
        if route.task == task and (task != Task.EXTRAS or route.kind == vendor):
            return route
    return None


def _not_served(request: TaskRequest, tenant_routes: Sequence[Route]) -> NotServed:
    task: str = request.task
    if request.task == Task.EXTRAS:
        task += f" ({', '.join(request.extras)})"
    tasks = ", ".join(sorted({route.task for route in tenant_routes}))
    return NotServed(
        f"No route serves the task {task} for you; there are routes for {tasks or 'nothing'}."
    )


def _is_below_promise(request: TaskRequest, route: Route, vocabulary: Vocabulary) -> bool:
    """Whether the client asks for scores below those that group testing is promised to find.

    Google's likelihoods are found at every score: a canvas's lowest likelihoods bound those of each
    photo on it.
    """
    least, positive = request.min_score, route.positive
    if least is None or positive is None:
        return False
    return least < positive and vocabulary != "google"


def _vocabulary(vendor: str) -> Vocabulary:
    """A vendor's vocabulary; none for a dialect of no vendor, which keeps the provider's words."""
    return cast(Vocabulary, vendor) if vendor in get_args(Vocabulary) else ""


def _is_refused_whole(question: Question, photos: Sequence[Photo | GatewayError]) -> bool:
    """Whether one refused photo refuses them all."""
    return question.all_or_nothing and any(isinstance(each, GatewayError) for each in photos)


def _unasked(photo: Photo | GatewayError) -> ItemAnswer:
    """The answer for a photo that nobody was asked about: it, or another one, is refused."""
    if isinstance(photo, GatewayError):
        return ItemAnswer(None, refusal=photo)
    return ItemAnswer(photo)


def _item_answer(
    photo: Photo | GatewayError,
    ways: Ways | GatewayError,
    outcomes: Iterator[Outcome],
    notice: GatewayError | None,
) -> ItemAnswer:
    """The answer for one photo, which takes its outcomes from the iterator."""
    if isinstance(photo, GatewayError):
        return _unasked(photo)
    assert not isinstance(ways, GatewayError)
    by_task: dict[Task, Outcome] = {}
    for task, way in ways.items():
        if isinstance(way, NotServed):
            by_task[task] = Outcome(photo, error=way)
        else:
            by_task[task] = next(outcomes)
    return ItemAnswer(photo, by_task, notice=notice)
