"""What a job is, and what keeps jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol
from urllib.parse import urlsplit

from gateway.core.errors import GatewayError
from gateway.core.model import BufferEntry, Outcome, Size
from gateway.store.buffer import Buffer

PER_HOST = 8
"""Deliveries of one host that are under way at a time, so that a slow receiver delays no other."""
JOB_EVENT = "job."
"""Before the state in which a job ended: the kind of the delivery about it."""
PHOTO_EVENT = "photo.settled"
"""The kind of a delivery about a photo."""
END_SUFFIX = "end"
"""In the id of the delivery about a job's end, where others have the photo's index."""
KEY_LASTS_S = 24 * 3600.0
"""How long an idempotency key gives the same job."""


NONE_REFUSED: Mapping[int, GatewayError] = MappingProxyType({})


class State(StrEnum):
    RUNNING = "running"
    DONE = "done"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """Where a job's end is told, or each of its photos."""

    url: str
    each_photo: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """Photos that were handed in together. `options` are the client's, as the dialect wrote them
    down.

    Times are Unix seconds. `photos` is how many there are; `names` what the client calls them.
    """

    id: str
    tenant: str
    task: str
    names: tuple[str, ...]
    options: bytes
    created_at: float
    hook: WebhookTarget | None = None
    state: State = State.RUNNING
    settled: int = 0
    failed: int = 0
    billed: float = 0.0
    finished_at: float | None = None

    @property
    def photos(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class JobResult:
    """What became of one photo of a job: `number` counts results in the order in which they came,
    from 1."""

    number: int
    index: int
    outcome: Outcome
    size: Size | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, latest first, and where the next page begins; empty after the last."""

    jobs: Sequence[Job]
    next: str


class JobStore(Protocol):
    """Keeps jobs, and survives the process. Every method may raise BufferAway."""

    async def submit(
        self,
        job: Job,
        entries: Sequence[BufferEntry],
        refused: Mapping[int, GatewayError] = NONE_REFUSED,
        *,
        key: str = "",
        digest: str = "",
    ) -> Job:
        """The job, now accepted: none of its photos is lost from here on. Each is either among the
        entries or, by its index, `refused` and thereby settled.

        Under an idempotency `key` that this tenant used before, for a request of the same `digest`,
        it is the earlier job, and nothing new is accepted. Raises Conflict where the digest
        differs, Busy where there is no room.
        """
        ...

    async def find(self, tenant: str, job_id: str) -> Job:
        """Raises NotFound where the tenant has none of that id."""
        ...

    async def page(self, tenant: str, *, after: str = "", limit: int = 50) -> Page:
        """The tenant's jobs from the cursor on, latest first."""
        ...

    async def results(
        self, job_id: str, *, after: int = 0, limit: int = 1000
    ) -> Sequence[JobResult]:
        """Results with a number over `after`, in their order."""
        ...

    async def abort(self, tenant: str, job_id: str) -> Job:
        """Withdraws what is not settled; keeps what is. A job that has ended stays as it is. Raises
        NotFound."""
        ...


class JobFeed(Protocol):
    """Connects the jobs with the buffer. Every method may raise BufferAway."""

    async def settle(self, job_id: str, index: int, outcome: Outcome, size: Size | None) -> None:
        """Writes down what became of a photo, once: a second time does nothing. The last one ends
        the job."""
        ...

    def running(self, buffer: Buffer) -> AbstractAsyncContextManager[None]:
        """While it lasts, photos of accepted jobs find their way into the buffer, and old jobs are
        forgotten."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to a client's URL. Its `id` stays the same however often it is sent; `kind` is
    job.done, job.aborted or photo.settled; `index` is the photo's and `number` its result's, where
    it is about one. `attempts` are those that failed."""

    id: str
    tenant: str
    job: str
    kind: str
    index: int
    url: str
    attempts: int
    due_at: float
    created_at: float
    last_error: str = ""
    number: int = 0


def host_of(url: str) -> str:
    """Whose turns a URL shares: its host's, whatever the port."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return url


class DeliveryStore(Protocol):
    """Keeps deliveries that are not made yet, and survives the process. Times are Unix seconds."""

    async def claim(self, now: float, lease_s: float, count: int) -> Sequence[Delivery]:
        """Up to so many that are due, the earliest first and no more than a few of one URL's host,
        for the caller to see to within the lease; after that they are due again."""
        ...

    async def complete(self, delivery_id: str) -> None:
        """The receiver took it: it is forgotten."""
        ...

    async def add_failure(self, delivery_id: str, error: str, again_at: float | None) -> None:
        """It is due again then; with None it is dead, and listed as such."""
        ...

    async def dead_deliveries(self, limit: int = 100) -> Sequence[Delivery]:
        """The dead ones, latest first."""
        ...

    async def replay(self, delivery_ids: Sequence[str]) -> int:
        """Makes dead deliveries due now, with attempts counted from 0; all of them where none is
        named. How many."""
        ...
