"""From what a client asks of a job to an accepted one: checks, the route, admission, and the
store."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from gateway.core.clock import Clock
from gateway.core.errors import BadRequest, GatewayError
from gateway.core.events import Events, Refused
from gateway.core.exchange import Incoming
from gateway.core.limits import PhotoLimits
from gateway.core.model import BufferEntry, Photo, Quality, RemotePhoto, Tenant, Way
from gateway.core.question import TaskRequest
from gateway.dialects.native.dialect import DIALECT
from gateway.dialects.native.parse import task_request_of
from gateway.intake.admission import admit
from gateway.jobs import request
from gateway.jobs.request import RequestOptions
from gateway.security.egress import UrlRefused
from gateway.store.jobs import Job, JobStore, WebhookTarget

NAME = "jobs"
"""What refusals are told under, where a dialect's name would stand."""

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: in the order of ASCII, so that ids go with the time."""
ID_CHARS = len("job_") + 11 + 16


def job_id(now: float, token: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """`job_`, then the time in microseconds and 80 random bits in base 32: later ids are greater;
    none is guessed."""
    return f"job_{_base32(int(now * 1e6), 11)}{_base32(int.from_bytes(token(10), 'big'), 16)}"


def _base32(number: int, digits: int) -> str:
    return "".join(_DIGITS[(number >> 5 * place) & 31] for place in reversed(range(digits)))


class Enter(Protocol):
    """Makes an entry of the photo at that place in a job."""

    def __call__(
        self, photo: Photo | RemotePhoto, way: Way, tenant: Tenant, job: str, /, *, index: int
    ) -> BufferEntry: ...


@dataclass(frozen=True, slots=True)
class Jobs:
    """What the jobs' endpoints call.

    `way` finds how an ask is served to a tenant, raising NotServed. `check_url` raises where a URL
    may not be asked for. `hooks` are the tenants' own, for jobs that name none.
    """

    store: JobStore
    way: Callable[[TaskRequest, Tenant, Quality], Way]
    enter: Enter
    check_url: Callable[[str], object]
    house: PhotoLimits
    events: Events
    clock: Clock
    hooks: Mapping[str, WebhookTarget] = field(default_factory=dict)
    signs: Callable[[str], object] = bool
    """Whether there is a secret to sign a tenant's webhooks with."""

    async def submit(self, incoming: Incoming, tenant: Tenant) -> Job:
        """The job that the request asks for, accepted. A photo that is refused costs the others
        nothing.

        Raises BadRequest, NotServed, Conflict, Busy or BufferAway.
        """
        wanted = await asyncio.to_thread(request.read, incoming)
        self._check_urls(wanted)
        if wanted.hook and not self.signs(tenant.name):
            raise BadRequest(
                "webhook: there is no secret to sign it with; the operator sets webhooks.secrets."
            )
        way = self.way(task_request_of(wanted.options, wanted.task), tenant, wanted.quality)
        job = self._job(wanted, tenant)
        admitted = await asyncio.to_thread(self._admit, wanted, job.id)
        entries = [
            self.enter(photo, way, tenant, job.id, index=index)
            for index, photo in enumerate(admitted)
            if isinstance(photo, Photo | RemotePhoto)
        ]
        refused = {
            index: error for index, error in enumerate(admitted) if isinstance(error, GatewayError)
        }
        digest = await asyncio.to_thread(lambda: wanted.digest) if wanted.key else ""
        kept = await self.store.submit(job, entries, refused, key=wanted.key, digest=digest)
        if kept.id == job.id:
            for error in refused.values():
                self.events.tell(Refused(NAME, error.code))
        return kept

    def _check_urls(self, wanted: RequestOptions) -> None:
        """Raises BadRequest naming the URL that may not be asked for."""
        urls = {
            f"photos[{index}].url": item
            for index, item in enumerate(wanted.items)
            if isinstance(item, str)
        }
        if wanted.hook:
            urls["webhook"] = wanted.hook.url
        for where, url in urls.items():
            try:
                self.check_url(url)
            except UrlRefused as error:
                raise BadRequest(f"{where}: {error}") from None

    def _job(self, wanted: RequestOptions, tenant: Tenant) -> Job:
        now, hook = self.clock(), wanted.hook or self.hooks.get(tenant.name)
        options = msgspec.json.encode(wanted.options)
        return Job(job_id(now), tenant.name, wanted.task, wanted.names, options, now, hook)

    def _admit(
        self, wanted: RequestOptions, job_id: str
    ) -> list[Photo | RemotePhoto | GatewayError]:
        """Each photo, or why it is refused."""
        admitted: list[Photo | RemotePhoto | GatewayError] = []
        for index, item in enumerate(wanted.items):
            photo_id = f"{job_id}-{index}"
            try:
                admitted.append(
                    RemotePhoto(photo_id, item)
                    if isinstance(item, str)
                    else admit(photo_id, item, DIALECT.limits, self.house)
                )
            except GatewayError as refusal:
                admitted.append(refusal)
        return admitted
