"""The tables of jobs, their photos and their idempotency keys. Every function is one part of a
transaction that the caller opened.

A photo that waits or is in the buffer has an `entry`, and its bytes. A settled one has neither, but
the number of its result; a withdrawn one has none of them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from sqlite3 import Connection, Row

import msgspec

from gateway.core.errors import Busy, Conflict, GatewayError, NotFound
from gateway.core.fair_share import FairBudget
from gateway.core.model import BufferEntry, Outcome, Size
from gateway.store.buffer import Capacity
from gateway.store.codec import outcome_or_error, pack_entry, pack_outcome
from gateway.store.jobs import (
    JOB_EVENT,
    KEY_LASTS_S,
    PHOTO_EVENT,
    Job,
    JobResult,
    Page,
    State,
    WebhookTarget,
)
from gateway.store.sqlite import delivery_tables

log = logging.getLogger("imgrid")

RETRY_AFTER_S = 5.0
"""When a client whose job found no room is to come back."""

_WAITING = """
SELECT tenant, total(photos - settled) AS photos, total(held) AS bytes FROM jobs
WHERE state = 'running' GROUP BY tenant
"""
_INSERT_JOB = """
INSERT INTO jobs
    (id, tenant, task, names, options, created_at, hook_url, hook_each, state, photos, held)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_PHOTO = "INSERT INTO photos (job, place, bytes, entry, data) VALUES (?, ?, ?, ?, ?)"
_PAGE = """
SELECT * FROM jobs WHERE tenant = ? AND (? = '' OR id < ?) ORDER BY id DESC LIMIT ?
"""
_RESULTS = """
SELECT place, result, width, height, outcome FROM photos WHERE job = ? AND result > ?
ORDER BY result LIMIT ?
"""
_SETTLE_PHOTO = """
UPDATE photos SET entry = NULL, data = NULL, result = ?, width = ?, height = ?, outcome = ?
WHERE number = ?
"""
_COUNT_RESULT = """
UPDATE jobs SET settled = ?, failed = failed + ?, billed = billed + ?, held = held - ? WHERE id = ?
"""
_FORGET_JOBS = """
DELETE FROM jobs WHERE finished_at < ?
AND NOT EXISTS (SELECT 1 FROM deliveries WHERE job = jobs.id AND dead = 0)
"""


def earlier_job(db: Connection, tenant: str, key: str, digest: str, now: float) -> Job | None:
    """The job that was submitted under the key and is still kept. Raises Conflict where its request
    was another one."""
    row = db.execute(
        "SELECT job, digest FROM keys WHERE tenant = ? AND key = ? AND until > ?",
        (tenant, key, now),
    ).fetchone()
    if row is None:
        return None
    if row["digest"] != digest:
        raise Conflict(
            "This Idempotency-Key was used within the last 24 hours for another request."
        )
    return find(db, tenant, row["job"])


def add_key(db: Connection, job: Job, key: str, digest: str, now: float) -> None:
    db.execute(
        "REPLACE INTO keys VALUES (?, ?, ?, ?, ?)",
        (job.tenant, key, digest, now + KEY_LASTS_S, job.id),
    )


def check_room(
    db: Connection, tenant: str, entries: Sequence[BufferEntry], room: Capacity, *, tenants: int
) -> None:
    """Raises Busy where the photos that wait would become too many, or more than the tenant's
    share."""
    rows = db.execute(_WAITING).fetchall()
    measures = (
        ("photos", len(entries), room.photos),
        ("bytes", _data_bytes(entries), room.bytes),
    )
    for measure, increase, limit in measures:
        uses = Counter({row["tenant"]: row[measure] for row in rows if row[measure]})
        budget = FairBudget(limit, tenants, uses=uses)
        if not increase or budget.has_room(tenant, increase, pieces=len(entries)):
            continue
        whose, most = "The jobs' store", limit
        if uses.total() + increase <= limit:
            whose, most = (
                "Your share of the jobs' store",
                int(budget.most(tenant, increase, pieces=len(entries))),
            )
        raise Busy(
            f"{whose} is full ({measure}: at most {most} wait). Nothing was taken.",
            RETRY_AFTER_S,
        )


def add(db: Connection, job: Job, entries: Sequence[BufferEntry]) -> None:
    """Adds a job with its photos. A photo without an entry is to be refused."""
    hook = job.hook or WebhookTarget("")
    db.execute(
        _INSERT_JOB,
        (
            job.id,
            job.tenant,
            job.task,
            msgspec.msgpack.encode(job.names),
            job.options,
            job.created_at,
            hook.url or None,
            hook.each_photo,
            State.RUNNING,
            job.photos,
            _data_bytes(entries),
        ),
    )
    entry_by_place = {entry.index: entry for entry in entries}
    for place in range(job.photos):
        entry = entry_by_place.get(place)
        if entry is None:
            db.execute(_INSERT_PHOTO, (job.id, place, 0, None, None))
        else:
            data = entry.photo.payload
            db.execute(_INSERT_PHOTO, (job.id, place, len(data), pack_entry(entry), data))


def refuse(db: Connection, job_id: str, refused: Mapping[int, GatewayError], now: float) -> None:
    """Settles the photos that were refused."""
    for place, error in refused.items():
        settle(db, job_id, place, Outcome(None, error=error), None, now=now)


def find(db: Connection, tenant: str, job_id: str) -> Job:
    """The tenant's job of that id. Raises NotFound."""
    row = db.execute("SELECT * FROM jobs WHERE id = ? AND tenant = ?", (job_id, tenant)).fetchone()
    if row is None:
        raise NotFound("There is no such job.")
    return _job(row)


def page(db: Connection, tenant: str, after: str, limit: int) -> Page:
    """The tenant's jobs after that id, latest first. Ids grow with the time, so they are the
    cursors too."""
    rows = db.execute(_PAGE, (tenant, after, after, limit + 1)).fetchall()
    jobs = list(_readable_jobs(rows[:limit]))
    return Page(jobs, rows[limit - 1]["id"] if len(rows) > limit else "")


def results(db: Connection, job_id: str, after: int, limit: int) -> list[JobResult]:
    """The job's results with a number over `after`, in their order."""
    return [_result(row) for row in db.execute(_RESULTS, (job_id, after, limit))]


def settle(
    db: Connection, job_id: str, place: int, outcome: Outcome, size: Size | None, *, now: float
) -> None:
    """Records a photo's outcome; the last one ends the job. Does nothing for a photo that is
    settled or withdrawn."""
    job = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    photo = db.execute(
        "SELECT number, bytes, result FROM photos WHERE job = ? AND place = ?", (job_id, place)
    ).fetchone()
    if photo is None:
        return
    db.execute("DELETE FROM fed WHERE photo = ?", (photo["number"],))
    if job["state"] != State.RUNNING or photo["result"] is not None:
        return
    number = job["settled"] + 1
    width_px, height_px = size or (None, None)
    db.execute(_SETTLE_PHOTO, (number, width_px, height_px, pack_outcome(outcome), photo["number"]))
    failed = outcome.error is not None
    db.execute(_COUNT_RESULT, (number, failed, outcome.share, photo["bytes"], job_id))
    if job["hook_each"]:
        delivery_tables.add(db, job, PHOTO_EVENT, now, place=place, number=number)
    if number == job["photos"]:
        end(db, job_id, State.DONE, now)


def end(db: Connection, job_id: str, state: State, now: float) -> None:
    """Ends a running job. Its photos that wait are withdrawn; the feeder removes them from the
    buffer."""
    row = db.execute("SELECT * FROM jobs WHERE id = ? AND state = 'running'", (job_id,)).fetchone()
    if row is None:
        return
    db.execute("UPDATE jobs SET state = ?, finished_at = ? WHERE id = ?", (state, now, job_id))
    db.execute(
        "UPDATE photos SET entry = NULL, data = NULL WHERE job = ? AND entry IS NOT NULL", (job_id,)
    )
    delivery_tables.add(db, row, f"{JOB_EVENT}{state}", now)


def forget(db: Connection, *, ended_before: float, now: float) -> None:
    """Removes old jobs that have no delivery left to make, and old keys."""
    db.execute(_FORGET_JOBS, (ended_before,))
    db.execute("DELETE FROM keys WHERE until <= ?", (now,))


def _data_bytes(entries: Sequence[BufferEntry]) -> int:
    return sum(len(entry.photo.payload) for entry in entries)


def _readable_jobs(rows: Sequence[Row]) -> Iterator[Job]:
    """The jobs that can be read."""
    for row in rows:
        try:
            yield _job(row)
        except (msgspec.DecodeError, ValueError) as error:
            log.error("job %s cannot be read: %s", row["id"], error)


def _job(row: Row) -> Job:
    hook = WebhookTarget(row["hook_url"], bool(row["hook_each"])) if row["hook_url"] else None
    return Job(
        id=row["id"],
        tenant=row["tenant"],
        task=row["task"],
        names=msgspec.msgpack.decode(row["names"], type=tuple[str, ...]),
        options=row["options"],
        created_at=row["created_at"],
        hook=hook,
        state=State(row["state"]),
        settled=row["settled"],
        failed=row["failed"],
        billed=row["billed"],
        finished_at=row["finished_at"],
    )


def _result(row: Row) -> JobResult:
    outcome, _ = outcome_or_error(row["outcome"], f"{row['place']} of a job")
    size = Size(row["width"], row["height"]) if row["width"] is not None else None
    return JobResult(row["result"], row["place"], outcome, size)
