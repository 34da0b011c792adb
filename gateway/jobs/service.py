"""Accepting jobs: checks a request, finds its route, admits its photos and stores the job."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from gateway.core.clock import Clock
from gateway.core.errors import BadRequest, GatewayError, NotFetched, SourceNotAllowed
from gateway.core.events import Events, RequestRefused
from gateway.core.exchange import Incoming
from gateway.core.limits import PhotoLimits
from gateway.core.locations import STORES
from gateway.core.model import BufferEntry, Photo, Quality, RemotePhoto, Tenant, Way
from gateway.core.question import TaskRequest
from gateway.core.route_price import photo_price
from gateway.dialects.native.parse import task_request_of
from gateway.intake.admission import admit
from gateway.jobs import request
from gateway.jobs.ids import job_id
from gateway.jobs.request import JobRequest, PhotoContent
from gateway.jobs.response import QuoteOut, quote_out
from gateway.security.egress_errors import UrlRefused
from gateway.store.jobs import Job, JobStore, WebhookTarget
from providers.base import Limits
from providers.detection import Task

NAME = "jobs"
"""What refusals are counted under, in place of a dialect's name."""


class MakeEntry(Protocol):
    """Makes the buffer's entry for the photo at `index` of a job."""

    def __call__(
        self, photo: Photo | RemotePhoto, way: Way, tenant: Tenant, *, job: str, index: int
    ) -> BufferEntry: ...


def _free(provider: str, task: Task) -> float:
    """Nothing costs anything."""
    return 0.0


async def _no_limits(tenant: Tenant, photos: int) -> None:
    """Limits nothing."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """What the jobs' endpoints call.

    `way` finds the way of a task request and raises NotServed. `check_url` raises UrlRefused where
    a URL must not be called, `check_source` NotFetched where a tenant may not name a photo's place.
    `webhooks` are the tenants' own, for jobs that name none. `has_secret`
    says whether there is a secret to sign a tenant's webhooks with. `usd` is the price of a
    provider's image for a task. `check_limits` raises
    BudgetExhausted or TooFast where a tenant may not ask about so many photos now.
    """

    store: JobStore
    way: Callable[[TaskRequest, Tenant, Quality], Way]
    entry: MakeEntry
    check_url: Callable[[str], object]
    check_source: Callable[[str, Tenant], object]
    photo_limits: PhotoLimits
    events: Events
    clock: Clock
    webhooks: Mapping[str, WebhookTarget] = field(default_factory=dict)
    has_secret: Callable[[str], object] = bool
    usd: Callable[[str, Task], float] = _free
    check_limits: Callable[[Tenant, int], Awaitable[None]] = _no_limits

    async def submit(self, incoming: Incoming, tenant: Tenant) -> Job | QuoteOut:
        """The job that a request of the native API asks for, accepted; of a dry run only its price.

        Raises BadRequest, NotServed, Conflict, Busy, BudgetExhausted or BufferAway.
        """
        job_request = await asyncio.to_thread(request.read, incoming)
        self._check_urls(job_request, tenant)
        if job_request.webhook and not self.has_secret(tenant.name):
            raise BadRequest(
                "webhook: there is no secret to sign it with; the operator sets webhooks.secrets."
            )
        if job_request.dry_run:
            return self._quote(job_request, tenant)
        return await self.accept(job_request, tenant)

    def _quote(self, job_request: JobRequest, tenant: Tenant) -> QuoteOut:
        """The price of the job's photos by their route. Raises NotServed."""
        task_request = task_request_of(job_request.options, job_request.task)
        way = self.way(task_request, tenant, job_request.quality)
        price = photo_price(
            way.route, way.variant, lambda provider: self.usd(provider, way.route.task)
        )
        return quote_out(price, len(job_request.photos))

    async def accept(
        self, job_request: JobRequest, tenant: Tenant, digest: str | None = None
    ) -> Job:
        """The job of a request that has been checked, accepted. A photo that is refused costs the
        others nothing, unless it is all or nothing. The digest, by default the request's, tells it
        from another one of the same idempotency key.

        Raises NotServed, Conflict, Busy, BudgetExhausted or BufferAway, and a photo's refusal where
        it refuses all.
        """
        await self.check_limits(tenant, len(job_request.photos))
        if digest is None:
            digest = await asyncio.to_thread(lambda: job_request.digest) if job_request.key else ""
        task_request = task_request_of(job_request.options, job_request.task)
        way = self.way(task_request, tenant, job_request.quality)
        job = self._job(job_request, tenant)
        entries, refusals = await self._admit(job_request, job, way, tenant)
        stored = await self.store.submit(job, entries, refusals, key=job_request.key, digest=digest)
        if stored.id == job.id:  # otherwise the idempotency key gave an earlier job
            for error in refusals.values():
                self.events.tell(RequestRefused(NAME, error.code))
        return stored

    def _check_urls(self, job_request: JobRequest, tenant: Tenant) -> None:
        """Raises BadRequest naming the first URL that must not be called or read."""
        for index, photo in enumerate(job_request.photos):
            if isinstance(photo, str):
                try:
                    self.check_location(photo, tenant)
                except NotFetched as error:
                    raise BadRequest(f"photos[{index}].url: {error}") from None
        if job_request.webhook:
            try:
                self.check_url(job_request.webhook.url)
            except UrlRefused as error:
                raise BadRequest(f"webhook: {error}") from None

    def check_location(self, url: str, tenant: Tenant) -> None:
        """Raises NotFetched where the tenant may not name that place of a photo."""
        if url.partition(":")[0] in STORES:
            self.check_source(url, tenant)
            return
        try:
            self.check_url(url)
        except UrlRefused as error:
            raise SourceNotAllowed(str(error)) from None

    def _job(self, job_request: JobRequest, tenant: Tenant) -> Job:
        now = self.clock()
        return Job(
            id=job_id(now),
            tenant=tenant.name,
            task=job_request.task,
            names=job_request.names,
            options=msgspec.json.encode(job_request.options),
            created_at=now,
            hook=job_request.webhook or self.webhooks.get(tenant.name),
        )

    async def _admit(
        self, job_request: JobRequest, job: Job, way: Way, tenant: Tenant
    ) -> tuple[list[BufferEntry], dict[int, GatewayError]]:
        """The entries of the photos that are admitted, and the errors of the others by index."""
        entries: list[BufferEntry] = []
        refusals: dict[int, GatewayError] = {}
        photos = await asyncio.to_thread(self._photos, job_request, job.id)
        for index, photo in enumerate(photos):
            if isinstance(photo, GatewayError):
                refusals[index] = photo
            else:
                entries.append(self.entry(photo, way, tenant, job=job.id, index=index))
        return entries, refusals

    def _photos(
        self, job_request: JobRequest, job_id: str
    ) -> list[Photo | RemotePhoto | GatewayError]:
        """Each photo, or the error that refuses it. Raises the first one where it refuses all."""
        photos: list[Photo | RemotePhoto | GatewayError] = []
        for index, content in enumerate(job_request.photos):
            try:
                photos.append(self._photo(f"{job_id}-{index}", content, job_request.limits))
            except GatewayError as refusal:
                if job_request.all_or_nothing:
                    raise
                photos.append(refusal)
        return photos

    def _photo(self, photo_id: str, content: PhotoContent, limits: Limits) -> Photo | RemotePhoto:
        if isinstance(content, GatewayError):
            raise content
        if isinstance(content, str):
            return RemotePhoto(photo_id, content)
        return admit(photo_id, content, limits, self.photo_limits)
