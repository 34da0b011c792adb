"""The table of deliveries. Every function is one part of a transaction that the caller opened."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection, Row

from gateway.store.jobs import Delivery, end_delivery_id, host_of

_HOSTS = """
WITH RECURSIVE hosts (host) AS (
    SELECT min(host) FROM deliveries WHERE dead = 0
    UNION ALL
    SELECT (SELECT min(host) FROM deliveries WHERE dead = 0 AND host > hosts.host)
    FROM hosts WHERE host IS NOT NULL
)
SELECT host FROM hosts WHERE host IS NOT NULL
"""
"""Each host once, by one look into the index for each: however many deliveries there are."""
_LEASED = "SELECT count(*) FROM deliveries WHERE dead = 0 AND host = ? AND leased_until > ?"
_DUE = """
SELECT * FROM deliveries WHERE dead = 0 AND host = ? AND due_at <= ? ORDER BY due_at, id LIMIT ?
"""
_REPLAY = "UPDATE deliveries SET dead = 0, attempts = 0, due_at = ? WHERE dead = 1"


def add(
    db: Connection, job: Row, kind: str, now: float, *, place: int = 0, number: int = 0
) -> None:
    """Adds a delivery about a job or, with the number of a result, about the photo at that place.
    Does nothing for a job without a webhook."""
    if not job["hook_url"]:
        return
    db.execute(
        "INSERT INTO deliveries"
        " (id, tenant, job, kind, place, result, url, host, created_at, due_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            f"{job['id']}-{place}" if number else end_delivery_id(job["id"]),
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


def claim(
    db: Connection, now: float, lease_end: float, count: int, *, per_host: int
) -> list[Delivery]:
    """The due deliveries, leased until then: the earliest first, a few of each host."""
    due: list[Row] = []
    for (host,) in db.execute(_HOSTS).fetchall():
        (leased,) = db.execute(_LEASED, (host, now)).fetchone()
        due += db.execute(_DUE, (host, now, max(per_host - leased, 0)))
    due.sort(key=lambda row: (row["due_at"], row["id"]))
    for row in due[:count]:
        db.execute(
            "UPDATE deliveries SET due_at = ?, leased_until = ? WHERE id = ?",
            (lease_end, lease_end, row["id"]),
        )
    return [_delivery(row) for row in due[:count]]


def remove(db: Connection, delivery_id: str) -> None:
    db.execute("DELETE FROM deliveries WHERE id = ?", (delivery_id,))


def add_failure(db: Connection, delivery_id: str, error: str, again_at: float | None) -> None:
    """Counts a failed attempt; the delivery is due again then, and dead with None."""
    db.execute(
        "UPDATE deliveries SET attempts = attempts + 1, last_error = ?, leased_until = 0,"
        " dead = ?, due_at = coalesce(?, due_at) WHERE id = ?",
        (error, again_at is None, again_at, delivery_id),
    )


def dead_deliveries(db: Connection, limit: int) -> list[Delivery]:
    """Latest first."""
    rows = db.execute(
        "SELECT * FROM deliveries WHERE dead = 1 ORDER BY created_at DESC, rowid DESC LIMIT ?",
        (limit,),
    )
    return [_delivery(row) for row in rows]


def find(db: Connection, delivery_ids: Sequence[str]) -> dict[str, Delivery]:
    """Those of the deliveries that there are, by their ids."""
    deliveries: dict[str, Delivery] = {}
    for delivery_id in delivery_ids:
        row = db.execute("SELECT * FROM deliveries WHERE id = ?", (delivery_id,)).fetchone()
        if row is not None:
            deliveries[delivery_id] = _delivery(row)
    return deliveries


def replay(db: Connection, delivery_ids: Sequence[str], now: float) -> int:
    """How many dead deliveries are due again: all of them where no id is given."""
    if not delivery_ids:
        return db.execute(_REPLAY, (now,)).rowcount
    count = 0
    for delivery_id in delivery_ids:
        count += db.execute(f"{_REPLAY} AND id = ?", (now, delivery_id)).rowcount
    return count


def _delivery(row: Row) -> Delivery:
    return Delivery(
        id=row["id"],
        tenant=row["tenant"],
        job=row["job"],
        kind=row["kind"],
        index=row["place"],
        url=row["url"],
        attempts=row["attempts"],
        due_at=row["due_at"],
        created_at=row["created_at"],
        last_error=row["last_error"],
        number=row["result"],
        dead=bool(row["dead"]),
    )
