"""The stores that the conformance suites run over. To put another through them, add a function to
FACTORIES."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from gateway.api.intake import Intake
from gateway.api.resources.jobs import JobsApi
from gateway.core.clock import steady
from gateway.core.errors import NotServed
from gateway.core.events import Events
from gateway.core.limits import PhotoLimits
from gateway.core.model import Entry, Lane, Outcome, Photo, Quality, Route, Size, Step, Tenant, Way
from gateway.core.question import TaskRequest
from gateway.jobs.service import Jobs
from gateway.security.egress import check_url
from gateway.security.keyring import Keyring, digest
from gateway.store.buffer import Buffer, Capacity, Commit, Settlement
from gateway.store.jobs import Job, JobStore, WebhookTarget
from gateway.store.memory.buffer import MemoryBuffer
from gateway.store.redis.buffer import RedisBuffer
from gateway.store.redis.jobs import RedisJobStore
from gateway.store.sqlite.jobs import SqliteJobStore
from gateway.testing.listeners import EventRecorder
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.redis_server import RedisServer
from providers.detection import Task
from tests.support.clocks import NOON, HandClock
from tests.support.redis import patient_commands
from thresholds.cascade import Cascade, Stage
from thresholds.shape import ALONE, Shape

PATIENCE_S = 30.0
"""After which a test fails that waits for what does not come."""
ROOM = Capacity(photos=100, bytes=10_000)


@dataclass(frozen=True)
class Opened:
    """A store, the buffer that hands it the outcomes of its jobs' photos, and the clock of both."""

    store: JobStore
    buffer: Buffer
    clock: HandClock


@dataclass(frozen=True)
class Setting:
    """What a store is opened with."""

    clock: HandClock = field(default_factory=HandClock)
    keep_s: float = 3600.0
    room: Capacity = ROOM


@asynccontextmanager
async def sqlite(folder: Path, setting: Setting) -> AsyncIterator[Opened]:
    store = SqliteJobStore(
        folder / "jobs.db", clock=setting.clock, keep_s=setting.keep_s, room=setting.room
    )
    try:
        yield Opened(store, MemoryBuffer(Capacity(), keep=store.settle), setting.clock)
    finally:
        await store.close()


@asynccontextmanager
async def redis(folder: Path, setting: Setting, server: RedisServer) -> AsyncIterator[Opened]:
    commands, known = patient_commands(server), folder / "redis"
    try:
        if not known.exists():
            await commands.client.flushall()
            known.touch()
        buffer = RedisBuffer(commands, Capacity(), setting.room, clock=setting.clock)
        store = RedisJobStore(commands, buffer, clock=setting.clock, keep_s=setting.keep_s)
        yield Opened(store, buffer, setting.clock)
    finally:
        await commands.close()


Factory = Callable[[Path, Setting], AbstractAsyncContextManager[Opened]]
FACTORIES: Mapping[str, Callable[..., AbstractAsyncContextManager[Opened]]] = {
    "sqlite": sqlite,
    "redis": redis,
}
"""Each opens a store, empty where the folder is, and leaves nothing open when it is left."""


@pytest.fixture(scope="session", params=FACTORIES)
def factory(request: pytest.FixtureRequest) -> Factory:
    """`async with factory(folder, setting) as opened`: each kind of store."""
    if request.param == "redis":
        return partial(redis, server=request.getfixturevalue("redis_server"))
    return FACTORIES[request.param]


@pytest.fixture
def opening(factory: Factory, tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Opened]]:
    """`async with opening(keep_s=1) as opened`: one of each kind, of these settings."""
    return lambda **settings: factory(tmp_path, Setting(**settings))


@pytest.fixture
async def opened(opening) -> AsyncIterator[Opened]:
    """An empty one of each kind."""
    async with opening() as empty:
        yield empty


@pytest.fixture
def store(opened: Opened) -> JobStore:
    return opened.store


@pytest.fixture
def clock(opened: Opened) -> HandClock:
    return opened.clock


class Make:
    """Makes jobs, entries and outcomes; each job's id is greater than the one's before."""

    LANE = Lane("eye", Task.OBJECTS, "pool", Shape(1, 1))

    def __init__(self) -> None:
        self._ids = (f"job_{number:027d}" for number in itertools.count(1))

    def job(
        self,
        photos: int = 3,
        tenant: str = "shop",
        hook: WebhookTarget | None = None,
        at: float = NOON,
    ) -> Job:
        names = tuple(f"photo-{index}" for index in range(photos))
        return Job(next(self._ids), tenant, "objects", names, b'{"task":"objects"}', at, hook)

    def entry(self, job: Job, index: int, data: bytes = b"bytes") -> Entry:
        photo = Photo(f"{job.id}-{index}", data, "JPEG", Size(40, 30))
        at = job.created_at
        return Entry(
            photo,
            "objects",
            job.tenant,
            self.LANE,
            at,
            at,
            at + 2,
            at + 60,
            job=job.id,
            index=index,
        )

    def entries(self, job: Job) -> list[Entry]:
        return [self.entry(job, index) for index in range(job.photos)]

    def outcome(self, share: float = 0.25) -> Outcome:
        """What comes of a photo that went on a canvas of so many."""
        step = Step(0, "eye", "canvas", Shape(2, 2), round(1 / share), 1, 0.1, 0.1, 0.1, ())
        return Outcome(None, steps=(step,))


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()


@pytest.fixture
def answer(make: Make):
    """`await answer(buffer, count)`: so many of the buffer's photos (or of one job's) are claimed
    as they come, and settled."""

    async def settle(buffer: Buffer, count: int, *, of: Job | None = None) -> list[str]:
        settled: list[str] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(settled) < count:
                for entry in await claim(buffer):
                    await buffer.commit(Commit(settled=[Settlement(entry, make.outcome())]))
                    if of is None or entry.job == of.id:
                        settled.append(entry.photo.id)
        return settled

    return settle


async def claim(buffer: Buffer) -> list[Entry]:
    """The next canvas, when there is one."""
    while True:
        for lane in await buffer.backlogs():
            if entries := await buffer.claim(lane, NOON * 2):
                return entries
        await asyncio.sleep(0)


@pytest.fixture(scope="session")
def factory_of(factory: Factory) -> Callable[[Path], AbstractAsyncContextManager[Opened]]:
    """`async with factory_of(folder) as opened`: for tests that play many times, each in a folder
    of its own."""
    return lambda folder: factory(folder, Setting())


PHOTO = encoded(drawn((40, 30), Block("red", 4, 4, 20, 20)))
B64 = base64.b64encode(PHOTO).decode()
ROUTE = Route("objects", Task.OBJECTS, "eye", Cascade(stages=(Stage(shape=ALONE),)))
KEYS = {name: {"Authorization": f"Bearer key-{name}"} for name in ("shop", "press")}


def way(ask: TaskRequest, tenant: Tenant, quality: Quality) -> Way:
    if ask.task != Task.OBJECTS:
        raise NotServed(
            f"No route serves the task {ask.task} for you; there are routes for objects."
        )
    return Way(ROUTE, quality)


class World:
    """An app with nothing but jobs, and what is behind it. `entered` are the entries that were
    made."""

    def __init__(
        self, folder, *, open_to_all=False, room=Capacity(), hooks=None, signs=bool, **settings
    ):
        self.entered: list[Entry] = []
        self.told = EventRecorder()
        self.stopping = False
        self.store = SqliteJobStore(folder / "jobs.db", clock=steady(), keep_s=60, room=room)
        self.buffer = MemoryBuffer(Capacity(), keep=self.store.settle)
        self.jobs = Jobs(
            self.store,
            way,
            self.enter,
            check_url,
            PhotoLimits(max_bytes=100_000),
            Events([self.told]),
            steady(),
            hooks or {},
            signs,
        )
        bearer = {digest("native", f"key-{name}"): Tenant(name, name) for name in KEYS}
        keyring = Keyring(open=True) if open_to_all else Keyring(bearer)
        self.api = JobsApi(
            self.jobs,
            keyring,
            Intake(1_000_000, 2_000_000, 60),
            lambda: self.stopping,
            **{"poll_s": 0.01, **settings},
        )
        self.app = FastAPI()
        self.api.add_to(self.app)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://127.0.0.1",
            headers={} if open_to_all else KEYS["shop"],
        )

    def enter(self, photo, way, tenant, job, *, index):
        lane = Lane("eye", way.route.task, tenant.pool, ALONE)
        entry = Entry(
            photo,
            way.route.name,
            tenant.name,
            lane,
            0,
            0,
            0,
            60.0,
            job=job,
            index=index,
            variant=way.variant,
        )
        self.entered.append(entry)
        return entry

    async def submit(self, count=1, **members):
        """The answer to a request with so many photos."""
        body = {"photos": [{"content": B64, "name": f"{n}.png"} for n in range(count)], **members}
        reply = await self.client.post("/v1/jobs", json=body)
        assert reply.status_code == 202, reply.text
        return reply.json()

    async def settle(self, job, index, *found):
        await self.store.settle(job["id"], index, Outcome(None, found), Size(40, 30))


@pytest.fixture
async def world(tmp_path):
    """`world(**settings)`: an app of its own."""
    made = []

    def start(**settings):
        made.append(World(tmp_path, **settings))
        return made[-1]

    yield start
    for each in made:
        await each.client.aclose()
        await each.store.close()
