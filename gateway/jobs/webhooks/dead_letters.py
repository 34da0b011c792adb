"""Sends dead deliveries again."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.store.jobs import DeliveryStore


async def replay(store: DeliveryStore, ids: Sequence[str], *, everything: bool) -> int:
    """Makes these due now, or all. Raises ValueError unless it is one or the other: none named is
    not all."""
    if bool(ids) == everything:
        raise ValueError("name the deliveries to replay, or say --all")
    return await store.replay(ids)
