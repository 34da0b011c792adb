"""The service of jobs over HTTP, with a store of its own and no pipeline."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from gateway.api.intake import Intake
from gateway.api.resources.jobs import JobsApi
from gateway.core.clock import steady
from gateway.core.errors import NotServed
from gateway.core.events import Events
from gateway.core.fair_share import FairBudget
from gateway.core.limits import PhotoLimits
from gateway.core.model import Entry, Lane, Outcome, Photo, Quality, Route, Size, Tenant, Way
from gateway.core.question import TaskRequest
from gateway.jobs.service import Jobs
from gateway.security.egress import check_url
from gateway.security.keyring import Keyring, digest
from gateway.store.buffer import Capacity
from gateway.store.jobs import WebhookTarget
from gateway.store.memory.buffer import MemoryBuffer
from gateway.store.sqlite.jobs import SqliteJobStore
from gateway.testing.listeners import EventRecorder
from gateway.testing.pictures import Block, drawn, encoded
from providers.detection import Detection, Task
from thresholds.cascade import Cascade, Stage
from thresholds.shape import ALONE

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


class JobsHarness:
    """An app that serves jobs only, and the parts behind it. Holds the entries of photos, and the
    events."""

    def __init__(
        self,
        folder: Path,
        *,
        open_to_all: bool = False,
        room: Capacity = Capacity(),
        hooks: Mapping[str, WebhookTarget] | None = None,
        signs: Callable[[str], Any] = bool,
        **settings: Any,
    ) -> None:
        self.entries: list[Entry] = []
        self.events = EventRecorder()
        self.stopping = False
        self.store = SqliteJobStore(folder / "jobs.db", clock=steady(), keep_s=60, room=room)
        self.buffer = MemoryBuffer(Capacity(), journal=self.store.journal)
        self.jobs = Jobs(
            self.store,
            way,
            self.enter,
            check_url,
            lambda url, tenant: None,
            PhotoLimits(max_bytes=100_000),
            Events([self.events]),
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
            FairBudget(1_000),
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

    def enter(self, photo: Photo, way: Way, tenant: Tenant, job: str, *, index: int) -> Entry:
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
        self.entries.append(entry)
        return entry

    async def submit(self, count: int = 1, **members: Any) -> Any:
        """The accepted job of a request with so many photos."""
        body = {"photos": [{"content": B64, "name": f"{n}.png"} for n in range(count)], **members}
        reply = await self.client.post("/v1/jobs", json=body)
        assert reply.status_code == 202, reply.text
        return reply.json()

    async def settle(self, job: Mapping[str, Any], index: int, *detections: Detection) -> None:
        await self.store.settle(job["id"], index, Outcome(None, detections), Size(40, 30))


StartJobs = Callable[..., JobsHarness]


@pytest.fixture
async def start_jobs(tmp_path: Path) -> AsyncIterator[StartJobs]:
    """`start_jobs(**settings)`: an app that serves jobs."""
    harnesses: list[JobsHarness] = []

    def start(**settings: Any) -> JobsHarness:
        harnesses.append(JobsHarness(tmp_path, **settings))
        return harnesses[-1]

    yield start
    for harness in harnesses:
        await harness.client.aclose()
        await harness.store.close()
