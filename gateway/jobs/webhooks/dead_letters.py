"""Sends dead deliveries again."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.store.jobs import DeliveryStore


async def replay(store: DeliveryStore, ids: Sequence[str], *, everything: bool) -> int:
    """Makes the named dead deliveries due now, or all of them, and returns how many. Raises
    ValueError unless ids are named or `everything` is set, but not both."""
    if bool(ids) == everything:
        raise ValueError("name the deliveries to replay, or say --all")
    return await store.replay(ids)
