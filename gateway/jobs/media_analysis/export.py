"""The delivery of a media analysis job's end: its two files, written to S3."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.core.errors import NotFound
from gateway.core.events import DeliveryResult
from gateway.core.model import Outcome
from gateway.dialects.rekognition.media_analysis import FailureCode, StartMediaAnalysisJob
from gateway.dialects.rekognition.media_analysis_output import (
    RESULTS_NAME,
    SUMMARY_NAME,
    LineResult,
    results_file,
    summary_file,
)
from gateway.dialects.rekognition.response import Output, moderation_output
from gateway.jobs.media_analysis.stored import start_of
from gateway.jobs.sinks import (
    NotWritten,
    SinkForbidden,
    SinkKeyUnusable,
    SinkMissing,
    SinkRefused,
    Sinks,
)
from gateway.jobs.webhooks.deliverer import Attempt
from gateway.store.jobs import Delivery, Job, JobResult, JobStore, State
from providers.detection import CONTENT_TYPE

log = logging.getLogger("imgrid")

PAGE_RESULTS = 1000
CODES: Mapping[type[NotWritten], FailureCode] = {
    NotWritten: "INTERNAL_ERROR",
    SinkForbidden: "ACCESS_DENIED",
    SinkKeyUnusable: "INVALID_KMS_KEY",
    SinkMissing: "INVALID_OUTPUT_CONFIG",
}
"""What stands before a failed delivery's error, for `stored.state_of`."""


def output_of(outcome: Outcome, min_confidence: float) -> Output:
    """The output of DetectModerationLabels for a photo that was answered in Rekognition's words:
    its labels alone where their details cannot be rendered."""
    try:
        return moderation_output(outcome.detections, min_confidence)
    except Exception:  # details are the provider's, of any form
        log.exception("details cannot be rendered")
        labels = [each for each in outcome.detections if each.kind != CONTENT_TYPE]
        return moderation_output([replace(each, details={}) for each in labels], min_confidence)


@dataclass(frozen=True, slots=True)
class ResultsExport:
    """What the deliverer calls. `translated` puts an outcome into Rekognition's words.

    The files have the same content and the same names however often they are written.
    """

    store: JobStore
    sinks: Sinks
    translated: Callable[[Outcome], Outcome]

    async def send(self, delivery: Delivery) -> Attempt:
        """One attempt. Raises GatewayError where the store cannot be read: then none was made."""
        try:
            job = await self.store.find(delivery.tenant, delivery.job)
        except NotFound:
            return Attempt(DeliveryResult.DROPPED)
        start = start_of(job)
        if start is None or job.state is not State.DONE:  # an aborted job has no results
            return Attempt(DeliveryResult.DROPPED)
        results = await self._results(job)
        files = await asyncio.to_thread(self._files, job, start, results)
        try:
            for name, data in files.items():
                await self._write(job, start, name, data)
        except NotWritten as error:
            result = DeliveryResult.DEAD if isinstance(error, SinkRefused) else DeliveryResult.RETRY
            return Attempt(result, f"{CODES[type(error)]}: {error}")
        return Attempt(DeliveryResult.DELIVERED)

    async def _results(self, job: Job) -> list[JobResult]:
        results: list[JobResult] = []
        while len(results) < job.settled:
            page = await self.store.results(job.id, after=len(results), limit=PAGE_RESULTS)
            if not page:
                break
            results += page
        return results

    def _files(
        self, job: Job, start: StartMediaAnalysisJob, results: Sequence[JobResult]
    ) -> dict[str, bytes]:
        """The contents of the files by their names, the results last: a client that waits for them
        finds both."""
        in_order = sorted(results, key=lambda result: result.index)
        lines = [self._line(job, start, result) for result in in_order]
        return {SUMMARY_NAME: summary_file(lines), RESULTS_NAME: results_file(lines)}

    def _line(self, job: Job, start: StartMediaAnalysisJob, result: JobResult) -> LineResult:
        outcome = self.translated(result.outcome)
        output = outcome.error or output_of(outcome, start.confidence_threshold)
        return LineResult(result.index + 1, job.names[result.index], output)

    async def _write(self, job: Job, start: StartMediaAnalysisJob, name: str, data: bytes) -> None:
        config = start.output_config
        content_type = "application/json" if name == SUMMARY_NAME else "application/jsonlines"
        await self.sinks.write(
            config.s3_bucket,
            config.key(job.id, name),
            job.tenant,
            data=data,
            content_type=content_type,
        )
