"""Entries, settlements and charges as rows of arguments. The scripts read them by the same
fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any, NamedTuple

from gateway.core.model import BufferEntry, BufferLane, Lane, Photo
from gateway.ledger.accounts import Account, AccountKey, Charges, shares
from gateway.ledger.budgets import Demand, Meters
from gateway.store import codec
from gateway.store.buffer import Commit, Settlement
from gateway.store.codec import lane_key
from gateway.store.redis.layouts import PRIORITIES
from thresholds.shape import ALONE


class PhotoRow(NamedTuple):
    """A photo that is put. `cells` are those of the lane's shape; `job` is '' for a client's photo;
    `account` is the text of its account's key."""

    id: str
    lane: str
    alone_lane: str
    cells: int
    priority: str
    tenant: str
    put_at: str
    due_at: str
    byte_count: int
    pixels: int
    job: str
    job_index: int
    account: str
    meta: bytes


class CallRow(NamedTuple):
    """A photo on a canvas that is about to be asked about, and its share of the image, which the
    account owes."""

    id: str
    turn: int
    account: str
    share: float


class SettlementRow(NamedTuple):
    """A photo that leaves with an outcome. `failed`, `answered` and `cached` are 0 or 1; `billed`
    is in images; `account` is '' where it is not known."""

    id: str
    turn: int
    outcome: bytes
    failed: int
    billed: float
    account: str
    answered: int
    alone_usd: float
    cached: int


class RequeueRow(NamedTuple):
    """A photo that waits again, in a new lane."""

    id: str
    turn: int
    lane: str
    cells: int
    put_at: str
    due_at: str
    byte_count: int
    pixels: int
    meta: bytes
    alone_lane: str


class ChargeRow(NamedTuple):
    """What is added to an account. The fields after the first are those of Account."""

    account: str
    photos: int
    answered: int
    billed: float
    unknown: float
    paid_usd: float
    alone_usd: float
    cached: int
    learning: float
    watching: float


class MeterRow(NamedTuple):
    """What is added to the meter of a budget."""

    meter: str
    amount: float


class DemandRow(NamedTuple):
    """What one of a call's charges, by its index, demands of a meter."""

    charge: int
    meter: str
    amount: float
    limit: float


class ClaimRow(NamedTuple):
    """Units that a request takes of a rate limit."""

    name: str
    units: float
    per_s: float
    burst: float


ROWS: Mapping[str, Any] = {
    "PHOTO_ROW": PhotoRow,
    "CALL_ROW": CallRow,
    "SETTLEMENT_ROW": SettlementRow,
    "REQUEUE_ROW": RequeueRow,
    "CHARGE_ROW": ChargeRow,
    "METER_ROW": MeterRow,
    "DEMAND_ROW": DemandRow,
    "CLAIM_ROW": ClaimRow,
}
"""By their names in Lua."""


def photo_row(entry: BufferEntry) -> PhotoRow:
    lane, photo = entry.lane, entry.photo
    return PhotoRow(
        id=photo.id,
        lane=lane_key(lane),
        alone_lane=_alone_lane(lane),
        cells=lane.shape.cells,
        priority=PRIORITIES[entry.patient],
        tenant=entry.tenant,
        put_at=repr(entry.put_at),
        due_at=repr(entry.due_at),
        byte_count=len(photo.payload),
        pixels=photo.pixels,
        job=entry.job,
        job_index=entry.index,
        account=AccountKey.of_entry(entry).text,
        meta=codec.pack_entry(entry),
    )


def call_rows(entries: Sequence[BufferEntry]) -> list[CallRow]:
    """The photos of a canvas."""
    rows: list[CallRow] = []
    for entry, share in zip(entries, shares(entries), strict=True):
        account = AccountKey.of_entry(entry, entry.lane.provider)
        rows.append(CallRow(entry.photo.id, entry.turn, account.text, share))
    return rows


def settlement_row(settlement: Settlement) -> SettlementRow:
    entry, outcome = settlement.entry, settlement.outcome
    photo = entry.photo if isinstance(entry.photo, Photo) else None
    stored = outcome if outcome.photo else replace(outcome, photo=photo)
    account = settlement.account
    return SettlementRow(
        id=entry.photo.id,
        turn=entry.turn,
        outcome=codec.pack_outcome(stored),
        failed=int(outcome.error is not None),
        billed=outcome.share,
        account=settlement.account_key.text,
        answered=account.answered,
        alone_usd=account.alone_usd,
        cached=account.cached,
    )


def requeue_row(entry: BufferEntry) -> RequeueRow:
    lane, photo = entry.lane, entry.photo
    return RequeueRow(
        id=photo.id,
        turn=entry.turn,
        lane=lane_key(lane),
        cells=lane.shape.cells,
        put_at=repr(entry.put_at),
        due_at=repr(entry.due_at),
        byte_count=len(photo.payload),
        pixels=photo.pixels,
        meta=codec.pack_entry(entry),
        alone_lane=_alone_lane(lane),
    )


def charge_rows(charges: Charges) -> list[ChargeRow]:
    return [_charge_row(key, account) for key, account in charges.items()]


def _charge_row(key: AccountKey, account: Account) -> ChargeRow:
    return ChargeRow(key.text, *astuple(account))


def meter_rows(meters: Meters) -> list[MeterRow]:
    return [MeterRow(*meter) for meter in meters.items()]


def demand_rows(demands: Sequence[Sequence[Demand]]) -> list[DemandRow]:
    """What several charges demand, in their order."""
    rows: list[DemandRow] = []
    for charge, each in enumerate(demands):
        rows += [DemandRow(charge, *demand) for demand in each]
    return rows


def lists(commit: Commit) -> list[Any]:
    """The five lists of a commit, each with its length before it."""
    return [
        *flat_list([settlement_row(settlement) for settlement in commit.settlements]),
        *flat_list([requeue_row(entry) for entry in commit.requeues]),
        *(len(commit.withdrawn_ids), *commit.withdrawn_ids),
        *flat_list(charge_rows(commit.charges)),
        *flat_list(meter_rows(commit.meters)),
    ]


def flat(rows: Iterable[Sequence[Any]]) -> list[Any]:
    """The rows' values, one row after the other."""
    return [value for row in rows for value in row]


def flat_list(rows: Sequence[Sequence[Any]]) -> list[Any]:
    """The number of rows, then their values."""
    return [len(rows), *flat(rows)]


def _alone_lane(lane: BufferLane) -> str:
    """The lane in which a photo is asked about alone."""
    return lane_key(lane._replace(shape=ALONE) if isinstance(lane, Lane) else lane)
