"""Every store of deliveries meets these requirements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.core.errors import BadFormat
from gateway.store.jobs import Job, WebhookTarget, end_delivery_id
from gateway.store.redis.jobs import RedisJobStore
from gateway.store.sqlite.jobs import SqliteJobStore
from tests.support.clocks import HandClock
from tests.support.jobs import JobBuilder
from tests.support.waiting import wait_until

HOOK = WebhookTarget("https://shop.example/hook")
EACH = WebhookTarget("https://shop.example/hook", each_photo=True)


@pytest.fixture
def end_job(store: RedisJobStore | SqliteJobStore, make: JobBuilder) -> Callable[..., Any]:
    """`await end_job(hook)`: a job of one photo, which has ended; for each, one delivery is due."""

    async def end_job(hook: WebhookTarget | None = HOOK, tenant: str = "shop") -> Job:
        job = make.job(1, tenant=tenant, hook=hook)
        await store.submit(job, [], {0: BadFormat("no picture")})
        return job

    return end_job


class TestCreated:
    async def test_the_end_of_a_job_is_due_once(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder, clock: HandClock
    ) -> None:
        """The end of a job that has a hook is due for delivery once."""
        job = make.job(2, hook=HOOK)
        await store.submit(job, make.entries(job))
        await store.settle(job.id, 0, make.outcome(), None)
        assert await store.deliveries.claim(clock.now, 60, 9) == []
        await store.settle(job.id, 1, make.outcome(), None)
        await store.settle(job.id, 1, make.outcome(), None)
        (due,) = await store.deliveries.claim(clock.now, 60, 9)
        assert (due.kind, due.tenant, due.job, due.url) == ("job.done", "shop", job.id, HOOK.url)
        assert (due.attempts, due.created_at, due.last_error, due.number) == (0, clock.now, "", 0)

    async def test_an_aborted_job_is_due_once(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder, clock: HandClock
    ) -> None:
        """The abort of a job that has a hook is due for delivery once."""
        job = make.job(2, hook=HOOK)
        await store.submit(job, make.entries(job))
        await store.abort("shop", job.id)
        await store.abort("shop", job.id)
        assert [due.kind for due in await store.deliveries.claim(clock.now, 60, 9)] == [
            "job.aborted"
        ]

    async def test_a_photo_hook_gets_every_photo(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder, clock: HandClock
    ) -> None:
        """A hook for each photo also gets each photo, by its index and its result's number."""
        job = make.job(2, hook=EACH)
        await store.submit(job, [make.entry(job, 0)], {1: BadFormat("no picture")})
        await store.settle(job.id, 0, make.outcome(), None)
        due = await store.deliveries.claim(clock.now, 60, 9)
        assert sorted((each.kind, each.index, each.number) for each in due) == [
            ("job.done", 0, 0),
            ("photo.settled", 0, 2),
            ("photo.settled", 1, 1),
        ]
        assert len({each.id for each in due}) == 3

    async def test_a_job_without_hook_has_no_delivery(
        self, store: RedisJobStore | SqliteJobStore, end_job: Callable[..., Any], clock: HandClock
    ) -> None:
        """A job without a hook has no delivery."""
        await end_job(hook=None)
        assert await store.deliveries.claim(clock.now, 60, 9) == []


class TestClaim:
    async def test_a_claim_is_exclusive_until_its_lease_ends(
        self, store: RedisJobStore | SqliteJobStore, end_job: Callable[..., Any], clock: HandClock
    ) -> None:
        """A claim is exclusive until its lease ends; then the delivery is due again under the same
        id."""
        await end_job()
        (first,) = await store.deliveries.claim(clock.now, 60, 9)
        assert await store.deliveries.claim(clock.now + 59, 60, 9) == []
        (again,) = await store.deliveries.claim(clock.now + 61, 60, 9)
        assert (again.id, again.attempts) == (first.id, 0)

    async def test_the_earliest_deliveries_are_claimed_first(
        self, store: RedisJobStore | SqliteJobStore, end_job: Callable[..., Any], clock: HandClock
    ) -> None:
        """The earliest deliveries are claimed first, and no more than requested."""
        jobs = []
        for _ in range(3):
            jobs.append(await end_job())
            clock.now += 1
        claimed = [(await store.deliveries.claim(clock.now, 60, 1))[0].job for _ in jobs]
        assert claimed == [job.id for job in jobs]

    async def test_a_later_delivery_is_not_claimed(
        self, store: RedisJobStore | SqliteJobStore, end_job: Callable[..., Any], clock: HandClock
    ) -> None:
        """A delivery that is not yet due is not claimed."""
        await end_job()
        assert await store.deliveries.claim(clock.now - 1, 60, 9) == []

    async def test_one_host_has_few_deliveries_under_way(
        self, store: RedisJobStore | SqliteJobStore, end_job: Callable[..., Any], clock: HandClock
    ) -> None:
        """A host has only a few deliveries under way, and does not delay a later one of another
        host."""
        for _ in range(20):
            await end_job(WebhookTarget("https://slow.example/hook"))
        clock.now += 1
        other = await end_job(WebhookTarget("https://quick.example/hook"))
        first = await store.deliveries.claim(clock.now, 60, 100)
        assert other.id in {due.job for due in first}
        assert 1 < len(first) < 20
        assert await store.deliveries.claim(clock.now, 60, 100) == []
        slow = next(due for due in first if due.job != other.id)
        await store.deliveries.complete(slow.id)
        assert len(await store.deliveries.claim(clock.now, 60, 100)) == 1

    async def test_a_full_host_delays_no_other(
        self, store: RedisJobStore | SqliteJobStore, end_job: Callable[..., Any], clock: HandClock
    ) -> None:
        """A host without a free place delays no other host, however few deliveries are requested,
        and has free places when leases end."""
        for _ in range(20):
            await end_job(WebhookTarget("https://slow.example/hook"))
        clock.now += 1
        first = await store.deliveries.claim(clock.now, 60, 100)
        other = await end_job(WebhookTarget("https://quick.example/hook"))
        assert [due.job for due in await store.deliveries.claim(clock.now, 60, 1)] == [other.id]
        again = await store.deliveries.claim(clock.now + 60, 60, 100)
        assert len(again) == len(first) + 1

    async def test_deliveries_of_several_hosts_come_by_due_time(
        self, store: RedisJobStore | SqliteJobStore, end_job: Callable[..., Any], clock: HandClock
    ) -> None:
        """Deliveries of several hosts are claimed in the order in which they became due."""
        jobs = []
        for host in ("one", "two", "one", "two"):
            jobs.append(await end_job(WebhookTarget(f"https://{host}.example/hook")))
            clock.now += 1
        for pair in (jobs[:2], jobs[2:]):
            assert [due.job for due in await store.deliveries.claim(clock.now, 60, 2)] == [
                job.id for job in pair
            ]


class TestOutcome:
    async def test_an_accepted_delivery_is_never_due_again(
        self, store: RedisJobStore | SqliteJobStore, end_job: Callable[..., Any], clock: HandClock
    ) -> None:
        """A delivery that the receiver accepted is never due again."""
        await end_job()
        (due,) = await store.deliveries.claim(clock.now, 60, 9)
        await store.deliveries.complete(due.id)
        assert await store.deliveries.claim(clock.now + 9e9, 60, 9) == []
        assert await store.deliveries.dead_deliveries() == []

    async def test_a_failed_delivery_is_due_at_its_next_time(
        self, store: RedisJobStore | SqliteJobStore, end_job: Callable[..., Any], clock: HandClock
    ) -> None:
        """A failed delivery is due again at its next time, with its attempts and the reason."""
        await end_job()
        (due,) = await store.deliveries.claim(clock.now, 60, 9)
        await store.deliveries.add_failure(due.id, "status 500", clock.now + 30)
        assert await store.deliveries.claim(clock.now + 29, 60, 9) == []
        (again,) = await store.deliveries.claim(clock.now + 30, 60, 9)
        assert (again.id, again.attempts, again.last_error) == (due.id, 1, "status 500")

    async def test_dead_deliveries_are_listed_latest_first(
        self, store: RedisJobStore | SqliteJobStore, end_job: Callable[..., Any], clock: HandClock
    ) -> None:
        """A dead delivery is never due, and the list has the latest first."""
        jobs = []
        for _ in range(3):
            jobs.append(await end_job())
            clock.now += 1
        for due in await store.deliveries.claim(clock.now, 60, 9):
            await store.deliveries.add_failure(due.id, "gone", None)
        assert await store.deliveries.claim(clock.now + 9e9, 60, 9) == []
        listed = await store.deliveries.dead_deliveries()
        assert [(each.job, each.attempts, each.last_error) for each in listed] == [
            (job.id, 1, "gone") for job in reversed(jobs)
        ]
        assert len(await store.deliveries.dead_deliveries(limit=2)) == 2

    async def test_an_unknown_delivery_is_ignored(
        self, store: RedisJobStore | SqliteJobStore
    ) -> None:
        """The store ignores an outcome of an unknown delivery."""
        await store.deliveries.complete("none")
        await store.deliveries.add_failure("none", "why", None)
        await store.deliveries.add_failure("none", "why", 1.0)
        assert await store.deliveries.dead_deliveries() == []


class TestFind:
    async def test_a_delivery_is_found_until_it_is_made(
        self, store: RedisJobStore | SqliteJobStore, end_job: Callable[..., Any], clock: HandClock
    ) -> None:
        """The delivery about a job's end is found as soon as the job has ended, dead or alive, and
        no longer once it was made."""
        open_id, dead_id, made_id = [end_delivery_id((await end_job()).id) for _ in range(3)]
        await store.deliveries.claim(clock.now, 60, 9)
        await store.deliveries.complete(made_id)
        await store.deliveries.add_failure(dead_id, "gone", None)
        found = await store.deliveries.find([open_id, dead_id, made_id, "none"])
        assert {each.id: (each.dead, each.last_error) for each in found.values()} == {
            open_id: (False, ""),
            dead_id: (True, "gone"),
        }
        assert all(each.id == delivery_id for delivery_id, each in found.items())

    async def test_a_replayed_delivery_is_alive(
        self, store: RedisJobStore | SqliteJobStore, end_job: Callable[..., Any]
    ) -> None:
        """A dead delivery that is replayed is dead no more."""
        delivery_id = end_delivery_id((await end_job()).id)
        await store.deliveries.add_failure(delivery_id, "gone", None)
        await store.deliveries.replay([delivery_id])
        found = await store.deliveries.find([delivery_id])
        assert not found[delivery_id].dead

    async def test_nothing_is_found_in_an_empty_store(
        self, store: RedisJobStore | SqliteJobStore
    ) -> None:
        """An empty store, which has no file yet, finds nothing."""
        assert await store.deliveries.find(["none"]) == {}


class TestReplay:
    async def test_named_dead_deliveries_are_due_now(
        self, store: RedisJobStore | SqliteJobStore, end_job: Callable[..., Any], clock: HandClock
    ) -> None:
        """Replayed dead deliveries are due now, as if they had not been tried."""
        for _ in range(3):
            await end_job()
        for due in await store.deliveries.claim(clock.now, 60, 9):
            await store.deliveries.add_failure(due.id, "gone", None)
        chosen_ids = [each.id for each in await store.deliveries.dead_deliveries()][:2]
        clock.now += 100
        assert await store.deliveries.replay([*chosen_ids, "none"]) == 2
        again = await store.deliveries.claim(clock.now, 60, 9)
        assert {each.id for each in again} == set(chosen_ids)
        assert {each.attempts for each in again} == {0}
        assert len(await store.deliveries.dead_deliveries()) == 1

    async def test_a_replay_without_ids_takes_all_dead_ones(
        self, store: RedisJobStore | SqliteJobStore, end_job: Callable[..., Any], clock: HandClock
    ) -> None:
        """A replay without ids makes all dead deliveries due, and leaves the others unchanged."""
        await end_job()
        (due,) = await store.deliveries.claim(clock.now, 60, 9)
        await store.deliveries.add_failure(due.id, "gone", None)
        await end_job()
        assert await store.deliveries.replay([]) == 1
        assert len(await store.deliveries.claim(clock.now, 60, 9)) == 2
        assert await store.deliveries.replay([]) == 0


async def test_a_job_with_open_deliveries_is_kept(
    opening: Callable[..., Any], make: JobBuilder
) -> None:
    """The store keeps a job while any of its deliveries is open."""
    reported, silent = make.job(1, hook=HOOK), make.job(1)
    async with opening(keep_s=10) as opened:
        store = opened.store
        for job in (reported, silent):
            await store.submit(job, [], {0: BadFormat("no picture")})
        opened.clock.now += 11

        async def only_reported_is_left() -> bool:
            return [job.id for job in (await store.page("shop")).jobs] == [reported.id]

        async with store.running(opened.buffer):
            await wait_until(only_reported_is_left)


async def test_open_deliveries_survive_the_process(
    opening: Callable[..., Any], make: JobBuilder
) -> None:
    """Open deliveries survive the process."""
    job = make.job(1, hook=HOOK)
    async with opening() as opened:
        await opened.store.submit(job, [], {0: BadFormat("no picture")})
    async with opening() as opened:
        assert [
            due.job for due in await opened.store.deliveries.claim(opened.clock.now, 60, 9)
        ] == [job.id]
