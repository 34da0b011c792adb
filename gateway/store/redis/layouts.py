"""The fields of the hashes in Redis, and the words that scripts and their callers exchange. The
scripts know each by the name that `scripts.constants` derives."""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum

from gateway.ledger.accounts import Account
from gateway.store.buffer import Capacity
from gateway.store.jobs import Delivery
from gateway.store.learning import Tally

PRIORITIES = ("0", "1")
"""Photos whose clients wait, then patient ones."""
MEASURES = tuple(field.name for field in fields(Capacity))
ACCOUNT_FIELDS = tuple(field.name for field in fields(Account))
AMOUNT_FORMAT, AMOUNT_BYTES = "<d", 8
"""An amount of an account: a little-endian double."""
TALLY_FIELDS = tuple(field.name for field in fields(Tally))
LESSON_FIELDS = ("observations", "plan")
"""A lesson, beside its tally: the number of observations ever made, and the packed plan."""

ENTRY_FIELDS = (
    "lane",
    "kind",
    "tenant",
    "put_at",
    "due_at",
    "turn",
    "tries",
    "holder",
    "owner",
    "asked",
    "claimed_at",
    "bytes",
    "pixels",
    "job",
    "index",
    "alone",
    "account",
    "meta",
)
"""A photo in the buffer. `kind` is its priority; `tries` its claims since it last progressed;
`holder` the replica that claimed it; `owner` the replica at which its client waits; `asked` the
canvas whose call is under way; `alone` the lane in which it is asked about alone; `account` the
text of its account's key, which entries of earlier releases do not have; `meta` the packed
entry."""

JOB_FIELDS = (
    "id",
    "tenant",
    "task",
    "names",
    "options",
    "created_at",
    "url",
    "each",
    "state",
    "settled",
    "failed",
    "billed",
    "finished_at",
)
"""A job as it is read."""
JOB_INTERNAL_FIELDS = ("photos", "host", "telling", "key", "first")
"""What only the scripts read of a job: `telling` counts the deliveries still to be made, `key` is
the key of its idempotency key, `first` the id of its first photo in the buffer."""
ACCEPTING = "accepting"
"""The state of a job whose photos are not yet in the buffer."""

DELIVERY_FIELDS = tuple(field.name for field in fields(Delivery))
DELIVERY_INTERNAL_FIELDS = ("host",)
IDEMPOTENCY_FIELDS = ("job", "digest", "until")

SHARE_MARK = "share:"
"""Before the measure of which a tenant has its share."""
UNREGISTERED = "unknown"
"""The reply where the replica has not sent a heartbeat."""


class SubmitReply(StrEnum):
    """Why a job is not new."""

    KNOWN = "known"
    BUSY = "busy"
    CONFLICT = "conflict"


RUN_MARK, REPLY_MARK = "?", "="
"""What the value under a call's id begins with: before the run that is at the call, and before the
reply."""
