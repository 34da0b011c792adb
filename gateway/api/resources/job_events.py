"""The events of a job: its photos as they are settled, its progress, and its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from gateway.core.errors import GatewayError
from gateway.jobs.response import job_out, result_out
from gateway.store.jobs import Job, JobStore, State

log = logging.getLogger("imgrid")

RESULTS_AT_ONCE = 100
"""Results that one read of the store yields."""


@dataclass(frozen=True, slots=True)
class JobEvents:
    """Streams of events from a store, which a stream asks every `poll_s`. `is_stopping` says that
    the process goes down: streams end then. A comment is sent every `keep_alive_s`."""

    store: JobStore
    is_stopping: Callable[[], bool]
    poll_s: float
    keep_alive_s: float

    async def stream(self, job: Job, last_number: int) -> AsyncIterator[bytes]:
        """The events of a job after the result of that number: `photo` for each result, `progress`
        with the job so far where all results that it counts have been sent, and `end` with the job.

        A client whose stream ends without `end` reconnects, and goes on after the last result that
        it got.
        """
        loop = asyncio.get_running_loop()
        sent_at, shown = loop.time(), -1
        try:
            while not self.is_stopping():
                # before its results: a job that has ended then has all of them
                job = await self.store.find(job.tenant, job.id)
                results = await self.store.results(job.id, after=last_number, limit=RESULTS_AT_ONCE)
                for result in results:
                    yield event("photo", result_out(job, result), number=result.number)
                    last_number = result.number
                if results:
                    continue
                if job.state != State.RUNNING:
                    yield event("end", job_out(job))
                    return
                if job.settled != shown:
                    sent_at, shown = loop.time(), job.settled
                    yield event("progress", job_out(job))
                elif loop.time() - sent_at >= self.keep_alive_s:
                    sent_at = loop.time()
                    yield b": still here\n\n"
                await asyncio.sleep(self.poll_s)
        except GatewayError as error:
            log.warning("events of %s end early: %s", job.id, error)


def event(name: str, data: Struct, *, number: int = 0) -> bytes:
    """One server-sent event, whose id is `number` where that is over 0. JSON contains no line
    breaks of its own.

    https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    """
    id_line = b"id: %d\n" % number if number else b""
    return b"%sevent: %s\ndata: %s\n\n" % (id_line, name.encode(), msgspec.json.encode(data))
