"""Every store of jobs meets these requirements."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.errors import BadFormat, Busy, Conflict, NotFound
from gateway.core.model import Outcome, Size
from gateway.store.buffer import Capacity
from gateway.store.jobs import KEY_LASTS_S, State, WebhookTarget
from gateway.store.redis.jobs import RedisJobStore
from gateway.store.sqlite.jobs import SqliteJobStore
from tests.gateway.store.jobs.conftest import OpenJobStore
from tests.support.clocks import HandClock
from tests.support.jobs import JobBuilder
from tests.support.waiting import wait_until

HOOK = WebhookTarget("https://shop.example/hook")


class TestSubmit:
    async def test_a_job_is_read_as_it_was_submitted(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder
    ) -> None:
        """An accepted job is read as it was submitted, with nothing settled."""
        job = make.job(2, hook=HOOK)
        assert await store.submit(job, make.entries(job)) == job
        assert await store.find("shop", job.id) == job
        assert job.state is State.RUNNING

    async def test_another_tenants_job_does_not_exist(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder
    ) -> None:
        """A job does not exist for another tenant, and neither does an unknown job."""
        job = make.job()
        await store.submit(job, make.entries(job))
        for tenant, job_id in (("press", job.id), ("shop", "job_none")):
            with pytest.raises(NotFound):
                await store.find(tenant, job_id)

    async def test_refused_photos_are_settled_at_once(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder
    ) -> None:
        """Refused photos are settled at once with their error, and the others wait."""
        job = make.job(3)
        kept = await store.submit(
            job, [make.entry(job, 1)], {0: BadFormat("no picture"), 2: BadFormat("nor this")}
        )
        assert (kept.settled, kept.failed, kept.billed, kept.state) == (2, 2, 0.0, State.RUNNING)
        results = await store.results(job.id)
        assert [(each.number, each.index, str(each.outcome.error)) for each in results] == [
            (1, 0, "no picture"),
            (2, 2, "nor this"),
        ]
        assert isinstance(results[0].outcome.error, BadFormat)

    async def test_a_job_of_refused_photos_has_ended(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder, clock: HandClock
    ) -> None:
        """A job has ended on acceptance when every one of its photos was refused."""
        job = make.job(1, hook=HOOK)
        kept = await store.submit(job, [], {0: BadFormat("no picture")})
        assert (kept.state, kept.finished_at) == (State.DONE, clock.now)
        assert [each.kind for each in await store.deliveries.claim(clock.now, 60, 9)] == [
            "job.done"
        ]

    async def test_a_job_without_room_is_refused_whole(
        self, opening: Callable[..., Any], make: JobBuilder
    ) -> None:
        """The store refuses a whole job when its photos or bytes exceed the room; settled photos
        free room."""
        async with opening() as opened:
            store = opened.store
            large, full, small = make.job(1), make.job(100), make.job(1)
            with pytest.raises(Busy) as busy:
                await store.submit(large, [make.entry(large, 0, bytes(10_001))])
            assert busy.value.retry_after_s
            await store.submit(full, make.entries(full))
            with pytest.raises(Busy):
                await store.submit(small, make.entries(small))
            with pytest.raises(NotFound):
                await store.find("shop", small.id)
            async with store.running(opened.buffer):
                await store.abort("shop", full.id)
            await store.submit(small, make.entries(small))

    async def test_settled_bytes_take_no_room(
        self, opening: Callable[..., Any], make: JobBuilder, answer: Callable[..., Any]
    ) -> None:
        """Bytes of photos that were settled, or whose job has ended, take up no room."""
        async with opening(room=Capacity(photos=100, bytes=100)) as opened:
            store = opened.store
            jobs = [make.job(2) for _ in range(4)]
            async with store.running(opened.buffer):
                for job in jobs:
                    await store.submit(
                        job, [make.entry(job, index, bytes(50)) for index in range(2)]
                    )
                    await answer(opened.buffer, 1, of=job)
                    one = make.job(1)
                    await store.submit(one, [make.entry(one, 0, bytes(50))])
                    for each in (job, one):
                        await store.abort("shop", each.id)


class TestIdempotency:
    async def test_the_same_request_gives_the_same_job(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder
    ) -> None:
        """The same key with the same request gives the first job, and accepts nothing new."""
        first, second = make.job(), make.job()
        await store.submit(first, make.entries(first), key="k", digest="d")
        assert (
            await store.submit(second, make.entries(second), key="k", digest="d")
        ).id == first.id
        with pytest.raises(NotFound):
            await store.find("shop", second.id)

    async def test_a_repeated_request_gives_the_current_job(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder
    ) -> None:
        """A repeated request gives the job in its current state."""
        first, second = make.job(2), make.job(2)
        await store.submit(first, [make.entry(first, 0)], {1: BadFormat("no")}, key="k", digest="d")
        assert (await store.submit(second, make.entries(second), key="k", digest="d")).settled == 1

    async def test_another_request_is_a_conflict(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder
    ) -> None:
        """The same key with another request is a conflict."""
        first, second = make.job(), make.job()
        await store.submit(first, make.entries(first), key="k", digest="d")
        with pytest.raises(Conflict):
            await store.submit(second, make.entries(second), key="k", digest="e")

    async def test_another_key_or_tenant_is_another_job(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder
    ) -> None:
        """Another key is another job, and so is another tenant's same key."""
        jobs = [make.job(), make.job(), make.job(tenant="press")]
        for job, key in zip(jobs, ("k", "l", "k"), strict=True):
            assert (await store.submit(job, make.entries(job), key=key, digest=job.id)).id == job.id

    async def test_a_key_is_free_after_a_day(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder, clock: HandClock
    ) -> None:
        """After a day the key may be used for another request."""
        first, second, third = make.job(), make.job(), make.job()
        await store.submit(first, make.entries(first), key="k", digest="d")
        clock.now += KEY_LASTS_S - 1
        assert (
            await store.submit(second, make.entries(second), key="k", digest="d")
        ).id == first.id
        clock.now += 1
        assert (await store.submit(third, make.entries(third), key="k", digest="e")).id == third.id

    async def test_a_request_without_room_leaves_its_key_unused(
        self, opening: Callable[..., Any], make: JobBuilder
    ) -> None:
        """A key stays unused when its request found no room."""
        first, second = make.job(2), make.job(1)
        async with opening(room=Capacity(photos=1)) as opened:
            with pytest.raises(Busy):
                await opened.store.submit(first, make.entries(first), key="k", digest="d")
            assert (
                await opened.store.submit(second, make.entries(second), key="k", digest="e")
            ).id == second.id

    async def test_one_of_simultaneous_requests_is_accepted(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder
    ) -> None:
        """Only one of simultaneous requests with one key is accepted."""
        jobs = [make.job(1) for _ in range(8)]
        kept = await asyncio.gather(
            *(store.submit(job, make.entries(job), key="k", digest="d") for job in jobs)
        )
        assert len({job.id for job in kept}) == 1
        assert len((await store.page("shop")).jobs) == 1


class TestSettle:
    async def test_a_result_has_outcome_size_and_share(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder
    ) -> None:
        """A photo's result has its outcome and its size, and its share is added to the job's
        bill."""
        job = make.job(2)
        await store.submit(job, make.entries(job))
        outcome = make.outcome(share=0.25)
        await store.settle(job.id, 1, outcome, Size(4, 3))
        (result,) = await store.results(job.id)
        assert (result.number, result.index, result.outcome, result.size) == (
            1,
            1,
            outcome,
            Size(4, 3),
        )
        current = await store.find("shop", job.id)
        assert (current.settled, current.failed, current.billed, current.state) == (
            1,
            0,
            0.25,
            State.RUNNING,
        )

    async def test_a_failed_photo_is_settled_and_billed(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder
    ) -> None:
        """A failed photo is settled too, and its share of the bill still counts."""
        job = make.job(2)
        await store.submit(job, make.entries(job))
        await store.settle(job.id, 0, replace(make.outcome(0.5), error=BadFormat("no")), None)
        current = await store.find("shop", job.id)
        assert (current.settled, current.failed, current.billed) == (1, 1, 0.5)
        (result,) = await store.results(job.id)
        assert result.size is None

    async def test_a_second_outcome_changes_nothing(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder
    ) -> None:
        """A second outcome of a photo changes nothing."""
        job = make.job(2)
        await store.submit(job, make.entries(job))
        first = make.outcome(0.25)
        await store.settle(job.id, 0, first, None)
        await store.settle(job.id, 0, make.outcome(1.0), None)
        assert [each.outcome for each in await store.results(job.id)] == [first]
        assert (await store.find("shop", job.id)).billed == 0.25

    async def test_the_last_photo_ends_the_job(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder, clock: HandClock
    ) -> None:
        """The last photo ends the job."""
        job = make.job(2)
        await store.submit(job, make.entries(job))
        await store.settle(job.id, 1, make.outcome(), None)
        clock.now += 5
        await store.settle(job.id, 0, make.outcome(), None)
        current = await store.find("shop", job.id)
        assert (current.state, current.finished_at, current.settled) == (State.DONE, clock.now, 2)

    async def test_unknown_outcomes_are_dropped(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder
    ) -> None:
        """The store drops outcomes for an unknown job and for a photo that the job does not
        have."""
        job = make.job(1)
        await store.submit(job, make.entries(job))
        await store.settle("job_none", 0, make.outcome(), None)
        await store.settle(job.id, 7, make.outcome(), None)
        assert (await store.find("shop", job.id)).settled == 0

    async def test_results_are_paged_in_settling_order(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder
    ) -> None:
        """The pages of results are in the order of settling."""
        job = make.job(5)
        await store.submit(job, make.entries(job))
        for index in (3, 0, 4, 1):
            await store.settle(job.id, index, make.outcome(), None)
        first = await store.results(job.id, limit=3)
        assert [(each.number, each.index) for each in first] == [(1, 3), (2, 0), (3, 4)]
        assert [each.index for each in await store.results(job.id, after=3, limit=3)] == [1]
        assert await store.results(job.id, after=4) == []


class TestAbort:
    async def test_an_aborted_job_keeps_its_results(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder, clock: HandClock
    ) -> None:
        """An aborted job keeps its results, and gets no more."""
        job = make.job(3, hook=HOOK)
        await store.submit(job, make.entries(job))
        await store.settle(job.id, 2, make.outcome(), None)
        clock.now += 5
        aborted = await store.abort("shop", job.id)
        assert (aborted.state, aborted.settled, aborted.finished_at) == (
            State.ABORTED,
            1,
            clock.now,
        )
        await store.settle(job.id, 0, make.outcome(), None)
        assert await store.find("shop", job.id) == aborted
        assert len(await store.results(job.id)) == 1

    async def test_an_ended_job_cannot_be_aborted(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder, clock: HandClock
    ) -> None:
        """A job that has ended stays as it is."""
        job = make.job(1)
        await store.submit(job, make.entries(job))
        await store.settle(job.id, 0, make.outcome(), None)
        done = await store.find("shop", job.id)
        clock.now += 5
        assert await store.abort("shop", job.id) == done

    async def test_another_tenants_job_cannot_be_aborted(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder
    ) -> None:
        """A tenant cannot abort another tenant's job."""
        job = make.job()
        await store.submit(job, make.entries(job))
        with pytest.raises(NotFound):
            await store.abort("press", job.id)
        assert (await store.find("shop", job.id)).state is State.RUNNING


class TestPage:
    async def test_a_tenants_jobs_come_latest_first(
        self, store: RedisJobStore | SqliteJobStore, make: JobBuilder
    ) -> None:
        """A tenant's own jobs come latest first, and each page says where the next begins."""
        jobs = [make.job(1) for _ in range(5)]
        for job in [*jobs, make.job(1, tenant="press")]:
            await store.submit(job, make.entries(job))
        ids, after = [], ""
        for size in (2, 2, 1):
            page = await store.page("shop", after=after, limit=2)
            assert len(page.jobs) == size
            ids += [job.id for job in page.jobs]
            after = page.next
        assert after == ""
        assert ids == [job.id for job in reversed(jobs)]

    async def test_a_tenant_without_jobs_gets_an_empty_page(
        self, store: RedisJobStore | SqliteJobStore
    ) -> None:
        """A tenant without jobs gets an empty page."""
        page = await store.page("shop")
        assert (list(page.jobs), page.next) == ([], "")


class TestRunning:
    async def test_a_running_store_turns_photos_into_results(
        self, opened: OpenJobStore, make: JobBuilder, answer: Callable[..., Any]
    ) -> None:
        """A running store puts photos of accepted jobs into the buffer, and turns outcomes there
        into results."""
        early, late = make.job(2), make.job(3)
        await opened.store.submit(early, make.entries(early))
        async with opened.store.running(opened.buffer):
            await opened.store.submit(late, make.entries(late))
            settled = await answer(opened.buffer, 5)
            assert len(set(settled)) == 5
        for job in (early, late):
            current = await opened.store.find("shop", job.id)
            assert (current.state, current.billed) == (State.DONE, job.photos / 4)

    async def test_photos_of_an_aborted_job_leave_the_buffer(
        self, opened: OpenJobStore, make: JobBuilder
    ) -> None:
        """Photos of an aborted job leave the buffer."""
        job = make.job(4)
        await opened.store.submit(job, make.entries(job))

        async def held() -> int:
            return (await opened.buffer.occupancy()).photos

        async def empty() -> bool:
            return not await held()

        async with opened.store.running(opened.buffer):
            await wait_until(held)
            await opened.store.abort("shop", job.id)
            await wait_until(empty)

    async def test_a_restarted_store_finishes_the_jobs(
        self, opening: Callable[..., Any], make: JobBuilder, answer: Callable[..., Any]
    ) -> None:
        """The next process finishes accepted photos that were not settled when a process ended, and
        sends each once."""
        job = make.job(3)
        async with opening() as opened:
            await opened.store.submit(job, make.entries(job))
            async with opened.store.running(opened.buffer):
                await answer(opened.buffer, 1)
        async with opening() as opened:
            async with opened.store.running(opened.buffer):
                await answer(opened.buffer, 2)
            assert (await opened.store.find("shop", job.id)).state is State.DONE
            assert [each.number for each in await opened.store.results(job.id)] == [1, 2, 3]

    async def test_a_job_is_forgotten_with_its_own_key(
        self, opening: Callable[..., Any], make: JobBuilder
    ) -> None:
        """The store forgets a job together with its key, unless the key belongs to another job by
        then."""
        first, second, other = make.job(1), make.job(1), make.job(1)
        refused = {0: BadFormat("no")}
        async with opening(keep_s=3600) as opened:
            store = opened.store
            await store.submit(first, [], refused, key="k", digest="d")
            await store.submit(other, [], refused, key="l", digest="d")
            opened.clock.now += KEY_LASTS_S
            await store.submit(second, make.entries(second), key="k", digest="d")

            async def one_left() -> bool:
                return len((await store.page("shop")).jobs) == 1

            async with store.running(opened.buffer):
                await wait_until(one_left)
            assert (await store.submit(first, [], refused, key="k", digest="d")).id == second.id
            assert (await store.submit(other, [], refused, key="l", digest="e")).id == other.id

    async def test_long_ended_jobs_are_forgotten(
        self, opening: Callable[..., Any], make: JobBuilder
    ) -> None:
        """The store forgets jobs that ended long ago, with their results, and keeps running jobs of
        any age."""
        old, running, fresh = make.job(1), make.job(1), make.job(1)
        async with opening(keep_s=3600) as opened:
            store = opened.store
            for job in (old, running):
                await store.submit(job, make.entries(job))
            await store.settle(old.id, 0, make.outcome(), None)
            opened.clock.now += 3601
            await store.submit(fresh, [], {0: BadFormat("no")})

            async def two_left() -> bool:
                return len((await store.page("shop")).jobs) == 2

            async with store.running(opened.buffer):
                await wait_until(two_left)
            assert [job.id for job in (await store.page("shop")).jobs] == [fresh.id, running.id]
            assert await store.results(old.id) == []


async def test_an_error_is_read_as_it_was_written(
    store: RedisJobStore | SqliteJobStore, make: JobBuilder
) -> None:
    """An error is read back as the same error."""
    job = make.job(1)
    await store.submit(job, make.entries(job))
    await store.settle(job.id, 0, Outcome(None, error=Busy("too much")), None)
    (result,) = await store.results(job.id)
    assert (type(result.outcome.error), str(result.outcome.error)) == (Busy, "too much")
