"""A media analysis job as one of the gateway's jobs: what is stored of it, and what its clients
read from that. Pure."""

from __future__ import annotations

from typing import cast, get_args

import msgspec

from gateway.dialects.rekognition.media_analysis import FailureCode, StartMediaAnalysisJob
from gateway.dialects.rekognition.media_analysis_output import FailureDetails, JobState
from gateway.jobs.response import StoredOptions
from gateway.store.jobs import Delivery, Job, State


class MediaAnalysisOptions(StoredOptions):
    """The options that are stored with such a job: those of the same photos natively, and the
    request. Those of other jobs have no request."""

    media_analysis: StartMediaAnalysisJob | None = None


def start_of(job: Job) -> StartMediaAnalysisJob | None:
    """The request that started the job; None where it is no media analysis job."""
    return msgspec.json.decode(job.options, type=MediaAnalysisOptions).media_analysis


def state_of(job: Job, delivery: Delivery | None, model_version: str = "") -> JobState:
    """How far the job is. `delivery` is that of its end, None once it was made: then the results
    are written."""
    if job.state is State.RUNNING:
        return JobState("IN_PROGRESS" if job.settled else "QUEUED", job.created_at)
    if job.state is State.ABORTED:
        failure = FailureDetails("INTERNAL_ERROR", "The job was aborted.")
        return JobState("FAILED", job.created_at, job.finished_at, failure)
    if delivery is None:
        return JobState("SUCCEEDED", job.created_at, job.finished_at, model_version=model_version)
    if not delivery.dead:
        return JobState("IN_PROGRESS", job.created_at)
    return JobState("FAILED", job.created_at, job.finished_at, _failure_of(delivery))


def _failure_of(delivery: Delivery) -> FailureDetails:
    """The reason why the results could not be written."""
    code, _, message = delivery.last_error.partition(": ")
    if code in get_args(FailureCode):
        return FailureDetails(cast(FailureCode, code), message)
    return FailureDetails("INTERNAL_ERROR", delivery.last_error)
