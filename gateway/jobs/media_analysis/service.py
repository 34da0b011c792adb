"""The operations about media analysis jobs: starts, describes and lists them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from gateway.core.errors import (
    BadCursor,
    BadManifest,
    Busy,
    NotFetched,
    NotFound,
    SourceTooLarge,
    TooManyJobs,
)
from gateway.core.exchange import Incoming, Reply
from gateway.core.locations import s3_url
from gateway.core.model import Outcome, Quality, Tenant
from gateway.core.question import JobCall
from gateway.dialects.headers import quality_of
from gateway.dialects.rekognition.dialect import reply_of
from gateway.dialects.rekognition.media_analysis import (
    MAX_MANIFEST_BYTES,
    GetMediaAnalysisJob,
    ListMediaAnalysisJobs,
    ManifestPhoto,
    StartMediaAnalysisJob,
    read_manifest,
)
from gateway.dialects.rekognition.media_analysis_output import RESULTS_NAME, description_of
from gateway.jobs.ids import ID_CHARS
from gateway.jobs.listing import latest_jobs
from gateway.jobs.media_analysis.export import output_of
from gateway.jobs.media_analysis.stored import MediaAnalysisOptions, start_of, state_of
from gateway.jobs.request import JobRequest, PhotoContent
from gateway.jobs.service import Jobs
from gateway.jobs.sinks import Sinks
from gateway.store.jobs import Delivery, DeliveryReader, Job, State, WebhookTarget, end_delivery_id
from providers.detection import Task

KEY_PREFIX = "media-analysis:"
"""Before a ClientRequestToken: the idempotency key of its job."""
MOST_LOOKS = 1000
"""Jobs that one page looks through, for a tenant may have many others; the next one goes on."""


@dataclass(frozen=True, slots=True)
class MediaAnalysis:
    """What the endpoint calls. `read_source` reads at most so many bytes that a tenant may name;
    `translated` puts an outcome into Rekognition's words."""

    jobs: Jobs
    deliveries: DeliveryReader
    read_source: Callable[[str, Tenant, int], Awaitable[bytes]]
    sinks: Sinks
    translated: Callable[[Outcome], Outcome]

    async def reply(self, call: JobCall, incoming: Incoming, tenant: Tenant) -> Reply:
        """The reply to a call. Raises GatewayError."""
        match call.input:
            case StartMediaAnalysisJob():
                quality = quality_of(incoming, "target")
                job = await self._start(call.input, tenant, quality)
                return reply_of({"JobId": job.id})
            case GetMediaAnalysisJob(job_id):
                return reply_of(await self._describe(job_id, tenant))
            case ListMediaAnalysisJobs():
                return reply_of(await self._list(call.input, tenant))
        raise TypeError(call.input)

    async def _start(self, start: StartMediaAnalysisJob, tenant: Tenant, quality: Quality) -> Job:
        """The job, accepted as a whole: each line of the manifest is one photo of it. Raises
        BadRequest, NotFetched, NotServed, TooManyJobs or BufferAway."""
        threshold = start.confidence_threshold
        config = start.output_config
        sink = self.sinks.location(config.s3_bucket, config.key("JOB", RESULTS_NAME), tenant.name)
        photos = await self._manifest(start, tenant)
        token = start.client_request_token
        start = msgspec.structs.replace(start, client_request_token=None)
        digest = hashlib.sha256(msgspec.json.encode((start, quality))).hexdigest()
        job_request = JobRequest(
            options=MediaAnalysisOptions(
                Task.MODERATION, min_score=threshold / 100, media_analysis=start
            ),
            names=tuple(photo.source_ref for photo in photos),
            photos=tuple(self._content(photo, tenant) for photo in photos),
            webhook=WebhookTarget(s3_url(sink.bucket, config.s3_key_prefix)),
            key=f"{KEY_PREFIX}{token}" if token else "",
            quality=quality,
        )
        try:
            return await self.jobs.accept(job_request, tenant, digest)
        except Busy as error:
            raise TooManyJobs(str(error), error.retry_after_s or 1.0) from None

    async def _manifest(
        self, start: StartMediaAnalysisJob, tenant: Tenant
    ) -> Sequence[ManifestPhoto]:
        """The lines of the job's manifest. Raises BadManifest, NotFetched or Busy."""
        url = start.input.s3_object.source.url
        try:
            data = await self.read_source(url, tenant, MAX_MANIFEST_BYTES)
        except SourceTooLarge:
            raise BadManifest(
                f"Input.S3Object: the manifest is larger than {MAX_MANIFEST_BYTES} bytes; split it "
                "into several jobs."
            ) from None
        except NotFetched as error:
            reason = str(error).removeprefix("The photo was not fetched: ")
            raise type(error)(f"Input.S3Object: {reason}") from None
        return await asyncio.to_thread(read_manifest, data)

    def _content(self, photo: ManifestPhoto, tenant: Tenant) -> PhotoContent:
        """The photo's URL, or why it is refused."""
        if isinstance(photo.url, BadManifest):
            return photo.url
        try:
            self.jobs.check_source(photo.url, tenant)
        except NotFetched as error:
            return error
        return photo.url

    async def _describe(self, job_id: str, tenant: Tenant) -> object:
        """The description of a job. Raises NotFound or BufferAway."""
        job = await self.jobs.store.find(tenant.name, job_id)
        start = start_of(job)
        if start is None:
            raise NotFound("There is no such job.")
        deliveries = await self._deliveries([job])
        state = state_of(job, deliveries.get(job.id), await self._model_version(job))
        return description_of(job.id, start, state)

    async def _model_version(self, job: Job) -> str:
        """The version that the job's first result names."""
        results = await self.jobs.store.results(job.id, limit=1)
        outcome = self.translated(results[0].outcome) if results else Outcome(None)
        return str(output_of(outcome, 0)["ModerationModelVersion"])

    async def _deliveries(self, jobs: Sequence[Job]) -> Mapping[str, Delivery]:
        """The deliveries of the ends of these jobs that are not made yet, by job."""
        ids = [end_delivery_id(job.id) for job in jobs if job.state is State.DONE]
        found = await self.deliveries.find(ids) if ids else {}
        return {delivery.job: delivery for delivery in found.values()}

    async def _list(self, call: ListMediaAnalysisJobs, tenant: Tenant) -> object:
        """A page of the tenant's jobs. Raises BadCursor or BufferAway."""
        cursor = call.next_token or ""
        if cursor and (not cursor.startswith("job_") or len(cursor) != ID_CHARS):
            raise BadCursor("NextToken must be that of another page.")
        jobs, cursor = await self._page(cursor, call.max_results, tenant)
        deliveries = await self._deliveries([job for job, _ in jobs])
        rows = [
            description_of(job.id, start, state_of(job, deliveries.get(job.id)))
            for job, start in jobs
        ]
        return {"MediaAnalysisJobs": rows, **({"NextToken": cursor} if cursor else {})}

    async def _page(
        self, cursor: str, most: int, tenant: Tenant
    ) -> tuple[list[tuple[Job, StartMediaAnalysisJob]], str]:
        """The tenant's media analysis jobs after the cursor, without their photos' names, and the
        cursor of the next page; empty where there is none."""
        jobs: list[tuple[Job, StartMediaAnalysisJob]] = []
        looks = 0
        async for job in latest_jobs(self.jobs.store, tenant.name, cursor):
            if len(jobs) == most or looks == MOST_LOOKS:
                return jobs, cursor
            looks, cursor = looks + 1, job.id
            if (start := start_of(job)) is not None:
                jobs.append((replace(job, names=()), start))
        return jobs, ""
