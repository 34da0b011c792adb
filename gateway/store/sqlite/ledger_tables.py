"""The tables of the ledger, by day, and of the calls under way. Every function is one part of a
transaction that the caller opened.

A call is in the table from before it is made until its end is recorded. If its process dies, the
call is charged as one that may be billed and stays for a while: if the process is alive after all
and records the end, the charge is taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from sqlite3 import Connection, Row

import msgspec

from gateway.ledger.accounts import (
    Account,
    AccountKey,
    Charges,
    LedgerRow,
    bounded,
    charges_of,
    day_of,
)
from gateway.ledger.budgets import METERS_KEPT_S, Meters
from gateway.store.ledger import LedgerQuery, in_order

LOST_AFTER_S = 3600.0
"""A call that began longer ago is lost, whether its process lives or not."""

_CHARGE = """
INSERT INTO accounts
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (day, tenant, account) DO UPDATE SET
    photos = photos + excluded.photos, answered = answered + excluded.answered,
    billed = billed + excluded.billed, unknown = unknown + excluded.unknown,
    paid_usd = paid_usd + excluded.paid_usd, alone_usd = alone_usd + excluded.alone_usd,
    cached = cached + excluded.cached, learning = learning + excluded.learning,
    watching = watching + excluded.watching
"""
_KNOWN = "SELECT account FROM accounts WHERE day = ? AND tenant = ?"
_ROWS = """
SELECT day, account, photos, answered, billed, unknown, paid_usd, alone_usd, cached, learning,
    watching
FROM accounts
WHERE day >= :first_day AND (:last_day = '' OR day <= :last_day)
    AND (:tenant = '' OR tenant = :tenant)
UNION ALL
SELECT day, tenant, photos, answered, billed, unknown, paid_usd, alone_usd, 0, 0.0, 0.0
FROM ledger
WHERE day >= :first_day AND (:last_day = '' OR day <= :last_day)
    AND (:tenant = '' OR tenant = :tenant)
"""
_METER = "SELECT amount FROM meters WHERE name = ?"
_ADD_TO_METER = """
INSERT INTO meters (name, amount, changed_at) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
    amount = amount + excluded.amount, changed_at = excluded.changed_at
"""
_FORGET_METERS = "DELETE FROM meters WHERE changed_at < ?"
_BEGIN_CALL = "REPLACE INTO calls (canvas, process, day, began_at, shares) VALUES (?, ?, ?, ?, ?)"
_OF_OTHERS = "SELECT * FROM calls WHERE NOT charged AND process != ?"
_OLD = "SELECT * FROM calls WHERE NOT charged AND began_at < ?"
_decode_shares = msgspec.json.Decoder(dict[str, float]).decode


def charge(db: Connection, day: str, charges: Charges) -> None:
    """Adds the charges to a day's accounts."""
    known_keys: dict[str, set[AccountKey]] = {}
    for key, account in charges.items():
        known = known_keys.setdefault(key.tenant, _known_keys(db, day, key.tenant))
        account_key = bounded(key, known)
        known.add(account_key)
        db.execute(_CHARGE, (day, key.tenant, account_key.text, *astuple(account)))


def _known_keys(db: Connection, day: str, tenant: str) -> set[AccountKey]:
    """The keys of the accounts that a tenant has on a day."""
    return {AccountKey.of_text(text) for (text,) in db.execute(_KNOWN, (day, tenant))}


def rows(db: Connection, query: LedgerQuery) -> list[LedgerRow]:
    """The accounts in order, those of releases before keys among them."""
    stored = db.execute(_ROWS, query._asdict())
    return in_order(
        LedgerRow(day, AccountKey.of_text(text), Account(*amounts))
        for day, text, *amounts in stored
    )


def meters(db: Connection, names: Sequence[str]) -> dict[str, float]:
    """What those of the meters count that something was added to."""
    amounts: dict[str, float] = {}
    for name in names:
        for (amount,) in db.execute(_METER, (name,)):
            amounts[name] = amount
    return amounts


def add_to_meters(db: Connection, meters: Meters, now: float) -> None:
    """Adds amounts to meters, and forgets meters of periods that ended long ago."""
    for name, amount in meters.items():
        db.execute(_ADD_TO_METER, (name, amount, now))
    if meters:
        db.execute(_FORGET_METERS, (now - METERS_KEPT_S,))


def begin_call(db: Connection, canvas: str, process: str, now: float, charges: Charges) -> None:
    """Notes a call of a process; `charges` are the accounts' shares of an image that may be
    billed."""
    shares = {key.text: account.unknown for key, account in charges.items()}
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
    accounts: list[tuple[AccountKey, Account]] = []
    for text, share in shares.items():
        accounts.append((AccountKey.of_text(text), Account(unknown=sign * share)))
    return charges_of(accounts)
