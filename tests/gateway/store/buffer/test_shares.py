"""Every buffer gives each tenant a fair share of its room."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.errors import Busy
from gateway.core.model import Entry
from gateway.store.buffer import Buffer, Capacity, Commit
from tests.gateway.store.buffer.conftest import Open
from tests.gateway.store.buffer.test_conformance import entry, settle


async def fill(buffer: Buffer, tenant: str, **fields: Any) -> list[Entry]:
    """The photos of the tenant that the buffer takes, one by one, until it refuses one."""
    taken: list[Entry] = []
    while len(taken) < 1_000:
        photo = entry(f"{tenant}-{len(taken)}", tenant=tenant, **fields)
        try:
            await buffer.put([photo])
        except Busy:
            break
        taken.append(photo)
    return taken


@pytest.mark.parametrize(
    ("capacity", "fields"),
    [
        (Capacity(photos=40), {}),
        (Capacity(bytes=40 * 5), {"data": b"12345"}),
        (Capacity(pixels=40 * 12), {"size": (4, 3)}),
    ],
    ids=["photos", "bytes", "pixels"],
)
async def test_a_crowd_leaves_a_share_free(
    opened: Open, capacity: Capacity, fields: dict[str, Any]
) -> None:
    """Of two tenants the first one can fill half of each measure, and the second finds the other
    half."""
    async with opened(capacity, tenants=2) as buffer:
        assert len(await fill(buffer, "crowd", **fields)) == 20
        assert len(await fill(buffer, "small", **fields)) == 20


async def test_a_single_tenant_fills_the_buffer(opened: Open) -> None:
    """A gateway with one tenant keeps no share free for others."""
    async with opened(Capacity(photos=40)) as buffer:
        assert len(await fill(buffer, "only")) == 40


async def test_the_refusal_says_whose_room_is_full(opened: Open) -> None:
    """A tenant at its share is told so, and one that finds the buffer full is told that."""
    async with opened(Capacity(photos=4), tenants=2) as buffer:
        await fill(buffer, "crowd")
        with pytest.raises(Busy, match=r"^Your share of the buffer is full \(photos"):
            await buffer.put([entry("one more", tenant="crowd")])
        await fill(buffer, "small")
        with pytest.raises(Busy, match=r"^The buffer is full \(photos"):
            await buffer.put([entry("and another", tenant="small")])


async def test_all_photos_of_a_call_are_taken_or_none(opened: Open) -> None:
    """A call of more photos than the tenant's share is refused whole."""
    async with opened(Capacity(photos=10), tenants=2) as buffer:
        await buffer.put([entry("first", tenant="crowd")])
        with pytest.raises(Busy):
            await buffer.put([entry(f"more {number}", tenant="crowd") for number in range(9)])
        assert (await buffer.occupancy()).photos == 1


async def test_what_leaves_makes_room(opened: Open) -> None:
    """Settled and withdrawn photos leave room in their tenant's share."""
    async with opened(Capacity(photos=10), tenants=2) as buffer:
        taken = await fill(buffer, "crowd")
        (claimed,) = await buffer.claim(taken[0].lane, 1e12, most=1)
        await settle(buffer, claimed)
        await buffer.commit(Commit(withdrawn_ids=[taken[-1].photo.id]))
        for name in ("one", "two"):
            await buffer.put([entry(name, tenant="crowd")])
        with pytest.raises(Busy):
            await buffer.put([entry("three", tenant="crowd")])


async def test_jobs_and_clients_have_rooms_of_their_own(opened: Open) -> None:
    """Photos of a tenant's jobs take nothing of its share for clients that wait."""
    async with opened(Capacity(photos=10), tenants=2) as buffer:
        assert len(await fill(buffer, "shop", job="job")) == 5
        assert len(await fill(buffer, "farm")) == 5


async def test_a_cap_limits_one_tenant(opened: Open) -> None:
    """A limit of a single tenant holds though there is room, and limits no other."""
    caps = {"small": Capacity(photos=3)}
    async with opened(Capacity(photos=20), tenants=2, caps=caps) as buffer:
        assert len(await fill(buffer, "small")) == 3
        assert len(await fill(buffer, "crowd")) == 17
