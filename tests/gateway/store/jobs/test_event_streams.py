"""A job's stream of events over every store of jobs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from gateway.api.resources.job_events import RESULTS_AT_ONCE, JobEvents
from gateway.core.errors import BadFormat
from gateway.core.model import Outcome
from gateway.store.jobs import Job, JobStore
from tests.support.jobs import JobBuilder


def stream_of(store: JobStore, job: Job, last_number: int = 0) -> AsyncIterator[bytes]:
    """The events of a job, from a store that is asked again at once."""
    return JobEvents(store, lambda: False, 0.0, 60.0).stream(job, last_number)


def read(event: bytes) -> tuple[str, dict[str, Any]]:
    """The name of an event, and its data."""
    fields = dict(line.split(": ", 1) for line in event.decode().strip().split("\n"))
    return fields["event"], json.loads(fields["data"])


def counts(job: dict[str, Any]) -> list[float]:
    return [job[name] for name in ("photos", "settled", "failed", "billed")]


async def test_progress_counts_what_was_answered_failed_and_billed(
    store: JobStore, make: JobBuilder
) -> None:
    """Progress comes at the start, and behind the photos that it counts; the end counts all."""
    job = make.job(3)
    await store.submit(job, make.entries(job))
    stream = stream_of(store, job)
    name, data = read(await anext(stream))
    assert (name, counts(data)) == ("progress", [3, 0, 0, 0])
    await store.settle(job.id, 1, make.outcome(0.25), None)
    await store.settle(job.id, 0, Outcome(None, error=BadFormat("no picture")), None)
    events = [read(await anext(stream)) for _ in range(3)]
    assert [name for name, _ in events] == ["photo", "photo", "progress"]
    assert [data["index"] for _, data in events[:2]] == [1, 0]
    assert counts(events[2][1]) == [3, 2, 1, 0.25]
    await store.settle(job.id, 2, make.outcome(0.5), None)
    rest = [read(each) async for each in stream]
    assert [name for name, _ in rest] == ["photo", "end"]
    assert counts(rest[1][1]) == [3, 3, 1, 0.75]
    assert rest[1][1]["state"] == "done"


async def test_an_abort_is_the_end(store: JobStore, make: JobBuilder) -> None:
    """The stream of a job that is aborted ends with the job."""
    job = make.job(2)
    await store.submit(job, make.entries(job))
    stream = stream_of(store, job)
    await anext(stream)
    await store.abort("shop", job.id)
    ((name, data),) = [read(each) async for each in stream]
    assert (name, data["state"]) == ("end", "aborted")


async def test_a_long_job_comes_in_pieces(store: JobStore, make: JobBuilder) -> None:
    """Of a job with more results than one read yields, all come in order, and then the end."""
    job = make.job(RESULTS_AT_ONCE + 5)
    refused = {index: BadFormat("no picture") for index in range(job.photos)}
    await store.submit(job, [], refused)
    events = [read(each) async for each in stream_of(store, job, last_number=2)]
    assert [data["number"] for _, data in events[:-1]] == list(range(3, job.photos + 1))
    assert events[-1][0] == "end"
