"""From a client's question to the outcomes of its photos: the ways they go, where they lie,
admission, and the flow."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast, get_args

from gateway.api.byte_quota import ByteQuota
from gateway.core.errors import GatewayError, NotServed
from gateway.core.events import Events, Refused
from gateway.core.limits import PhotoLimits
from gateway.core.model import (
    BufferEntry,
    Outcome,
    Photo,
    Quality,
    RemotePhoto,
    Route,
    Tenant,
    Way,
)
from gateway.core.question import Item, ItemAnswer, Question, Source, TaskRequest
from gateway.dialects.base import Dialect
from gateway.intake.admission import admit
from gateway.pipeline.scheduler import Scheduler
from gateway.vocabulary.translate import Translator
from providers.base import Limits
from providers.detection import Task, Vocabulary

Ways = Mapping[Task, Way]


@dataclass(frozen=True, slots=True)
class Service:
    """What every dialect's endpoint calls. `level` names the variant that a route's photos go by
    now; `spoken` is each provider's vocabulary, by its name, and `names` puts it in the words of
    the client's. `fetch` brings the bytes of a photo that is named by where it lies, so many at
    most; it raises GatewayError. `fetched` is for what calls that have photos fetched hold before
    the buffer does."""

    routes: Sequence[Route]
    flow: Scheduler
    house: PhotoLimits
    events: Events
    level: Callable[[str], str]
    names: Translator
    spoken: Mapping[str, Vocabulary]
    fetch: Callable[[str, Tenant, int], Awaitable[bytes]]
    fetched: ByteQuota

    async def answer(
        self, question: Question, tenant: Tenant, dialect: Dialect
    ) -> list[ItemAnswer]:
        """What came of each photo, in order; one that is refused costs the others nothing.

        Raises NotServed or BadRequest where nothing at all of what is asked is served, Busy where
        the buffer is full or too much is being fetched, Stopping where the process goes down.
        """
        ways = [self._ways(item, tenant, dialect.name, question.quality) for item in question.items]
        refused = [way for way in ways if isinstance(way, GatewayError)]
        if refused and len(refused) == len(ways):
            raise refused[0]
        photos = await self._photos(question.items, ways, tenant, question.limits or dialect.limits)
        for photo in photos:
            if isinstance(photo, GatewayError):
                self.events.tell(Refused(dialect.name, photo.code))
        answers = await self._answers(photos, ways, tenant, question)
        to = _vocabulary(dialect.name)
        return [self._in_words(answer, to) for answer in answers] if to else answers

    def way(self, ask: TaskRequest, tenant: Tenant, quality: Quality, dialect: str = "") -> Way:
        """How one thing that is asked is served. Raises NotServed."""
        route = self._route(ask, tenant, dialect, exact=ask.alone or quality == "exact")
        spoken = self.spoken[route.provider]
        only_labels = self.names.labels_in(ask.only_labels, _vocabulary(dialect), spoken)
        alone = ask.alone or self._is_below(ask, route, spoken)
        variant = self._variant(route, "exact" if alone else quality)
        return Way(route, variant, ask.extras, only_labels)

    def enter(
        self, photo: Photo | RemotePhoto, way: Way, tenant: Tenant, job: str, /, *, index: int
    ) -> BufferEntry:
        """A job's photo, ready to be put."""
        return self.flow.entry(photo, way, tenant, job=job, index=index)

    def _ways(
        self, item: Item, tenant: Tenant, dialect: str, quality: Quality
    ) -> Ways | GatewayError:
        if isinstance(item.photo, GatewayError) and not item.requests:
            return item.photo
        try:
            return {ask.task: self.way(ask, tenant, quality, dialect) for ask in item.requests}
        except NotServed as refusal:
            return refusal

    def _is_below(self, ask: TaskRequest, route: Route, spoken: Vocabulary) -> bool:
        """Whether the client is told of what scores less than groups are promised to show. Of
        likelihoods, Google's words, groups show all: a canvas with the lowest of each is the bound
        of every photo on it."""
        least, positive = ask.min_score, route.positive
        return (
            least is not None and positive is not None and least < positive and spoken != "google"
        )

    def _route(self, ask: TaskRequest, tenant: Tenant, dialect: str, *, exact: bool) -> Route:
        """The first route for the task and the tenant. What a vendor alone can say is asked of that
        vendor; labels that no route is for, or one that takes those of boxes for them, are those of
        the objects on a photo."""
        task = ask.task
        mine = [route for route in self.routes if not route.tenants or tenant.name in route.tenants]
        by_task = {
            route.task: route
            for route in reversed(mine)
            if task != Task.EXTRAS or route.kind == dialect
        }
        own, objects = by_task.get(task), by_task.get(Task.OBJECTS)
        if task == Task.LABELS and (own is None or (own.labels == "boxes" and not exact)):
            own = objects or own
        if own is not None:
            return own
        what = f"{task} ({', '.join(ask.extras)})" if task == Task.EXTRAS else task
        there = ", ".join(sorted({route.task for route in mine}))
        raise NotServed(
            f"No route serves the task {what} for you; there are routes for {there or 'nothing'}."
        )

    def _variant(self, route: Route, quality: Quality) -> str:
        return self.level(route.name) if quality == "target" else quality

    def _in_words(self, answer: ItemAnswer, to: Vocabulary) -> ItemAnswer:
        """An answer in the vocabulary of the client's dialect; in that of whoever said it last,
        until then."""
        told = {
            task: replace(
                outcome,
                detections=tuple(
                    self.names.translate(outcome.detections, task, self._spoken(outcome), to)
                ),
            )
            for task, outcome in answer.outcomes.items()
        }
        return replace(answer, outcomes=told)

    def _spoken(self, outcome: Outcome) -> Vocabulary:
        return self.spoken.get(outcome.steps[-1].provider, "") if outcome.steps else ""

    async def _photos(
        self,
        items: Sequence[Item],
        ways: Sequence[Ways | GatewayError],
        tenant: Tenant,
        limits: Limits,
    ) -> list[Photo | GatewayError]:
        """Each photo as it is admitted, or why it is not. While some are fetched the others are
        held as well."""
        with self.fetched.taking() as take:
            if any(isinstance(item.photo, Source) for item in items):
                take(sum(len(item.photo) for item in items if isinstance(item.photo, bytes)))

            async def fetch(url: str) -> bytes:
                data = await self.fetch(url, tenant, min(limits.max_bytes, self.house.max_bytes))
                take(len(data))
                return data

            admitting = (
                self._photo(item, its, limits, fetch) for item, its in zip(items, ways, strict=True)
            )
            photos = list[Photo | GatewayError]()
            for photo in await asyncio.gather(
                *admitting, return_exceptions=True
            ):  # so that none takes any more
                if not isinstance(photo, Photo | GatewayError):
                    raise photo
                photos.append(photo)
            return photos

    async def _photo(
        self,
        item: Item,
        ways: Ways | GatewayError,
        limits: Limits,
        fetch: Callable[[str], Awaitable[bytes]],
    ) -> Photo:
        if isinstance(ways, GatewayError):
            raise ways
        data = item.photo
        if isinstance(data, GatewayError):
            raise data
        data = await fetch(data.url) if isinstance(data, Source) else data
        return admit(uuid.uuid4().hex, data, limits, self.house)

    async def _answers(
        self,
        photos: Sequence[Photo | GatewayError],
        ways: Sequence[Ways | GatewayError],
        tenant: Tenant,
        question: Question,
    ) -> list[ItemAnswer]:
        """Each thing that is asked of a photo goes its own way, under an id of its own."""
        asked = [
            (replace(photo, id=uuid.uuid4().hex, hops=question.hops), way)
            for photo, its in zip(photos, ways, strict=True)
            if isinstance(photo, Photo) and not isinstance(its, GatewayError)
            for way in its.values()
        ]
        outcomes = iter(
            await self.flow.answer_all(asked, tenant, deadline_s=question.deadline_s)
            if asked
            else ()
        )
        return [_answered(photo, its, outcomes) for photo, its in zip(photos, ways, strict=True)]


def _vocabulary(dialect: str) -> Vocabulary:
    """A vendor's own, in its dialect; natively a provider's own words are told."""
    return cast(Vocabulary, dialect) if dialect in get_args(Vocabulary) else ""


def _answered(
    photo: Photo | GatewayError, ways: Ways | GatewayError, outcomes: Iterator[Outcome]
) -> ItemAnswer:
    if isinstance(photo, GatewayError):
        return ItemAnswer(None, refusal=photo)
    assert not isinstance(ways, GatewayError)
    return ItemAnswer(photo, {task: next(outcomes) for task in ways})
