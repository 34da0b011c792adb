"""Jobs and deliveries, and the contracts of their stores."""

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
"""How long an idempotency key leads to the same job."""
NONE_REFUSED: Mapping[int, GatewayError] = MappingProxyType({})


class State(StrEnum):
    RUNNING = "running"
    DONE = "done"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """The URL to which the end of a job is delivered; with `each_photo`, every result too."""

    url: str
    each_photo: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """Photos that were submitted together.

    `names` are the client's names of the photos; `options` the client's options, as the dialect
    packed them. `settled` and `failed` count results; `billed` is in images. Times are Unix
    seconds.
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
        """The number of photos."""
        return len(self.names)


@dataclass(frozen=True, slots=True)
class JobResult:
    """The result of one photo of a job. `number` counts results from 1, in the order of their
    coming; `index` is the photo's place in the request."""

    number: int
    index: int
    outcome: Outcome
    size: Size | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, latest first. `next` is the cursor of the next page; empty after the last."""

    jobs: Sequence[Job]
    next: str


class JobStore(Protocol):
    """Holds jobs beyond the life of the process. Every method may raise BufferAway."""

    async def submit(
        self,
        job: Job,
        entries: Sequence[BufferEntry],
        refused: Mapping[int, GatewayError] = NONE_REFUSED,
        *,
        key: str = "",
        digest: str = "",
    ) -> Job:
        """The accepted job: from here on none of its photos is lost. Each photo has an entry or,
        by its index, a refusal, which is its result.

        If the tenant used the idempotency `key` before for a request of the same `digest`, it is
        the earlier job, and nothing new is accepted. Raises Conflict if the digest differs, Busy if
        there is no room.
        """
        ...

    async def find(self, tenant: str, job_id: str) -> Job:
        """The job. Raises NotFound if the tenant has no job of that id."""
        ...

    async def page(self, tenant: str, *, after: str = "", limit: int = 50) -> Page:
        """The tenant's jobs after the cursor, latest first."""
        ...

    async def results(
        self, job_id: str, *, after: int = 0, limit: int = 1000
    ) -> Sequence[JobResult]:
        """The job's results with a number over `after`, in their order."""
        ...

    async def abort(self, tenant: str, job_id: str) -> Job:
        """The job, aborted: photos that are not settled are withdrawn, results stay. A job that has
        ended stays as it is. Raises NotFound."""
        ...


class JobFeed(Protocol):
    """Connects the jobs with the buffer. Every method may raise BufferAway."""

    async def settle(self, job_id: str, index: int, outcome: Outcome, size: Size | None) -> None:
        """Records a photo's outcome, once. The last one ends the job."""
        ...

    def running(self, buffer: Buffer) -> AbstractAsyncContextManager[None]:
        """A context in which photos of accepted jobs get into the buffer, and old jobs are
        forgotten."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to a client's URL.

    `id` is the same for every attempt. `kind` is job.done, job.aborted or photo.settled. For
    photo.settled, `index` is the photo's and `number` its result's. `attempts` counts failed
    attempts; where a delivery is `dead` none is left.
    """

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
    dead: bool = False


def end_delivery_id(job_id: str) -> str:
    """The id of the delivery about a job's end."""
    return f"{job_id}-{END_SUFFIX}"


def host_of(url: str) -> str:
    """The host of a URL, without its port: deliveries of one host share its leases."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return url


class DeliveryStore(Protocol):
    """Holds deliveries until they are made, beyond the life of the process. Times are Unix
    seconds. Every method may raise BufferAway."""

    async def claim(self, now: float, lease_s: float, count: int) -> Sequence[Delivery]:
        """At most `count` due deliveries, the earliest first and at most PER_HOST of one host. The
        caller is to make them within the lease; after it they are due again."""
        ...

    async def complete(self, delivery_id: str) -> None:
        """Removes a delivery that was made."""
        ...

    async def add_failure(self, delivery_id: str, error: str, again_at: float | None) -> None:
        """Counts a failed attempt. The delivery is due again at that time; with None it is
        dead."""
        ...

    async def dead_deliveries(self, limit: int = 100) -> Sequence[Delivery]:
        """The dead deliveries, latest first."""
        ...

    async def replay(self, delivery_ids: Sequence[str]) -> int:
        """How many dead deliveries are due again, with no attempts: those of the ids, or all if no
        id is given."""
        ...


class DeliveryReader(Protocol):
    """Reads single deliveries."""

    async def find(self, delivery_ids: Sequence[str]) -> Mapping[str, Delivery]:
        """Those of the deliveries that are still to be made or dead, by their ids. Raises
        BufferAway."""
        ...
