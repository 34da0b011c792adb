"""Jobs and deliveries in the Redis that replicas share: any of them accepts, composes, answers and
tells.

Photos go straight into the shared buffer, and what becomes of one is written down by the same
script that takes it out of there. Each step is one Lua script, so nobody ever sees half of it; the
scripts lie in gateway/store/redis/lua/jobs.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from importlib import resources
from typing import Any

import msgspec

from gateway.core.clock import Clock
from gateway.core.errors import BufferAway, Busy, Conflict, GatewayError, NotFound
from gateway.core.model import BufferEntry, Outcome, Photo, Size
from gateway.store.buffer import Buffer, Commit
from gateway.store.codec import pack_outcome, unpack_outcome
from gateway.store.jobs import (
    KEY_LASTS_S,
    NONE_REFUSED,
    Delivery,
    Job,
    JobResult,
    Page,
    State,
    WebhookTarget,
    host_of,
)
from gateway.store.redis.buffer import PREFIX
from gateway.store.redis.connection import Commands, Script

log = logging.getLogger("imgrid")

ACCEPTED_WITHIN_S = 60.0
"""After which a job is accepted if its photos are in the buffer, or else forgotten, whatever became
of its replica."""
LOOKS, LOOK_EVERY_S = 20, 0.05
"""How often, and at which intervals, one looks whether an earlier request of the same key was
accepted."""
FORGET_EVERY_S = 60.0
AT_A_TIME = 100
"""Jobs forgotten, or deliveries replayed, in one step: nothing else is done meanwhile."""

_JOB = (
    "id",
    "tenant",
    "task",
    "names",
    "options",
    "created_at",
    "url",
    "each",
    "state",
    "settled",
    "failed",
    "billed",
    "finished_at",
)
_DELIVERY = tuple(Delivery.__dataclass_fields__)
_SCRIPTS = {
    "submit": ("remove",),
    "accept": (),
    "drop": ("remove",),
    "forget": ("remove",),
    "page": (),
    "abort": (),
    "outcome": (),
    "claim": (),
    "made": (),
    "failed": (),
    "dead": (),
    "replay": (),
}
"""By name, with the parts that come before it."""


def script(name: str, *before: str) -> Script:
    """A script of this package, with the parts it is made of before it."""
    folder = resources.files("gateway.store.redis").joinpath("lua", "jobs")
    files = [folder.joinpath(f"{part}.lua") for part in ("settle", *before, name)]
    return Script.of(
        *files, at_maxmemory=name != "submit"
    )  # what was accepted goes on where there is no memory


class RedisStore:
    """JobStore and DeliveryStore. Holds no jobs: all are in Redis. `commands` are somebody else's,
    who closes them."""

    def __init__(self, commands: Commands, buffer: Buffer, *, clock: Clock, keep_s: float) -> None:
        """`buffer` is the one in the same Redis; `keep_s` is how long jobs are kept that have
        ended."""
        self._commands = commands
        self._buffer = buffer
        self._clock = clock
        self._keep_s = keep_s
        self._scripts = {name: script(name, *before) for name, before in _SCRIPTS.items()}

    # -- jobs

    async def submit(
        self,
        job: Job,
        entries: Sequence[BufferEntry],
        refused: Mapping[int, GatewayError] = NONE_REFUSED,
        *,
        key: str = "",
        digest: str = "",
    ) -> Job:
        """The job is there for nobody until its photos are in the buffer. Where Redis does not
        answer, it is not known whether they are: then the job shows up with its first result, or is
        forgotten."""
        known = await self._begin(job, entries, refused, key, digest)
        if known is None and entries:
            try:
                await self._buffer.put(entries)
            except Busy:
                with suppress(BufferAway):
                    await self._run("drop", job.id)
                raise
            await self._run("accept", job.id, self._now())
        try:
            return await self.find(job.tenant, known or job.id)
        except NotFound:
            await self._buffer.commit(Commit(gone=[entry.photo.id for entry in entries]))
            raise Busy(
                "The same request was accepted a second time meanwhile; ask again for its job."
            ) from None

    async def _begin(
        self,
        job: Job,
        entries: Sequence[BufferEntry],
        refused: Mapping[int, GatewayError],
        key: str,
        digest: str,
    ) -> str | None:
        """The id of the earlier job of the key; None where the job is new."""
        name = _key_name(job.tenant, key) if key else ""
        fields = _fields(job, entries, name)
        outcomes: list[Any] = []
        for index, error in refused.items():
            outcomes += (index, pack_outcome(Outcome(None, error=error)))
        for _ in range(LOOKS):
            said, job_id = await self._run(
                "submit",
                self._now(),
                job.id,
                name,
                digest,
                int(KEY_LASTS_S),
                len(fields),
                *fields,
                *outcomes,
            )
            if said == b"conflict":
                raise Conflict(
                    "This Idempotency-Key was used within the last 24 hours for another request."
                )
            if said != b"busy":
                return job_id.decode() if said else None
            await asyncio.sleep(LOOK_EVERY_S)
        raise Busy("A request with this Idempotency-Key is being accepted; come back in a second.")

    async def find(self, tenant: str, job_id: str) -> Job:
        values = await self._commands.do(self._client.hmget(f"{PREFIX}job:{job_id}", _JOB))
        job = (
            _job(values)
            if values[0] is not None and values[_JOB.index("state")] != b"accepting"
            else None
        )
        if job is None or job.tenant != tenant:
            raise NotFound("There is no such job.")
        return job

    async def page(self, tenant: str, *, after: str = "", limit: int = 50) -> Page:
        rows = await self._run("page", tenant, after, limit + 1, *_JOB)
        jobs = [_job(row) for row in rows[:limit]]
        return Page(jobs, jobs[-1].id if len(rows) > limit else "")

    async def results(
        self, job_id: str, *, after: int = 0, limit: int = 1000
    ) -> Sequence[JobResult]:
        rows = await self._commands.do(
            self._client.lrange(f"{PREFIX}results:{job_id}", after, after + limit - 1)
        )
        return [_result(after + place, row) for place, row in enumerate(rows, 1)]

    async def abort(self, tenant: str, job_id: str) -> Job:
        withdrawn = await self._run("abort", tenant, job_id, self._now())
        if withdrawn is None:
            raise NotFound("There is no such job.")
        if withdrawn:
            await self._buffer.commit(Commit(gone=[f"{job_id}-{index}" for index in withdrawn]))
        return await self.find(tenant, job_id)

    async def settle(self, job_id: str, index: int, outcome: Outcome, size: Size | None) -> None:
        """Photos in the buffer are settled by its commits, and stay there if they are settled
        here."""
        sized = Outcome(
            Photo("", b"", "", size) if size else None,
            outcome.detections,
            outcome.steps,
            outcome.error,
        )
        failed = int(outcome.error is not None)
        await self._run(
            "outcome", job_id, index, pack_outcome(sized), failed, outcome.share, self._now()
        )

    @asynccontextmanager
    async def running(self, buffer: Buffer) -> AsyncIterator[None]:
        forgetting = asyncio.create_task(self._forget_at_times())
        try:
            yield
        finally:
            forgetting.cancel()
            await asyncio.gather(forgetting, return_exceptions=True)

    async def forget(self) -> None:
        """Forgets the jobs whose time is over, and sees to those that were not accepted to the end;
        `running` does so every minute."""
        now = self._clock()
        times = (repr(now), repr(now - ACCEPTED_WITHIN_S), repr(now - self._keep_s))
        while await self._run("forget", *times, AT_A_TIME) >= AT_A_TIME:
            pass

    async def _forget_at_times(self) -> None:
        while True:
            try:
                await self.forget()
            except BufferAway as error:
                log.warning("old jobs are not forgotten now: %s", error)
            await asyncio.sleep(FORGET_EVERY_S)

    # -- deliveries

    async def claim(self, now: float, lease_s: float, count: int) -> Sequence[Delivery]:
        return [
            _delivery(row)
            for row in await self._run("claim", repr(now), repr(now + lease_s), count, *_DELIVERY)
        ]

    async def made(self, delivery_id: str) -> None:
        await self._run("made", delivery_id)

    async def failed(self, delivery_id: str, error: str, again_at: float | None) -> None:
        await self._run("failed", delivery_id, error, "" if again_at is None else repr(again_at))

    async def dead(self, limit: int = 100) -> Sequence[Delivery]:
        return [_delivery(row) for row in await self._run("dead", limit, *_DELIVERY)]

    async def replay(self, delivery_ids: Sequence[str]) -> int:
        count = 0
        for first in range(0, len(delivery_ids), AT_A_TIME):
            some = delivery_ids[first : first + AT_A_TIME]
            count += await self._run("replay", self._now(), 0, *some)
        while not delivery_ids and (more := await self._run("replay", self._now(), AT_A_TIME)):
            count += more
        return count

    # -- Redis

    @property
    def _client(self) -> Any:
        return self._commands.client

    def _now(self) -> str:
        return repr(self._clock())

    async def _run(self, which: str, *arguments: Any) -> Any:
        return await self._commands.run(self._scripts[which], [PREFIX], *arguments)


def _key_name(tenant: str, key: str) -> str:
    return (
        f"{PREFIX}idempotency:{hashlib.sha256(msgspec.msgpack.encode((tenant, key))).hexdigest()}"
    )


def _fields(job: Job, entries: Sequence[BufferEntry], key: str) -> list[Any]:
    """A new job's hash: names and values in turns."""
    hook = job.hook or WebhookTarget("")
    fields = {
        "id": job.id,
        "tenant": job.tenant,
        "task": job.task,
        "names": msgspec.msgpack.encode(job.names),
        "options": job.options,
        "created_at": repr(job.created_at),
        "url": hook.url,
        "each": int(hook.each_photo),
        "host": host_of(hook.url),
        "photos": job.photos,
        "settled": 0,
        "failed": 0,
        "billed": 0,
        "finished_at": "",
        "telling": 0,
        "key": key,
        "first": entries[0].photo.id if entries else "",
    }
    return [each for pair in fields.items() for each in pair]


def _job(values: Sequence[bytes]) -> Job:
    of = dict(zip(_JOB, values, strict=True))
    text = {name: value.decode() for name, value in of.items() if name not in ("names", "options")}
    return Job(
        id=text["id"],
        tenant=text["tenant"],
        task=text["task"],
        names=msgspec.msgpack.decode(of["names"], type=tuple[str, ...]),
        options=of["options"],
        created_at=float(text["created_at"]),
        hook=WebhookTarget(text["url"], text["each"] == "1") if text["url"] else None,
        state=State(text["state"]),
        settled=int(text["settled"]),
        failed=int(text["failed"]),
        billed=float(text["billed"]),
        finished_at=float(text["finished_at"]) if text["finished_at"] else None,
    )


def _result(number: int, row: bytes) -> JobResult:
    index, _, packed = row.partition(b":")
    return JobResult(number, int(index), *unpack_outcome(packed))


def _delivery(values: Sequence[bytes]) -> Delivery:
    return msgspec.convert(
        {name: value.decode() for name, value in zip(_DELIVERY, values, strict=True)},
        Delivery,
        strict=False,
    )
