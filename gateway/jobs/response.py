"""What clients read about jobs, in answers, events and webhooks alike: JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from gateway.core.errors import NotFound
from gateway.core.route_price import PhotoPrice
from gateway.dialects.native.render import photo_out
from gateway.dialects.native.schemas import Options, PhotoOut
from gateway.store.jobs import Delivery, Job, JobResult, JobStore

PATH = "/v1/jobs"


class StoredOptions(Options, forbid_unknown_fields=False):
    """The options of a stored job. What a vendor's clients store besides is theirs to read."""


class WebhookOut(Struct):
    """The URL that is called at the job's end, or also for each of its photos."""

    url: str
    each_photo: bool


class JobOut(Struct, omit_defaults=True):
    """A job so far. `settled` photos have a result, and `failed` ones of these an error. `billed`
    is in images; `saved` is the share of the answered photos' images that was not paid for. `state`
    is running, done or aborted."""

    id: str
    state: str
    task: str
    photos: int
    settled: int
    failed: int
    billed: float
    saved: float
    created_at: str
    finished_at: str | None = None
    webhook: WebhookOut | None = None


class JobPhotoOut(PhotoOut, kw_only=True):
    """A photo's result. `number` counts the results in the order in which they came, from 1;
    `index` is the photo's index in the request, from 0."""

    number: int
    index: int


class JobPage(JobOut, kw_only=True):
    """A job with some of its results. Pass `next` as `after` to read on."""

    results: list[JobPhotoOut]
    next: int


class JobsPage(Struct):
    """Some jobs, latest first. Pass `next` as `after` to read on; it is empty on the last page."""

    jobs: list[JobOut]
    next: str


class WebhookData(JobOut, kw_only=True):
    """The data of a webhook: the job so far, the path to read it and, for photo.settled, the
    photo's result."""

    path: str
    photo: JobPhotoOut | None = None


class Message(Struct):
    """The body of a webhook. `timestamp` is the time of what happened, however late the webhook is
    delivered."""

    type: str
    timestamp: str
    data: WebhookData


def iso(at: float) -> str:
    """Unix seconds as ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class QuoteOut(Struct, omit_defaults=True):
    """The price of a job that was not begun, in USD for all its photos: at least and at most, in
    full canvases; alone; and what the route's plan foresees, where it says so."""

    photos: int
    least_usd: float
    most_usd: float
    alone_usd: float
    expected_usd: float | None = None


def quote_out(price: PhotoPrice, photos: int) -> QuoteOut:
    """The price of so many photos."""
    return QuoteOut(
        photos,
        round(photos * price.least_usd, 6),
        round(photos * price.most_usd, 6),
        round(photos * price.alone_usd, 6),
        None if price.usd is None else round(photos * price.usd, 6),
    )


def job_out(job: Job) -> JobOut:
    """The job without its results."""
    answered = job.settled - job.failed
    return JobOut(
        id=job.id,
        state=job.state,
        task=job.task,
        photos=job.photos,
        settled=job.settled,
        failed=job.failed,
        billed=round(job.billed, 6),
        saved=round(1 - job.billed / answered, 6) if answered else 0.0,
        created_at=iso(job.created_at),
        finished_at=iso(job.finished_at) if job.finished_at is not None else None,
        webhook=WebhookOut(job.hook.url, job.hook.each_photo) if job.hook else None,
    )


def result_out(job: Job, result: JobResult) -> JobPhotoOut:
    """One result of the job, filtered by the options of its request."""
    options = msgspec.json.decode(job.options, type=StoredOptions)
    photo = photo_out(job.names[result.index], result.outcome, result.size, options)
    return JobPhotoOut(**_fields(photo), number=result.number, index=result.index)


def job_page(job: Job, results: Sequence[JobResult], after: int) -> JobPage:
    """The job with the results behind the number `after`."""
    last = results[-1].number if results else after
    return JobPage(
        **_fields(job_out(job)), results=[result_out(job, result) for result in results], next=last
    )


def payload(delivery: Delivery, job: Job, results: Sequence[JobResult] = ()) -> bytes:
    """The body of a webhook. For photo.settled, `results` must contain the photo's."""
    photo = next(
        (result_out(job, result) for result in results if result.number == delivery.number), None
    )
    data = WebhookData(**_fields(job_out(job)), path=f"{PATH}/{job.id}", photo=photo)
    return msgspec.json.encode(Message(delivery.kind, iso(delivery.created_at), data))


async def body(store: JobStore, delivery: Delivery) -> bytes | None:
    """The body of a webhook, from the stored job; None where the job has been forgotten. Raises
    BufferAway."""
    try:
        job = await store.find(delivery.tenant, delivery.job)
    except NotFound:
        return None
    results: Sequence[JobResult] = ()
    if delivery.number > 0:  # about one photo
        results = await store.results(job.id, after=delivery.number - 1, limit=1)
    return payload(delivery, job, results)


def _fields(struct: Struct) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}
