"""The status of a media analysis job follows from the job and the delivery of its end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.jobs.media_analysis.stored import start_of, state_of
from gateway.store.jobs import Delivery, Job, State
from tests.support.clocks import NOON

JOB = Job("job_1", "shop", "moderation", ("a", "b"), b'{"task":"moderation"}', NOON)
DONE = replace(JOB, state=State.DONE, settled=2, finished_at=NOON + 5)
PENDING = Delivery("job_1-end", "shop", "job_1", "job.done", 0, "s3://out/", 1, NOON, NOON)


@pytest.mark.parametrize(
    ("job", "delivery", "status"),
    [
        (JOB, None, "QUEUED"),
        (replace(JOB, settled=1), None, "IN_PROGRESS"),
        (DONE, PENDING, "IN_PROGRESS"),
        (DONE, None, "SUCCEEDED"),
    ],
    ids=["accepted", "begun", "unwritten", "written"],
)
def test_a_job_has_succeeded_once_its_results_are_written(
    job: Job, delivery: Delivery | None, status: str
) -> None:
    """A job is queued until its first result, and in progress until its files are written."""
    state = state_of(job, delivery)
    assert (state.status, state.created_at) == (status, NOON)
    assert state.completed_at == (NOON + 5 if status == "SUCCEEDED" else None)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ("ACCESS_DENIED: no right: none", "ACCESS_DENIED", "no right: none"),
        ("The receiver took too long.", "INTERNAL_ERROR", "The receiver took too long."),
        ("Odd: too long", "INTERNAL_ERROR", "Odd: too long"),
    ],
)
def test_results_that_cannot_be_written_fail_the_job(error: str, code: str, message: str) -> None:
    """A job whose results cannot be written has failed, with the vendor's code."""
    state = state_of(DONE, replace(PENDING, dead=True, last_error=error))
    assert (state.status, state.completed_at) == ("FAILED", NOON + 5)
    assert state.failure is not None
    assert (state.failure.code, state.failure.message) == (code, message)


def test_an_aborted_job_has_failed() -> None:
    """A job that was aborted by the native API has failed, as the vendor knows no other end."""
    state = state_of(replace(JOB, state=State.ABORTED, finished_at=NOON), None)
    assert state.status == "FAILED"
    assert state.failure is not None
    assert (state.failure.code, state.failure.message) == ("INTERNAL_ERROR", "The job was aborted.")


def test_a_native_job_is_none() -> None:
    """A job of another dialect has no such request."""
    assert start_of(JOB) is None
