"""What every store of deliveries does."""

import pytest

from gateway.core.errors import BadFormat
from gateway.store.jobs import WebhookTarget
from tests.support.waiting import wait_until

HOOK = WebhookTarget("https://shop.example/hook")
EACH = WebhookTarget("https://shop.example/hook", each_photo=True)


@pytest.fixture
def ended(store, make):
    """`await ended(hook)`: a job of one photo, which has ended; for each, one delivery is due."""

    async def ended(hook=HOOK, tenant="shop"):
        job = make.job(1, tenant=tenant, hook=hook)
        await store.submit(job, [], {0: BadFormat("no picture")})
        return job

    return ended


class TestCreated:
    async def test_done(self, store, make, clock):
        """The end of a job that has a hook is to be delivered, once."""
        job = make.job(2, hook=HOOK)
        await store.submit(job, make.entries(job))
        await store.settle(job.id, 0, make.outcome(), None)
        assert await store.deliveries.claim(clock.now, 60, 9) == []
        await store.settle(job.id, 1, make.outcome(), None)
        await store.settle(job.id, 1, make.outcome(), None)
        (due,) = await store.deliveries.claim(clock.now, 60, 9)
        assert (due.kind, due.tenant, due.job, due.url) == ("job.done", "shop", job.id, HOOK.url)
        assert (due.attempts, due.created_at, due.last_error, due.number) == (0, clock.now, "", 0)

    async def test_aborted(self, store, make, clock):
        """So is its being aborted."""
        job = make.job(2, hook=HOOK)
        await store.submit(job, make.entries(job))
        await store.abort("shop", job.id)
        await store.abort("shop", job.id)
        assert [due.kind for due in await store.deliveries.claim(clock.now, 60, 9)] == [
            "job.aborted"
        ]

    async def test_each_photo(self, store, make, clock):
        """A hook for each photo is told each as well, by its index and its result's number."""
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

    async def test_no_hook(self, store, ended, clock):
        """A job without a hook is told nobody."""
        await ended(hook=None)
        assert await store.deliveries.claim(clock.now, 60, 9) == []


class TestClaim:
    async def test_lease(self, store, ended, clock):
        """Who claims a delivery has it to itself until the lease ends; then it is due again, under
        the same id."""
        await ended()
        (first,) = await store.deliveries.claim(clock.now, 60, 9)
        assert await store.deliveries.claim(clock.now + 59, 60, 9) == []
        (again,) = await store.deliveries.claim(clock.now + 61, 60, 9)
        assert (again.id, again.attempts) == (first.id, 0)

    async def test_earliest_first(self, store, ended, clock):
        """The earliest are claimed first, and no more than asked for."""
        jobs = []
        for _ in range(3):
            jobs.append(await ended())
            clock.now += 1
        claimed = [(await store.deliveries.claim(clock.now, 60, 1))[0].job for _ in jobs]
        assert claimed == [job.id for job in jobs]

    async def test_not_yet(self, store, ended, clock):
        """What is not due is not claimed."""
        await ended()
        assert await store.deliveries.claim(clock.now - 1, 60, 9) == []

    async def test_hosts(self, store, ended, clock):
        """Of one host only a few are under way at a time, and do not hold up another's that came
        later."""
        for _ in range(20):
            await ended(WebhookTarget("https://slow.example/hook"))
        clock.now += 1
        other = await ended(WebhookTarget("https://quick.example/hook"))
        first = await store.deliveries.claim(clock.now, 60, 100)
        assert other.id in {due.job for due in first}
        assert 1 < len(first) < 20
        assert await store.deliveries.claim(clock.now, 60, 100) == []
        slow = next(due for due in first if due.job != other.id)
        await store.deliveries.complete(slow.id)
        assert len(await store.deliveries.claim(clock.now, 60, 100)) == 1

    async def test_one_host_is_full(self, store, ended, clock):
        """A host that has no place left holds up nobody, however few are asked for, and has some
        when leases end."""
        for _ in range(20):
            await ended(WebhookTarget("https://slow.example/hook"))
        clock.now += 1
        first = await store.deliveries.claim(clock.now, 60, 100)
        other = await ended(WebhookTarget("https://quick.example/hook"))
        assert [due.job for due in await store.deliveries.claim(clock.now, 60, 1)] == [other.id]
        again = await store.deliveries.claim(clock.now + 60, 60, 100)
        assert len(again) == len(first) + 1

    async def test_in_turns(self, store, ended, clock):
        """Those of several hosts are claimed in the order in which they became due."""
        jobs = []
        for host in ("one", "two", "one", "two"):
            jobs.append(await ended(WebhookTarget(f"https://{host}.example/hook")))
            clock.now += 1
        for pair in (jobs[:2], jobs[2:]):
            assert [due.job for due in await store.deliveries.claim(clock.now, 60, 2)] == [
                job.id for job in pair
            ]


class TestOutcome:
    async def test_made(self, store, ended, clock):
        """What the receiver took is never due again."""
        await ended()
        (due,) = await store.deliveries.claim(clock.now, 60, 9)
        await store.deliveries.complete(due.id)
        assert await store.deliveries.claim(clock.now + 9e9, 60, 9) == []
        assert await store.deliveries.dead_deliveries() == []

    async def test_failed(self, store, ended, clock):
        """What failed is due again when it is said to be, with what was tried, and why it
        failed."""
        await ended()
        (due,) = await store.deliveries.claim(clock.now, 60, 9)
        await store.deliveries.add_failure(due.id, "status 500", clock.now + 30)
        assert await store.deliveries.claim(clock.now + 29, 60, 9) == []
        (again,) = await store.deliveries.claim(clock.now + 30, 60, 9)
        assert (again.id, again.attempts, again.last_error) == (due.id, 1, "status 500")

    async def test_dead(self, store, ended, clock):
        """What is given up is never due, and listed, latest first."""
        jobs = []
        for _ in range(3):
            jobs.append(await ended())
            clock.now += 1
        for due in await store.deliveries.claim(clock.now, 60, 9):
            await store.deliveries.add_failure(due.id, "gone", None)
        assert await store.deliveries.claim(clock.now + 9e9, 60, 9) == []
        listed = await store.deliveries.dead_deliveries()
        assert [(each.job, each.attempts, each.last_error) for each in listed] == [
            (job.id, 1, "gone") for job in reversed(jobs)
        ]
        assert len(await store.deliveries.dead_deliveries(limit=2)) == 2

    async def test_unknown(self, store):
        """Word of a delivery that is not there is dropped."""
        await store.deliveries.complete("none")
        await store.deliveries.add_failure("none", "why", None)
        await store.deliveries.add_failure("none", "why", 1.0)
        assert await store.deliveries.dead_deliveries() == []


class TestReplay:
    async def test_some(self, store, ended, clock):
        """Dead deliveries that are named are due now, as if they had not been tried."""
        for _ in range(3):
            await ended()
        for due in await store.deliveries.claim(clock.now, 60, 9):
            await store.deliveries.add_failure(due.id, "gone", None)
        wanted = [each.id for each in await store.deliveries.dead_deliveries()][:2]
        clock.now += 100
        assert await store.deliveries.replay([*wanted, "none"]) == 2
        again = await store.deliveries.claim(clock.now, 60, 9)
        assert {each.id for each in again} == set(wanted)
        assert {each.attempts for each in again} == {0}
        assert len(await store.deliveries.dead_deliveries()) == 1

    async def test_all(self, store, ended, clock):
        """Where none is named all dead ones are, and those alive are left as they are."""
        await ended()
        (due,) = await store.deliveries.claim(clock.now, 60, 9)
        await store.deliveries.add_failure(due.id, "gone", None)
        await ended()
        assert await store.deliveries.replay([]) == 1
        assert len(await store.deliveries.claim(clock.now, 60, 9)) == 2
        assert await store.deliveries.replay([]) == 0


async def test_keeps_the_job(opening, make):
    """A job is not forgotten while something of it is still to be delivered."""
    told, silent = make.job(1, hook=HOOK), make.job(1)
    async with opening(keep_s=10) as opened:
        store = opened.store
        for job in (told, silent):
            await store.submit(job, [], {0: BadFormat("no picture")})
        opened.clock.now += 11

        async def one_left():
            return [job.id for job in (await store.page("shop")).jobs] == [told.id]

        async with store.running(opened.buffer):
            await wait_until(one_left)


async def test_restart(opening, make):
    """Deliveries that were not made survive the process."""
    job = make.job(1, hook=HOOK)
    async with opening() as opened:
        await opened.store.submit(job, [], {0: BadFormat("no picture")})
    async with opening() as opened:
        assert [
            due.job for due in await opened.store.deliveries.claim(opened.clock.now, 60, 9)
        ] == [job.id]
