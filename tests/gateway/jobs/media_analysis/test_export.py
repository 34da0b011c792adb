"""The files of a media analysis job are written at its end: the same however often."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest

from gateway.core.clock import steady
from gateway.core.errors import BadFormat, BufferAway
from gateway.core.events import DeliveryResult
from gateway.core.locations import Location, folder_of
from gateway.core.model import Outcome
from gateway.dialects.rekognition.media_analysis import StartMediaAnalysisJob
from gateway.jobs.media_analysis.export import ResultsExport
from gateway.jobs.media_analysis.stored import MediaAnalysisOptions
from gateway.jobs.sinks import NotWritten, SinkForbidden, SinkKeyUnusable, SinkMissing, Sinks
from gateway.store.buffer import Capacity
from gateway.store.jobs import Delivery, Job, WebhookTarget, end_delivery_id
from gateway.store.sqlite.jobs import SqliteJobStore
from providers.detection import CONTENT_TYPE, WHOLE, Detection, Task
from tests.support.clocks import NOON
from tests.support.jobs import JobBuilder

START = msgspec.convert(
    {
        "OperationsConfig": {"DetectModerationLabels": {"MinConfidence": 60}},
        "Input": {"S3Object": {"Bucket": "shop", "Name": "m.jsonl"}},
        "OutputConfig": {"S3Bucket": "shop", "S3KeyPrefix": "results"},
    },
    StartMediaAnalysisJob,
)
OPTIONS = msgspec.json.encode(MediaAnalysisOptions(Task.MODERATION, media_analysis=START))
OPEN = {"shop": [folder_of("s3://shop/results/")]}


@dataclass
class WriterFake:
    """Holds the objects by key, in the order of writing, and errors to raise."""

    objects: dict[str, bytes] = field(default_factory=dict)
    errors: list[NotWritten] = field(default_factory=list)

    async def write(self, location: Location, data: bytes, content_type: str) -> None:
        if self.errors:
            raise self.errors.pop()
        self.objects.pop(location.key, None)
        self.objects[location.key] = data

    async def close(self) -> None:
        pass


@pytest.fixture
def writer() -> WriterFake:
    return WriterFake()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteJobStore]:
    store = SqliteJobStore(tmp_path / "jobs.db", clock=steady(), keep_s=60, room=Capacity())
    yield store
    await store.close()


@pytest.fixture
def export(store: SqliteJobStore, writer: WriterFake) -> ResultsExport:
    return ResultsExport(store, Sinks(writer, tenant_folders=OPEN), lambda outcome: outcome)


def delivery_of(job: Job) -> Delivery:
    url = job.hook.url if job.hook else ""
    return Delivery(end_delivery_id(job.id), job.tenant, job.id, "job.done", 0, url, 0, NOON, NOON)


@pytest.fixture
async def job(store: SqliteJobStore, make: JobBuilder) -> Job:
    """A job of three lines, which has ended; its last line was settled first."""
    job = replace(make.job(3, hook=WebhookTarget("s3://shop/results")), options=OPTIONS)
    await store.submit(job, [make.entry(job, 0), make.entry(job, 2)], {1: BadFormat("no picture")})
    for index, label in ((2, "Violence"), (0, "Explicit")):
        finding = Detection(label, 0.9, WHOLE)
        await store.settle(job.id, index, Outcome(None, (finding,)), None)
    return job


async def test_results_are_in_the_manifests_order(
    export: ResultsExport, writer: WriterFake, job: Job
) -> None:
    """Lines stand in the order of the manifest, whatever the order of their answers; the results
    are written last, for clients that wait for them."""
    attempt = await export.send(delivery_of(job))
    assert attempt.result is DeliveryResult.DELIVERED
    folder = f"results/{job.id}"
    assert [*writer.objects] == [f"{folder}/manifest-summary.json", f"{folder}/results.jsonl"]
    rows = list(map(json.loads, writer.objects[f"{folder}/results.jsonl"].splitlines()))
    assert [row["source-ref"] for row in rows] == list(job.names)
    assert [
        row.get("detect-moderation-labels", {}).get("ModerationLabels", [{}])[0].get("Name")
        for row in rows
    ] == ["Explicit", None, "Violence"]


async def test_a_repeated_delivery_writes_the_same(
    export: ResultsExport, writer: WriterFake, job: Job
) -> None:
    """A process that dies after writing, before it could say so, leaves the same two objects as one
    that did not."""
    await export.send(delivery_of(job))
    first = dict(writer.objects)
    await export.send(delivery_of(job))
    assert writer.objects == first


@pytest.mark.parametrize(
    ("error", "result", "code"),
    [
        (NotWritten("away"), DeliveryResult.RETRY, "INTERNAL_ERROR"),
        (SinkForbidden("no"), DeliveryResult.DEAD, "ACCESS_DENIED"),
        (SinkMissing("none"), DeliveryResult.DEAD, "INVALID_OUTPUT_CONFIG"),
        (SinkKeyUnusable("off"), DeliveryResult.DEAD, "INVALID_KMS_KEY"),
    ],
    ids=["away", "forbidden", "missing", "key"],
)
async def test_a_store_that_refuses_is_not_asked_again(
    export: ResultsExport,
    writer: WriterFake,
    job: Job,
    *,
    error: NotWritten,
    result: DeliveryResult,
    code: str,
) -> None:
    """Where a store is away the delivery is tried again; where it refuses, the job has failed."""
    writer.errors.append(error)
    attempt = await export.send(delivery_of(job))
    assert (attempt.result, attempt.error) == (result, f"{code}: {error}")
    assert (await export.send(delivery_of(job))).result is DeliveryResult.DELIVERED


async def test_a_sink_that_was_closed_meanwhile_is_not_written(
    store: SqliteJobStore, writer: WriterFake, job: Job
) -> None:
    """Where the operator has taken a sink away since the job was accepted, nothing is written."""
    closed = ResultsExport(store, Sinks(writer), lambda outcome: outcome)
    attempt = await closed.send(delivery_of(job))
    assert attempt.result is DeliveryResult.DEAD
    assert attempt.error.startswith("ACCESS_DENIED: ")
    assert writer.objects == {}


async def test_an_aborted_or_forgotten_job_writes_nothing(
    export: ResultsExport, store: SqliteJobStore, writer: WriterFake, make: JobBuilder
) -> None:
    """The end of a job that was aborted, or that is no more, writes nothing and is not repeated."""
    job = replace(make.job(1, hook=WebhookTarget("s3://shop/results")), options=OPTIONS)
    forgotten = delivery_of(job)
    assert (await export.send(forgotten)).result is DeliveryResult.DROPPED
    await store.submit(job, make.entries(job))
    await store.abort("shop", job.id)
    assert (await export.send(delivery_of(job))).result is DeliveryResult.DROPPED
    assert writer.objects == {}


async def test_odd_details_do_not_withhold_a_label(
    export: ResultsExport, store: SqliteJobStore, writer: WriterFake, make: JobBuilder
) -> None:
    """A photo whose details have no form that can be rendered has its labels without them."""
    job = replace(make.job(1, hook=WebhookTarget("s3://shop/results")), options=OPTIONS)
    await store.submit(job, make.entries(job))
    odd = (
        Detection("Explicit", 0.9, WHOLE, details={"level": 1}),
        Detection("Illustrated", 0.0, WHOLE, CONTENT_TYPE, details={"odd": True}),
    )
    await store.settle(job.id, 0, Outcome(None, odd), None)
    assert (await export.send(delivery_of(job))).result is DeliveryResult.DELIVERED
    row = json.loads(writer.objects[f"results/{job.id}/results.jsonl"])
    output = row["detect-moderation-labels"]
    assert [label["Name"] for label in output["ModerationLabels"]] == ["Explicit"]
    assert output["ContentTypes"] == []


async def test_a_store_of_jobs_that_is_away_costs_no_attempt(job: Job, writer: WriterFake) -> None:
    """Where the jobs cannot be read no attempt is made: the delivery is due again after its
    lease."""

    class Away(SqliteJobStore):
        async def find(self, tenant: str, job_id: str) -> Job:
            raise BufferAway("away")

    away = Away(Path("none"), clock=steady(), keep_s=60, room=Capacity())
    export = ResultsExport(away, Sinks(writer, tenant_folders=OPEN), lambda outcome: outcome)
    with pytest.raises(BufferAway):
        await export.send(delivery_of(job))
    await away.close()
