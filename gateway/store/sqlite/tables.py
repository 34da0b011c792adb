"""Jobs and deliveries as tables of SQLite. Every function here is one part of a transaction that
the caller opened.

A photo that is not settled has an `entry`, and its bytes. Settled or withdrawn, it has neither any
more; a settled one has the number of its result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from sqlite3 import Connection, Row, connect

import msgspec

from gateway.core.errors import Busy, Conflict, GatewayError, NotFound
from gateway.core.model import BufferEntry, Outcome, Size
from gateway.store.buffer import Capacity
from gateway.store.codec import pack_entry, pack_outcome, unpack_outcome
from gateway.store.jobs import (
    KEY_LASTS_S,
    Delivery,
    Job,
    JobResult,
    Page,
    State,
    WebhookTarget,
    host_of,
)

VERSION = 1
BUSY_TIMEOUT_MS = 10_000

_SCHEMA = """
CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY, tenant TEXT NOT NULL, task TEXT NOT NULL,
    created_at REAL NOT NULL, hook_url TEXT, hook_each INTEGER NOT NULL, state TEXT NOT NULL, photos INTEGER NOT NULL,
    settled INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, billed REAL NOT NULL DEFAULT 0,
    held INTEGER NOT NULL, finished_at REAL, options BLOB NOT NULL, names BLOB NOT NULL
);
CREATE INDEX jobs_of ON jobs (tenant, id);
CREATE INDEX jobs_running ON jobs (tenant, id) WHERE state = 'running';
CREATE INDEX jobs_ended ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE TABLE photos (
    number INTEGER PRIMARY KEY, job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, place INTEGER NOT NULL,
    bytes INTEGER NOT NULL, result INTEGER, width INTEGER, height INTEGER, outcome BLOB, entry BLOB, data BLOB,
    UNIQUE (job, place)
);
CREATE INDEX photos_waiting ON photos (job, place) WHERE entry IS NOT NULL;
CREATE INDEX photos_settled ON photos (job, result) WHERE result IS NOT NULL;
CREATE TABLE keys (
    tenant TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, until REAL NOT NULL,
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, PRIMARY KEY (tenant, key)
) WITHOUT ROWID;
CREATE INDEX keys_of ON keys (job);
CREATE INDEX keys_until ON keys (until);
CREATE TABLE deliveries (
    id TEXT NOT NULL PRIMARY KEY, tenant TEXT NOT NULL, job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    kind TEXT NOT NULL, place INTEGER NOT NULL, result INTEGER NOT NULL, url TEXT NOT NULL, host TEXT NOT NULL,
    created_at REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due_at REAL NOT NULL,
    leased_until REAL NOT NULL DEFAULT 0, last_error TEXT NOT NULL DEFAULT '', dead INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX deliveries_of ON deliveries (job, dead);
CREATE INDEX deliveries_due ON deliveries (host, due_at) WHERE dead = 0;
CREATE INDEX deliveries_leased ON deliveries (host, leased_until) WHERE dead = 0;
CREATE INDEX deliveries_dead ON deliveries (created_at) WHERE dead = 1;
"""


_FED = """
CREATE TEMP TABLE fed (
    photo INTEGER PRIMARY KEY, tenant TEXT NOT NULL, id TEXT NOT NULL, withdrawn INTEGER NOT NULL DEFAULT 0
)
"""
"""The photos that are in the buffer."""


def open_file(file: Path) -> Connection:
    """The database, made where there is none. Raises sqlite3.Error; OSError where its folder cannot
    be made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(0o600)  # photos are in it
    db = connect(file, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000)
    try:
        db.row_factory = Row
        for setting in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            db.execute(f"PRAGMA {setting}")
        db.execute(_FED)
        db.execute("BEGIN IMMEDIATE")
        _migrate(db)
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: Connection) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == 0:
        for statement in _SCHEMA.split(";\n"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")
    elif version != VERSION:
        raise GatewayError(
            f"The jobs' file is of version {version}; this gateway knows version {VERSION}."
        )


# -- jobs


def earlier(db: Connection, tenant: str, key: str, digest: str, now: float) -> Job | None:
    """The job that was submitted under the key and is still kept. Raises Conflict where it was
    another request."""
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


def keep_key(db: Connection, job: Job, key: str, digest: str, now: float) -> None:
    db.execute(
        "REPLACE INTO keys VALUES (?, ?, ?, ?, ?)",
        (job.tenant, key, digest, now + KEY_LASTS_S, job.id),
    )


def check_room(db: Connection, entries: Sequence[BufferEntry], room: Capacity) -> None:
    """Raises Busy where the photos that wait would become too many."""
    waiting = "SELECT total(photos - settled), total(held) FROM jobs WHERE state = 'running'"
    photos, held = db.execute(waiting).fetchone()
    more = sum(len(entry.photo.payload) for entry in entries)
    for what, now, added, most in (
        ("photos", photos, len(entries), room.photos),
        ("bytes", held, more, room.bytes),
    ):
        if added and now + added > most:
            raise Busy(
                f"The jobs' store is full ({what}: at most {most} wait). Nothing was taken.", 5.0
            )


def add(db: Connection, job: Job, entries: Sequence[BufferEntry]) -> None:
    hook, names = job.hook or WebhookTarget(""), msgspec.msgpack.encode(job.names)
    held = sum(len(entry.photo.payload) for entry in entries)
    db.execute(
        "INSERT INTO jobs (id, tenant, task, names, options, created_at, hook_url, hook_each, state, photos, held)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            job.id,
            job.tenant,
            job.task,
            names,
            job.options,
            job.created_at,
            hook.url or None,
            hook.each_photo,
            State.RUNNING,
            job.photos,
            held,
        ),
    )
    waiting = {entry.index: entry for entry in entries}
    for place in range(job.photos):
        entry = waiting.get(place)
        data = entry.photo.payload if entry else None
        db.execute(
            "INSERT INTO photos (job, place, bytes, entry, data) VALUES (?, ?, ?, ?, ?)",
            (job.id, place, len(data or b""), entry and pack_entry(entry), data),
        )


def find(db: Connection, tenant: str, job_id: str) -> Job:
    """Raises NotFound."""
    row = db.execute("SELECT * FROM jobs WHERE id = ? AND tenant = ?", (job_id, tenant)).fetchone()
    if row is None:
        raise NotFound("There is no such job.")
    return _job(row)


def page(db: Connection, tenant: str, after: str, limit: int) -> Page:
    """Ids go with the time, so that they are the cursors too."""
    rows = db.execute(
        "SELECT * FROM jobs WHERE tenant = ? AND (? = '' OR id < ?) ORDER BY id DESC LIMIT ?",
        (tenant, after, after, limit + 1),
    ).fetchall()
    jobs = [_job(row) for row in rows[:limit]]
    return Page(jobs, jobs[-1].id if len(rows) > limit else "")


def results(db: Connection, job_id: str, after: int, limit: int) -> list[JobResult]:
    rows = db.execute(
        "SELECT place, result, width, height, outcome FROM photos WHERE job = ? AND result > ? ORDER BY result LIMIT ?",
        (job_id, after, limit),
    )
    return [_result(row) for row in rows]


def settle(
    db: Connection, job_id: str, place: int, outcome: Outcome, size: Size | None, *, now: float
) -> None:
    """Does nothing for a photo that is settled or withdrawn."""
    job = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    photo = db.execute(
        "SELECT number, bytes, result FROM photos WHERE job = ? AND place = ?", (job_id, place)
    ).fetchone()
    if photo is None:
        return
    db.execute("DELETE FROM fed WHERE photo = ?", (photo["number"],))
    if job["state"] != State.RUNNING or photo["result"] is not None:
        return
    number, (width, height) = job["settled"] + 1, size or (None, None)
    db.execute(
        "UPDATE photos SET entry = NULL, data = NULL, result = ?, width = ?, height = ?, outcome = ? WHERE number = ?",
        (number, width, height, pack_outcome(outcome), photo["number"]),
    )
    db.execute(
        "UPDATE jobs SET settled = ?, failed = failed + ?, billed = billed + ?, held = held - ? WHERE id = ?",
        (number, outcome.error is not None, outcome.share, photo["bytes"], job_id),
    )
    if job["hook_each"]:
        _deliver(db, job, "photo.settled", now, place=place, number=number)
    if number == job["photos"]:
        end(db, job_id, State.DONE, now)


def end(db: Connection, job_id: str, state: State, now: float) -> None:
    """Ends a job that runs; what of it waits is withdrawn, and leaves the buffer when the feeder
    sees it."""
    row = db.execute("SELECT * FROM jobs WHERE id = ? AND state = 'running'", (job_id,)).fetchone()
    if row is None:
        return
    db.execute("UPDATE jobs SET state = ?, finished_at = ? WHERE id = ?", (state, now, job_id))
    db.execute(
        "UPDATE photos SET entry = NULL, data = NULL WHERE job = ? AND entry IS NOT NULL", (job_id,)
    )
    db.execute(
        "UPDATE fed SET withdrawn = 1 WHERE photo IN (SELECT number FROM photos WHERE job = ?)",
        (job_id,),
    )
    _deliver(db, row, f"job.{state}", now)


def forget(db: Connection, *, ended_before: float, now: float) -> None:
    """Old jobs, but for those of which something is still to be delivered; and old keys."""
    db.execute(
        "DELETE FROM jobs WHERE finished_at < ?"
        " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE job = jobs.id AND dead = 0)",
        (ended_before,),
    )
    db.execute("DELETE FROM keys WHERE until <= ?", (now,))


def _job(row: Row) -> Job:
    names = msgspec.msgpack.decode(row["names"], type=tuple[str, ...])
    hook = WebhookTarget(row["hook_url"], bool(row["hook_each"])) if row["hook_url"] else None
    return Job(
        row["id"],
        row["tenant"],
        row["task"],
        names,
        row["options"],
        row["created_at"],
        hook,
        State(row["state"]),
        row["settled"],
        row["failed"],
        row["billed"],
        row["finished_at"],
    )


def _result(row: Row) -> JobResult:
    outcome, _ = unpack_outcome(row["outcome"])
    size = Size(row["width"], row["height"]) if row["width"] is not None else None
    return JobResult(row["result"], row["place"], outcome, size)


# -- deliveries


def _deliver(
    db: Connection, job: Row, kind: str, now: float, *, place: int = 0, number: int = 0
) -> None:
    if not job["hook_url"]:
        return
    db.execute(
        "INSERT INTO deliveries (id, tenant, job, kind, place, result, url, host, created_at, due_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            f"{job['id']}-{place if number else 'end'}",
            job["tenant"],
            job["id"],
            kind,
            place,
            number,
            job["hook_url"],
            host_of(job["hook_url"]),
            now,
            now,
        ),
    )


_HOSTS = """
WITH RECURSIVE hosts (host) AS (
    SELECT min(host) FROM deliveries WHERE dead = 0
    UNION ALL
    SELECT (SELECT min(host) FROM deliveries WHERE dead = 0 AND host > hosts.host) FROM hosts WHERE host IS NOT NULL
)
SELECT host FROM hosts WHERE host IS NOT NULL
"""


def claim(db: Connection, now: float, until: float, count: int, *, per_host: int) -> list[Delivery]:
    """Looks at a few of each host only, however many wait."""
    due: list[Row] = []
    for (host,) in db.execute(_HOSTS).fetchall():
        (leased,) = db.execute(
            "SELECT count(*) FROM deliveries WHERE dead = 0 AND host = ? AND leased_until > ?",
            (host, now),
        ).fetchone()
        due += db.execute(
            "SELECT * FROM deliveries WHERE dead = 0 AND host = ? AND due_at <= ? ORDER BY due_at, id LIMIT ?",
            (host, now, max(per_host - leased, 0)),
        )
    taken = sorted(due, key=lambda row: (row["due_at"], row["id"]))[:count]
    for row in taken:
        db.execute(
            "UPDATE deliveries SET due_at = ?, leased_until = ? WHERE id = ?",
            (until, until, row["id"]),
        )
    return [_delivery(row) for row in taken]


def made(db: Connection, delivery_id: str) -> None:
    db.execute("DELETE FROM deliveries WHERE id = ?", (delivery_id,))


def failed(db: Connection, delivery_id: str, error: str, again_at: float | None) -> None:
    db.execute(
        "UPDATE deliveries SET attempts = attempts + 1, last_error = ?, leased_until = 0,"
        " dead = ?, due_at = coalesce(?, due_at) WHERE id = ?",
        (error, again_at is None, again_at, delivery_id),
    )


def dead(db: Connection, limit: int) -> list[Delivery]:
    rows = db.execute(
        "SELECT * FROM deliveries WHERE dead = 1 ORDER BY created_at DESC, rowid DESC LIMIT ?",
        (limit,),
    )
    return [_delivery(row) for row in rows]


def replay(db: Connection, delivery_ids: Sequence[str], now: float) -> int:
    again = "UPDATE deliveries SET dead = 0, attempts = 0, due_at = ? WHERE dead = 1"
    if not delivery_ids:
        return db.execute(again, (now,)).rowcount
    return sum(db.execute(f"{again} AND id = ?", (now, each)).rowcount for each in delivery_ids)


def _delivery(row: Row) -> Delivery:
    return Delivery(
        row["id"],
        row["tenant"],
        row["job"],
        row["kind"],
        row["place"],
        row["url"],
        row["attempts"],
        row["due_at"],
        row["created_at"],
        row["last_error"],
        row["result"],
    )


def refuse(db: Connection, job_id: str, refused: Mapping[int, GatewayError], now: float) -> None:
    """Settles the photos that were refused."""
    for place, error in refused.items():
        settle(db, job_id, place, Outcome(None, error=error), None, now=now)
