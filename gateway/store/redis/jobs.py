"""Jobs in the Redis that replicas share: any of them accepts, composes and answers.

Photos go straight into the shared buffer, and the script that removes a photo from there records
its result. Each step is one Lua script (lua/jobs), so that no replica ever sees half of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from gateway.core.clock import Clock
from gateway.core.errors import BufferAway, Busy, Conflict, GatewayError, NotFound
from gateway.core.model import BufferEntry, Outcome, Photo, Size
from gateway.store.buffer import Buffer, Commit
from gateway.store.codec import Unreadable, pack_outcome
from gateway.store.jobs import KEY_LASTS_S, NONE_REFUSED, Job, JobResult, Page
from gateway.store.redis import keys
from gateway.store.redis.connection import Commands
from gateway.store.redis.deliveries import RedisDeliveryStore
from gateway.store.redis.job_records import idempotency_key, job_fields, job_of, result_of
from gateway.store.redis.layouts import ACCEPTING, JOB_FIELDS, SubmitReply
from gateway.store.redis.limits import JOBS_AT_ONCE
from gateway.store.redis.scripts import Script, load

log = logging.getLogger("imgrid")

ACCEPTED_WITHIN_S = 60.0
"""After which a job that is being accepted is accepted if its photos are in the buffer, or else
removed: its replica has died."""
SUBMIT_TRIES, SUBMIT_PAUSE_S = 20, 0.05
"""How often, and after which pause, a request is tried whose key belongs to a job that is being
accepted."""
FORGET_EVERY_S = 60.0


class RedisJobStore:
    """JobStore and JobFeed. Holds no jobs: all are in Redis. The owner of `commands` closes
    them."""

    def __init__(self, commands: Commands, buffer: Buffer, *, clock: Clock, keep_s: float) -> None:
        """`buffer` is the one in the same Redis; `keep_s` is how long jobs are kept after their
        end."""
        self.deliveries = RedisDeliveryStore(commands, clock=clock)
        self._commands = commands
        self._buffer = buffer
        self._clock = clock
        self._keep_s = keep_s
        self._submit, self._accept, self._drop, self._page = (
            load(f"jobs/{name}") for name in ("submit", "accept", "drop", "page")
        )
        self._abort, self._settle, self._forget = (
            load(f"jobs/{name}") for name in ("abort", "settle", "forget")
        )

    # -- JobStore

    async def submit(
        self,
        job: Job,
        entries: Sequence[BufferEntry],
        refused: Mapping[int, GatewayError] = NONE_REFUSED,
        *,
        key: str = "",
        digest: str = "",
    ) -> Job:
        """The job is visible only when its photos are in the buffer. Where Redis does not answer,
        it is not known whether they are: then the job appears with its first result, or is
        removed."""
        earlier_id = await self._begin(job, entries, refused, key, digest)
        if earlier_id is None and entries:
            try:
                await self._buffer.put(entries)
            except Busy:
                with suppress(BufferAway):
                    await self._run(self._drop, job.id)
                raise
            await self._run(self._accept, job.id, self._now())
        try:
            return await self.find(job.tenant, earlier_id or job.id)
        except NotFound:
            await self._buffer.commit(Commit(withdrawn_ids=[entry.photo.id for entry in entries]))
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
        idempotency = idempotency_key(job.tenant, key) if key else ""
        fields = job_fields(job, entries, idempotency)
        refusals: list[Any] = []
        for index, error in refused.items():
            refusals += (index, pack_outcome(Outcome(None, error=error)))
        request = (job.id, idempotency, digest, int(KEY_LASTS_S), len(fields), *fields, *refusals)
        for _ in range(SUBMIT_TRIES):
            reply, job_id = await self._run(self._submit, self._now(), *request)
            if not reply:
                return None
            match SubmitReply(reply.decode()):
                case SubmitReply.KNOWN:
                    return str(job_id.decode())
                case SubmitReply.CONFLICT:
                    raise Conflict(
                        "This Idempotency-Key was used within the last 24 hours for another "
                        "request."
                    )
                case SubmitReply.BUSY:
                    await asyncio.sleep(SUBMIT_PAUSE_S)
        raise Busy("A request with this Idempotency-Key is being accepted; come back in a second.")

    async def find(self, tenant: str, job_id: str) -> Job:
        client = self._commands.client
        values: Any = await self._commands.do(client.hmget(keys.JOB + job_id, JOB_FIELDS))
        state = values[JOB_FIELDS.index("state")]
        if state is None or state == ACCEPTING.encode():
            raise NotFound("There is no such job.")
        try:
            job = job_of(values)
        except Unreadable as error:
            log.error("job %s cannot be read: %s", job_id, error)
            raise GatewayError from error
        if job.tenant != tenant:
            raise NotFound("There is no such job.")
        return job

    async def page(self, tenant: str, *, after: str = "", limit: int = 50) -> Page:
        rows = await self._run(self._page, tenant, after, limit + 1, *JOB_FIELDS)
        jobs = list(_jobs_of(rows[:limit]))
        return Page(jobs, jobs[-1].id if len(rows) > limit and jobs else "")

    async def results(
        self, job_id: str, *, after: int = 0, limit: int = 1000
    ) -> Sequence[JobResult]:
        client = self._commands.client
        items: Any = await self._commands.do(
            client.lrange(keys.RESULTS + job_id, after, after + limit - 1)
        )
        return [result_of(number, item) for number, item in enumerate(items, after + 1)]

    async def abort(self, tenant: str, job_id: str) -> Job:
        indices = await self._run(self._abort, tenant, job_id, self._now())
        if indices is None:
            raise NotFound("There is no such job.")
        if indices:
            photo_ids = [f"{job_id}-{index}" for index in indices]
            await self._buffer.commit(Commit(withdrawn_ids=photo_ids))
        return await self.find(tenant, job_id)

    # -- JobFeed

    async def settle(self, job_id: str, index: int, outcome: Outcome, size: Size | None) -> None:
        """The buffer's commits settle photos that are in it. A photo that is settled here stays in
        the buffer."""
        photo = Photo("", b"", "", size) if size else None
        packed = pack_outcome(Outcome(photo, outcome.detections, outcome.steps, outcome.error))
        failed = int(outcome.error is not None)
        await self._run(self._settle, job_id, index, packed, failed, outcome.share, self._now())

    @asynccontextmanager
    async def running(self, buffer: Buffer) -> AsyncIterator[None]:
        task = asyncio.create_task(self._forget_regularly())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def forget(self) -> None:
        """Removes jobs that ended long ago, and accepts or removes jobs whose replica died while it
        accepted them. `running` calls it every minute."""
        now = self._clock()
        times = (repr(now), repr(now - ACCEPTED_WITHIN_S), repr(now - self._keep_s))
        while await self._run(self._forget, *times, JOBS_AT_ONCE) >= JOBS_AT_ONCE:
            pass

    async def _forget_regularly(self) -> None:
        while True:
            try:
                await self.forget()
            except BufferAway as error:
                log.warning("old jobs are not forgotten now: %s", error)
            await asyncio.sleep(FORGET_EVERY_S)

    # -- Redis

    def _now(self) -> str:
        return repr(self._clock())

    async def _run(self, script: Script, *arguments: Any) -> Any:
        return await self._commands.run(script, [keys.PREFIX], *arguments)


def _jobs_of(rows: Iterable[Sequence[bytes]]) -> Iterator[Job]:
    """The jobs that can be read."""
    for row in rows:
        try:
            yield job_of(row)
        except Unreadable as error:
            log.error("a job cannot be read: %s", error)
