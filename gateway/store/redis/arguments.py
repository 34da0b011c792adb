"""Entries, settlements and charges as the scripts in gateway/store/redis/lua/buffer read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway.core.model import BufferEntry, BufferLane, Lane, Photo
from gateway.ledger.accounts import Account
from gateway.store import codec
from gateway.store.buffer import Settlement
from gateway.store.codec import lane_key
from thresholds.shape import ALONE


def _alone(lane: BufferLane) -> str:
    """The lane of a photo that killed its holders."""
    return lane_key(lane._replace(shape=ALONE) if isinstance(lane, Lane) else lane)


def described(entry: BufferEntry) -> tuple[Any, ...]:
    """As put.lua reads it."""
    lane, photo = entry.lane, entry.photo
    return (
        photo.id,
        lane_key(lane),
        _alone(lane),
        lane.shape.cells,
        int(entry.patient),
        entry.tenant,
        repr(entry.put_at),
        repr(entry.due_at),
        len(photo.payload),
        photo.pixels,
        entry.job,
        entry.index,
        codec.pack_entry(entry),
    )


def settled(each: Settlement) -> tuple[Any, ...]:
    entry, outcome = each.entry, each.outcome
    photo = entry.photo if isinstance(entry.photo, Photo) else None
    kept = outcome if outcome.photo else replace(outcome, photo=photo)
    return (
        entry.photo.id,
        entry.turn,
        codec.pack_outcome(kept),
        int(outcome.error is not None),
        outcome.share,
        each.account.answered,
        each.account.alone_usd,
    )


def again(entry: BufferEntry) -> tuple[Any, ...]:
    photo, lane = entry.photo, entry.lane
    return (
        photo.id,
        entry.turn,
        lane_key(lane),
        lane.shape.cells,
        repr(entry.put_at),
        repr(entry.due_at),
        len(photo.payload),
        photo.pixels,
        codec.pack_entry(entry),
        _alone(lane),
    )


def charged(tenant: str, account: Account) -> tuple[Any, ...]:
    return (
        tenant,
        account.billed,
        account.unknown,
        account.paid_usd,
        account.photos,
        account.answered,
        account.alone_usd,
    )


def listed(rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [len(rows), *(value for row in rows for value in row)]
