"""The tables of the ledger, by day, and of the calls under way. Every function is one part of a
transaction that the caller opened.

A call is in the table from before it is made until its end is recorded. If its process dies, the
call is charged as one that may be billed and stays for a while: if the process is alive after all
and records the end, the charge is taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from datetime import UTC, datetime
from sqlite3 import Connection, Row

import msgspec

from gateway.ledger.accounts import Account, Charges

LOST_AFTER_S = 3600.0
"""A call that began longer ago is lost, whether its process lives or not."""

_CHARGE = """
INSERT INTO ledger (day, tenant, photos, answered, billed, unknown, paid_usd, alone_usd)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (day, tenant) DO UPDATE SET
    photos = photos + excluded.photos, answered = answered + excluded.answered,
    billed = billed + excluded.billed, unknown = unknown + excluded.unknown,
    paid_usd = paid_usd + excluded.paid_usd, alone_usd = alone_usd + excluded.alone_usd
"""
_TOTALS = """
SELECT tenant, sum(photos), sum(answered), sum(billed), sum(unknown), sum(paid_usd), sum(alone_usd)
FROM ledger GROUP BY tenant ORDER BY tenant
"""
_BY_DAY = """
SELECT day, tenant, photos, answered, billed, unknown, paid_usd, alone_usd
FROM ledger ORDER BY day DESC, tenant
"""
_BEGIN_CALL = "REPLACE INTO calls (canvas, process, day, began_at, shares) VALUES (?, ?, ?, ?, ?)"
_OF_OTHERS = "SELECT * FROM calls WHERE NOT charged AND process != ?"
_OLD = "SELECT * FROM calls WHERE NOT charged AND began_at < ?"
_decode_shares = msgspec.json.Decoder(dict[str, float]).decode


def day_of(at: float) -> str:
    """The day of a time in Unix seconds, UTC."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def charge(db: Connection, day: str, charges: Charges) -> None:
    """Adds the charges to a day's accounts."""
    for tenant, account in charges.items():
        db.execute(_CHARGE, (day, tenant, *astuple(account)))


def totals(db: Connection) -> dict[str, Account]:
    """The accounts by tenant, of all days together."""
    return {tenant: Account(*amounts) for tenant, *amounts in db.execute(_TOTALS)}


def by_day(db: Connection) -> dict[str, Mapping[str, Account]]:
    """The accounts by day and tenant, latest day first."""
    days: dict[str, dict[str, Account]] = {}
    for day, tenant, *amounts in db.execute(_BY_DAY):
        days.setdefault(day, {})[tenant] = Account(*amounts)
    return dict(days)


def begin_call(db: Connection, canvas: str, process: str, now: float, charges: Charges) -> None:
    """Notes a call of a process; `charges` are the tenants' shares of an image that may be
    billed."""
    shares = {tenant: account.unknown for tenant, account in charges.items()}
    row = (canvas, process, day_of(now), now, msgspec.json.encode(shares))
    db.execute(_BEGIN_CALL, row)


def end_call(db: Connection, canvas: str) -> None:
    """Forgets a call whose end is recorded."""
    row = db.execute("SELECT * FROM calls WHERE canvas = ?", (canvas,)).fetchone()
    if row is None:
        return
    db.execute("DELETE FROM calls WHERE canvas = ?", (canvas,))
    if row["charged"]:
        charge(db, row["day"], _unknown_shares(row, sign=-1))


def charge_calls_of_others(db: Connection, process: str) -> None:
    """Charges the calls of other processes than this one as calls that may be billed."""
    for row in db.execute(_OF_OTHERS, (process,)).fetchall():
        charge(db, row["day"], _unknown_shares(row))
        db.execute("UPDATE calls SET charged = 1 WHERE canvas = ?", (row["canvas"],))


def forget_old_calls(db: Connection, now: float) -> None:
    """Charges calls that began too long ago to be answered, and forgets them."""
    for row in db.execute(_OLD, (now - LOST_AFTER_S,)).fetchall():
        charge(db, row["day"], _unknown_shares(row))
    db.execute("DELETE FROM calls WHERE began_at < ?", (now - LOST_AFTER_S,))


def charge_open_calls(db: Connection, process: str) -> None:
    """Charges the calls of a process that ends as calls that may be billed."""
    for row in db.execute("SELECT * FROM calls WHERE process = ?", (process,)).fetchall():
        if not row["charged"]:
            charge(db, row["day"], _unknown_shares(row))
    db.execute("DELETE FROM calls WHERE process = ?", (process,))


def _unknown_shares(row: Row, sign: int = 1) -> Charges:
    shares = _decode_shares(row["shares"])
    return {tenant: Account(unknown=sign * share) for tenant, share in shares.items()}
