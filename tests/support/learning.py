"""A learner with a store and fakes of what it asks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.core.clock import steady
from gateway.core.errors import UpstreamFailed
from gateway.core.events import Event, Events, Settled
from gateway.core.model import Entry, Lane, Outcome, Photo, Route, Step, Tenant, Way
from gateway.core.outage_log import OutageLog
from gateway.learning.learner import (
    BATCH,
    Learner,
)
from gateway.learning.lessons import FIRST_PHOTOS, LearningTerms, Lessons
from gateway.learning.observer import Observer
from gateway.learning.plans import LearnedPlan, LearningGoal, PlanRequest
from gateway.store.learning import LearningStore, Tally
from gateway.store.sqlite.database import Database
from gateway.store.sqlite.learning import SqliteLearningStore
from gateway.testing.listeners import EventRecorder
from gateway.testing.pictures import Block, drawn, encoded, photo
from providers.detection import Box, Detection, Task
from providers.prices import Price
from tests.support.waiting import wait_until
from thresholds.cascade import Cascade, Stage
from thresholds.shape import ALONE, Shape

GRIDS = (Shape(2, 1), Shape(2, 2))
LOOKS = (*(Stage(shape=shape) for shape in GRIDS), Stage(shape=ALONE, provider="own"))
ROUTE = Route(
    "objects",
    Task.OBJECTS,
    "cloud",
    Cascade(stages=(Stage(shape=ALONE),)),
    companion="own",
    looks=LOOKS,
)
PLAIN = Route("faces", Task.FACES, "cloud", Cascade(stages=(Stage(shape=ALONE),)))
TERMS = LearningTerms(LearningGoal(max_drop=0.02), images=500, share=0.0, shapes=GRIDS)
CASCADE = Cascade(stages=(Stage(shape=Shape(2, 2)),))
DOG = Detection("dog", 0.9, Box(0.2, 0.2, 0.6, 0.8))
SHOP, PRESS = Tenant("shop", "shop"), Tenant("press", "press")
PHOTO = photo(encoded(drawn((40, 30), Block("red", 5, 5, 20, 20))))


def settled(
    tenant: Tenant = SHOP,
    route: Route = ROUTE,
    *,
    share: float = 1.0,
    shape: Shape = ALONE,
    outcome: Callable[[Outcome], Outcome] = lambda outcome: outcome,
    **fields: Any,
) -> Settled:
    """A photo of a tenant with its answer, which cost that many images."""
    data = replace(PHOTO, id=str(random.random()))
    entry = Entry(
        photo=fields.pop("photo", data),
        route=route.name,
        tenant=tenant.name,
        lane=Lane("cloud", route.task, tenant.pool, shape),
        accepted_at=0.0,
        put_at=0.0,
        due_at=0.0,
        deadline_at=60.0,
        plan=route.plan,
        **fields,
    )
    step = Step(0, "cloud", "canvas", shape, 1, 1, 0.0, 0.0, 0.0, (DOG,), owes=share)
    return Settled(entry, outcome(Outcome(entry.photo, (DOG,), (step,))), 0.1)


@dataclass
class Desk:
    """Answers the gateway's own questions, and makes plans as told. Holds both as they came."""

    fails: Callable[[Way], bool] = lambda _: False
    cascade: str = CASCADE.model_dump_json(exclude_none=True)
    ways: list[Way] = field(default_factory=list)
    requests: list[PlanRequest] = field(default_factory=list)

    async def ask(self, asked: Photo, way: Way, tenant: Tenant) -> Outcome:
        self.ways.append(way)
        if self.fails(way):
            return Outcome(asked, error=UpstreamFailed("down"))
        return Outcome(asked, (DOG,))

    async def make_plan(self, request: PlanRequest) -> LearnedPlan:
        self.requests.append(request)
        return LearnedPlan(
            number=request.number,
            goal=request.goal,
            photos=len(request.observations),
            cascade=self.cascade,
            images=0.25 if self.cascade else 1.0,
        )


@dataclass
class Bench:
    """A learner with a store, which other processes may share."""

    store: LearningStore
    terms: LearningTerms = TERMS
    desk: Desk = field(default_factory=Desk)
    chance: float = 0.0

    def __post_init__(self) -> None:
        self.routes = {each.name: replace(each, plans={}) for each in (ROUTE, PLAIN)}
        self.recorder = EventRecorder()
        self.learner = Learner(
            self.routes,
            Lessons({"objects": self.terms}, self.routes),
            self.store,
            Observer(self.desk.ask),
            self.desk.make_plan,
            prices=dict.fromkeys(self.routes, Price(0.001)),
            events=Events([self.recorder]),
            outages=OutageLog(steady()),
            rng=random.Random(1),
        )

    @property
    def lessons(self) -> Lessons:
        return self.learner.lessons

    def current(self, tenant: Tenant = SHOP) -> Route:
        return self.lessons.current(self.routes["objects"], tenant.pool)

    def tell(self, *events: Event) -> None:
        for event in events:
            self.learner(event)

    async def observe(self, *events: Event) -> None:
        """Tells the events and runs until the batches that they fill are stored, and the account is
        written."""
        before = sum(lesson.observations for lesson in (await self.store.lessons()).values())
        self.tell(*events)
        whole = len(events) // BATCH * BATCH
        running = asyncio.create_task(self.learner.run())

        async def is_stored() -> bool:
            lessons = await self.store.lessons()
            return sum(each.observations for each in lessons.values()) >= before + whole

        await wait_until(is_stored)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def learn(self, tenant: Tenant = SHOP, photos: int = FIRST_PHOTOS) -> None:
        """Stores as many observations as a first plan needs, and has it made."""
        key = self.lessons.key("objects", tenant.pool)
        await self.store.add(key, Tally(), [b"observation"] * photos)
        await self.learner.update()


@asynccontextmanager
async def stores(folder: Path, count: int = 1) -> AsyncIterator[list[LearningStore]]:
    """What several processes see of one store."""
    databases = [Database(folder / "jobs.sqlite3") for _ in range(count)]
    try:
        yield [SqliteLearningStore(database, clock=steady()) for database in databases]
    finally:
        for database in databases:
            await database.close()
