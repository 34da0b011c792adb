"""Tenants share limits fairly: nobody starves anybody."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.fair_share import FairBudget, FairSlots, fair_level
from tests.support.waiting import wait_until

USES = st.lists(st.floats(0, 1_000), max_size=8)


class TestLevel:
    @pytest.mark.parametrize(
        ("uses", "seats", "level"),
        [
            ([], 0, 100),
            ([], 1, 100),
            ([80], 0, 100),
            ([80], 1, 50),
            ([30], 1, 70),
            ([10, 90, 90], 0, 45),
            ([10, 20, 90], 0, 70),
            ([50, 50], 1, 100 / 3),
        ],
    )
    def test_small_uses_are_kept_and_the_rest_is_divided(
        self, uses: list[float], seats: int, level: float
    ) -> None:
        """Uses below the level are kept whole, and the others get what is left in equal parts."""
        assert fair_level(uses, 100, seats=seats) == pytest.approx(level)

    @given(USES, st.floats(1, 1_000), st.integers(0, 3))
    def test_all_that_use_at_most_the_level_fit(
        self, uses: list[float], limit: float, seats: int
    ) -> None:
        """The uses up to the level and the free seats together do not exceed the limit."""
        level = fair_level(uses, limit, seats=seats)
        if uses or seats:
            total = sum(min(use, level) for use in uses) + seats * level
            assert total <= limit * (1 + 1e-9)

    @given(USES.filter(bool), st.floats(1, 1_000))
    def test_a_newcomer_lowers_the_level(self, uses: list[float], limit: float) -> None:
        """A seat that is kept free makes nobody's share larger."""
        assert fair_level(uses, limit, seats=1) <= fair_level(uses, limit) + 1e-9


class TestBudget:
    def test_half_of_a_limit_is_for_everybody(self) -> None:
        """Up to half of the limit a tenant takes what it needs, however many there are."""
        budget = FairBudget(100, tenants=10)
        budget.take("crowd", 10)
        assert budget.has_room("crowd", 40)
        assert not budget.has_room("crowd", 41)

    def test_a_tenant_without_others_uses_everything(self) -> None:
        """Where there is one tenant only, its share is the whole limit."""
        budget = FairBudget(100)
        budget.take("one", 60)
        assert budget.has_room("one", 40)
        assert not budget.has_room("one", 41)

    def test_a_newcomer_finds_room_beside_a_crowd(self) -> None:
        """However much one tenant asks for, another one still gets its first photos."""
        budget = FairBudget(100, tenants=2)
        while budget.has_room("crowd"):
            budget.take("crowd")
        assert budget.uses["crowd"] == 50
        while budget.has_room("small"):
            budget.take("small")
        assert budget.uses["small"] == 50

    def test_a_large_first_piece_is_taken(self) -> None:
        """A tenant that uses nothing gets what is there: the largest photo must fit somewhere."""
        assert FairBudget(100, tenants=10).has_room("one", 100)
        assert not FairBudget(100, tenants=10).has_room("one", 101)

    def test_a_cap_is_below_the_share(self) -> None:
        """A limit of a single tenant holds even where there is room."""
        budget = FairBudget(100, caps={"small": 5})
        budget.take("small", 4)
        assert budget.has_room("small", 1)
        assert not budget.has_room("small", 2)
        assert budget.has_room("other", 90)

    def test_what_is_given_back_is_free_again(self) -> None:
        """A tenant that has given everything back is as one that never came."""
        budget = FairBudget(10)
        budget.take("one", 10)
        budget.give_back("one", 10)
        assert budget.uses == Counter()
        assert budget.has_room("two", 10)

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30)), max_size=60))
    def test_no_sequence_exceeds_the_limit(self, requests: list[tuple[str, int]]) -> None:
        """Whatever is asked for in whichever order, the uses never exceed the limit, and a tenant
        that was refused uses more than any share below its own."""
        budget = FairBudget(100, tenants=3)
        for tenant, amount in requests:
            if budget.has_room(tenant, amount):
                budget.take(tenant, amount)
            assert budget.uses.total() <= 100


class TestSlots:
    async def test_tenants_take_turns_in_the_line(self) -> None:
        """A tenant with one request waits for one slot, not for the whole line of another."""
        slots, order = FairSlots(1, tenants=2), []

        async def work(tenant: str) -> None:
            assert await slots.acquire(tenant, 10)
            order.append(tenant)
            await asyncio.sleep(0)
            slots.release(tenant)

        assert await slots.acquire("earlier", 10)
        async with asyncio.TaskGroup() as tasks:
            for tenant in ("crowd", "crowd", "crowd", "small"):
                tasks.create_task(work(tenant))
            await asyncio.sleep(0)
            slots.release("earlier")
        assert order == ["crowd", "small", "crowd", "crowd"]

    async def test_a_share_of_the_slots_stays_free(self) -> None:
        """A tenant whose requests hang does not hold every slot."""
        slots = FairSlots(4, tenants=2)
        hanging = [asyncio.create_task(slots.acquire("crowd", 10)) for _ in range(4)]
        await wait_until(lambda: sum(task.done() for task in hanging) == 2)
        assert await slots.acquire("small", 0.01)
        for task in hanging:
            task.cancel()

    async def test_a_slot_that_comes_too_late_is_not_taken(self) -> None:
        """Where no slot becomes free in time nothing is held, and the next one is free again."""
        slots = FairSlots(1)
        assert await slots.acquire("one", 1)
        assert not await slots.acquire("one", 0.01)
        slots.release("one")
        assert await slots.acquire("two", 0.01)

    async def test_a_request_that_is_cancelled_leaves_the_line(self) -> None:
        """A client that leaves while it waits takes no slot from the next one."""
        slots = FairSlots(1)
        assert await slots.acquire("one", 1)
        gone = asyncio.create_task(slots.acquire("two", 10))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        slots.release("one")
        assert await slots.acquire("three", 0.01)
