"""Jobs, results and deliveries as Redis holds them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.core.model import BufferEntry
from gateway.store.codec import Unreadable, outcome_or_error
from gateway.store.jobs import Delivery, Job, JobResult, State, WebhookTarget, host_of
from gateway.store.redis import keys
from gateway.store.redis.layouts import DELIVERY_FIELDS, JOB_FIELDS


def idempotency_key(tenant: str, key: str) -> str:
    """The key in Redis of a tenant's idempotency key."""
    digest = hashlib.sha256(msgspec.msgpack.encode((tenant, key))).hexdigest()
    return keys.IDEMPOTENCY + digest


def job_fields(job: Job, entries: Sequence[BufferEntry], idempotency: str) -> list[Any]:
    """The hash of a new job, without its state: names and values in turns. `idempotency` is the key
    of its idempotency key, or ''."""
    hook = job.hook or WebhookTarget("")
    fields = {
        "id": job.id,
        "tenant": job.tenant,
        "task": job.task,
        "names": msgspec.msgpack.encode(job.names),
        "options": job.options,
        "created_at": repr(job.created_at),
        "url": hook.url,
        "each": int(hook.each_photo),
        "host": host_of(hook.url),
        "photos": job.photos,
        "settled": 0,
        "failed": 0,
        "billed": 0,
        "finished_at": "",
        "telling": 0,
        "key": idempotency,
        "first": entries[0].photo.id if entries else "",
    }
    pairs: list[Any] = []
    for name, value in fields.items():
        pairs += (name, value)
    return pairs


def job_of(values: Sequence[bytes]) -> Job:
    """The job of the values of JOB_FIELDS. Raises Unreadable."""
    try:
        return _job_of(values)
    except (msgspec.DecodeError, AttributeError, ValueError) as error:
        raise Unreadable(str(error)) from error


def _job_of(values: Sequence[bytes]) -> Job:
    fields = dict(zip(JOB_FIELDS, values, strict=True))
    names, options = fields.pop("names"), fields.pop("options")
    text = {name: value.decode() for name, value in fields.items()}
    return Job(
        id=text["id"],
        tenant=text["tenant"],
        task=text["task"],
        names=msgspec.msgpack.decode(names, type=tuple[str, ...]),
        options=options,
        created_at=float(text["created_at"]),
        hook=WebhookTarget(text["url"], text["each"] == "1") if text["url"] else None,
        state=State(text["state"]),
        settled=int(text["settled"]),
        failed=int(text["failed"]),
        billed=float(text["billed"]),
        finished_at=float(text["finished_at"]) if text["finished_at"] else None,
    )


def result_of(number: int, item: bytes) -> JobResult:
    """The result of an item of a job's list of results; the error `internal` where its outcome
    cannot be read."""
    index, _, packed = item.partition(b":")
    place = int(index)
    return JobResult(number, place, *outcome_or_error(packed, f"{place} of a job"))


def delivery_of(values: Sequence[bytes]) -> Delivery:
    """The delivery of the values of DELIVERY_FIELDS. Raises Unreadable."""
    try:
        text = {name: value.decode() for name, value in zip(DELIVERY_FIELDS, values, strict=True)}
        return msgspec.convert(text, Delivery, strict=False)
    except (msgspec.ValidationError, AttributeError, ValueError) as error:
        raise Unreadable(str(error)) from error
