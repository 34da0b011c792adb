"""Webhook bodies and times have these forms."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.core.model import Size
from gateway.jobs.response import iso, job_out, payload
from gateway.store.jobs import Delivery, Job, JobResult, State, WebhookTarget
from tests.support.jobs import JobBuilder

NOON = 1_800_000_000.0
HOOK = WebhookTarget("https://shop.example/hook", each_photo=True)


def delivery(kind: str, job: Job, *, number: int = 0) -> Delivery:
    return Delivery("d", job.tenant, job.id, kind, 1, HOOK.url, 0, NOON, NOON, "", number)


class TestPayload:
    def test_the_end_has_a_summary_without_results(self, make: JobBuilder) -> None:
        """The message about the end of a job has its summary and its address, without its
        results."""
        job = replace(
            make.job(2, hook=HOOK), state=State.DONE, settled=2, billed=0.5, finished_at=NOON + 1.5
        )
        message = json.loads(payload(delivery("job.done", job), job))
        assert message == {
            "type": "job.done",
            "timestamp": "2027-01-15T08:00:00.000Z",
            "data": {
                "id": job.id,
                "state": "done",
                "task": "objects",
                "photos": 2,
                "settled": 2,
                "failed": 0,
                "billed": 0.5,
                "saved": 0.75,
                "created_at": "2027-01-15T08:00:00.000Z",
                "finished_at": "2027-01-15T08:00:01.500Z",
                "webhook": {"url": HOOK.url, "each_photo": True},
                "path": f"/v1/jobs/{job.id}",
            },
        }

    def test_a_photo_has_its_result(self, make: JobBuilder) -> None:
        """The message about a photo has its result."""
        job = replace(make.job(2, hook=HOOK), settled=1)
        result = JobResult(1, 1, make.outcome(0.25), Size(40, 30))
        message = json.loads(payload(delivery("photo.settled", job, number=1), job, [result]))
        photo = message["data"]["photo"]
        assert (photo["index"], photo["number"], photo["name"], photo["billed"]) == (
            1,
            1,
            "photo-1",
            0.25,
        )
        assert message["data"]["state"] == "running"


class TestSaved:
    @pytest.mark.parametrize(
        ("settled", "failed", "billed", "saved"),
        [(0, 0, 0.0, 0.0), (4, 0, 1.0, 0.75), (2, 2, 0.0, 0.0), (2, 1, 2.0, -1.0)],
    )
    def test_the_share_saved_is_of_answered_photos(
        self, make: JobBuilder, settled: int, failed: int, billed: float, saved: float
    ) -> None:
        """The share saved is of the answered photos; it is negative when more was billed than
        these."""
        job = replace(make.job(4), settled=settled, failed=failed, billed=billed)
        assert job_out(job).saved == saved


def test_times_are_utc_to_the_millisecond() -> None:
    """Times are UTC, to the millisecond."""
    assert iso(NOON + 0.25) == "2027-01-15T08:00:00.250Z"
