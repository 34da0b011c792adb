"""The desk: tries of one call meet in one run, and nobody ever gets what another call came to."""

from __future__ import annotations

import asyncio
import weakref
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.api.idempotency import CallRegistry, ClientCall, FirstReply, RunPace, call_of, is_final
from gateway.core.clock import steady
from gateway.core.errors import (
    BadFormat,
    BilledUnknown,
    BufferAway,
    Busy,
    DeadLetter,
    DeadlineExceeded,
    GatewayError,
    NotServed,
    SourceAway,
    Stopping,
    UpstreamFailed,
    UpstreamThrottled,
)
from gateway.core.events import Events, Repeated
from gateway.core.exchange import Reply
from gateway.core.model import Outcome, Step, Tenant
from gateway.core.question import ItemAnswer
from gateway.store.memory.replies import MemoryReplies
from gateway.testing.listeners import EventRecorder
from providers.detection import Task
from tests.support.waiting import wait_until
from thresholds.shape import ALONE

QUICK = RunPace(grace_s=0.05, poll_s=0.005, renew_s=0.005)
PATIENT = RunPace(grace_s=60, poll_s=0.005, renew_s=0.005)
CALL = ClientCall("native", ("a", "b"))


class Work:
    """What a call comes to, when its gate is open. Holds how often it was begun and how often it
    was cancelled."""

    def __init__(self, body=b"answer", error=None, last=True, opened=True):
        self.made = FirstReply(Reply(200, body, {}), last)
        self.error = error
        self.gate = asyncio.Event()
        if opened:
            self.gate.set()
        self.began = asyncio.Event()
        self.begun = self.cancelled = 0

    async def __call__(self):
        self.begun += 1
        self.began.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        return self.made


class Place:
    """A replica's desk, and what it told; `beside` is one whose store it shares."""

    def __init__(self, pace=QUICK, beside=None):
        self.told = EventRecorder()
        self.replies = (
            beside.replies
            if beside
            else MemoryReplies(clock=steady(), keep_s=60, max_bytes=1 << 20)
        )
        self.desk = CallRegistry(self.replies, Events([self.told]), pace)

    def ask(self, work, call=CALL):
        return asyncio.create_task(self.desk.reply(call, work))

    @property
    def repeated(self):
        return len(self.told.of(Repeated))


async def left(asking):
    """The client of it goes away."""
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


class TestOneRun:
    async def test_joined(self):
        """A try that comes while an earlier one is under way gets the reply of that one, and is
        counted."""
        place, work = Place(), Work(opened=False)
        tries = [place.ask(work) for _ in range(3)]
        await work.began.wait()
        work.gate.set()
        assert [(await each).body for each in tries] == [b"answer"] * 3
        assert (work.begun, place.repeated) == (1, 2)

    async def test_holds_nothing(self):
        """Who joins a run holds no photos meanwhile, however many join."""
        place, work = Place(), Work(opened=False)
        first, other = place.ask(work), Work()
        seen, second = weakref.ref(other), place.ask(other)
        del other
        await work.began.wait()
        assert seen() is None
        work.gate.set()
        assert await first == await second

    async def test_kept(self):
        """A try that comes after the end gets the same reply."""
        place, work = Place(), Work()
        first = await place.ask(work)
        assert await place.ask(work) == first
        assert (work.begun, place.repeated) == (1, 1)

    async def test_other_id(self):
        """A try is known by any of its ids, and from then on its call by all of them."""
        place, work = Place(), Work()
        for ids in (("a", "b"), ("b", "c"), ("c", "d"), ("d",)):
            assert (await place.ask(work, ClientCall("native", ids))).body == b"answer"
        assert work.begun == 1

    async def test_without_id(self):
        """A call that nothing marks is run each time, and cancelled as soon as its client
        leaves."""
        place, work = Place(PATIENT), Work(opened=False)
        tries = [place.ask(work, ClientCall("native", ())) for _ in range(2)]
        await wait_until(lambda: work.begun == 2)
        await left(tries[0])
        assert work.cancelled == 1
        work.gate.set()
        assert (await tries[1]).body == b"answer"

    async def test_passing(self):
        """A reply that does not last is told to those who waited for it; the next try has a run of
        its own."""
        place, work = Place(), Work(last=False, opened=False)
        tries = [place.ask(work) for _ in range(2)]
        await work.began.wait()
        work.gate.set()
        assert [(await each).body for each in tries] == [b"answer"] * 2
        await place.ask(work)
        assert work.begun == 2

    async def test_raised(self):
        """What a run raises, whoever waits for it is told; the next try has a run of its own."""
        place, work = Place(), Work(error=Busy("full"), opened=False)
        tries = [place.ask(work) for _ in range(2)]
        await work.began.wait()
        work.gate.set()
        assert all(
            isinstance(each, Busy) for each in await asyncio.gather(*tries, return_exceptions=True)
        )
        with pytest.raises(Busy):
            await place.ask(work)
        assert work.begun == 2

    async def test_many_ids(self):
        """A run is known by so many ids and no more, however many tries join it."""
        place, work = Place(), Work(opened=False)
        tries = [place.ask(work, ClientCall("native", ("a", f"own-{n}"))) for n in range(100)]
        await work.began.wait()
        assert len(place.desk._runs) == 16
        work.gate.set()
        await asyncio.gather(*tries)
        assert (work.begun, len(place.desk._runs), len(place.desk._tasks)) == (1, 0, 0)


class TestLeaving:
    async def test_joined_again(self):
        """When a client leaves, its run goes on for a while, and its next try joins it."""
        place, work = Place(PATIENT), Work(opened=False)
        first = place.ask(work)
        await work.began.wait()
        await left(first)
        second = place.ask(work)
        await asyncio.sleep(0)
        work.gate.set()
        assert (await second).body == b"answer"
        assert (work.begun, work.cancelled, place.repeated) == (1, 0, 1)

    async def test_ends_meanwhile(self):
        """What the run comes to while nobody waits is there for the next try."""
        place, work = Place(PATIENT), Work(opened=False)
        first = place.ask(work)
        await work.began.wait()
        await left(first)
        work.gate.set()
        await wait_until(lambda: not place.desk._tasks)
        assert (await place.ask(work)).body == b"answer"
        assert work.begun == 1

    async def test_nobody_comes(self):
        """Where none comes in time the work is cancelled; a try that is later still has a run of
        its own."""
        place, work = Place(), Work(opened=False)
        first = place.ask(work)
        await work.began.wait()
        await left(first)
        await wait_until(lambda: work.cancelled)
        work.gate.set()
        assert (await place.ask(work)).body == b"answer"
        assert work.begun == 2

    async def test_other_waits(self):
        """A run goes on as long as anybody waits for it."""
        place, work = Place(RunPace(0, 0.005, 0.005)), Work(opened=False)
        tries = [place.ask(work) for _ in range(2)]
        await work.began.wait()
        await left(tries[0])
        await asyncio.sleep(0.02)
        work.gate.set()
        assert (await tries[1]).body == b"answer"
        assert work.cancelled == 0

    async def test_failed_meanwhile(self, caplog):
        """What goes wrong in a run while nobody waits is logged if nobody foresaw it."""
        place, work = Place(PATIENT), Work(error=ZeroDivisionError("a bug"), opened=False)
        first = place.ask(work)
        await work.began.wait()
        await left(first)
        work.gate.set()
        await wait_until(lambda: not place.desk._tasks)
        assert "a call failed whose client had left" in caplog.text

    async def test_close(self):
        """Closing ends what is under way; who still waits is told that the gateway goes down."""
        place, work = Place(PATIENT), Work(opened=False)
        gone, waiting = place.ask(work, ClientCall("native", ("x",))), place.ask(work)
        await wait_until(lambda: work.begun == 2)
        await left(gone)
        await place.desk.close()
        with pytest.raises(Stopping):
            await waiting
        assert work.cancelled == 2
        assert not place.desk._tasks


class TestReplicas:
    async def test_waits(self):
        """A try at another replica waits for the run's end and gets its reply."""
        here = Place(PATIENT)
        there, work, other = Place(PATIENT, here), Work(opened=False), Work(b"other")
        first = here.ask(work)
        await work.began.wait()
        second = there.ask(other)
        await asyncio.sleep(0.02)
        work.gate.set()
        assert (await first, (await second).body) == (work.made.reply, b"answer")
        assert (other.begun, there.repeated) == (0, 1)

    async def test_wanted(self):
        """A run whose client left is not given up while its next try waits at another replica."""
        here = Place(RunPace(0.05, 0.005, 0.005))
        there, work = Place(PATIENT, here), Work(opened=False)
        first = here.ask(work)
        await work.began.wait()
        second = there.ask(Work(b"other"))
        await wait_until(lambda: any(run.awaited_elsewhere for run in here.desk._tasks))
        await left(first)
        await asyncio.sleep(0.15)
        work.gate.set()
        assert (await second).body == b"answer"

    async def test_fails(self):
        """Where the run at the other replica came to nothing that lasts, the try has its own."""
        here = Place(PATIENT)
        there, work, other = Place(PATIENT, here), Work(last=False, opened=False), Work(b"other")
        first = here.ask(work)
        await work.began.wait()
        second = there.ask(other)
        await asyncio.sleep(0.02)
        work.gate.set()
        assert ((await first).body, (await second).body) == (b"answer", b"other")


STEP = Step(0, "eye", "c", ALONE, 2, 1, 0.0, 0.0, 0.0, ())
FINE = ItemAnswer(None, {Task.OBJECTS: Outcome(None, steps=(STEP,))})


def failed(error, *steps):
    return ItemAnswer(None, {Task.OBJECTS: Outcome(None, steps=steps, error=error)})


PASSING = [Busy, UpstreamThrottled, Stopping, BufferAway, UpstreamFailed, SourceAway, GatewayError]


class TestLasts:
    @pytest.mark.parametrize(
        "kind", [BadFormat, NotServed, BilledUnknown, DeadlineExceeded, DeadLetter]
    )
    def test_definite(self, kind):
        """A refusal for good, and what may be billed, is the answer of later tries too."""
        assert is_final([failed(kind("x"))])
        assert is_final([ItemAnswer(None, refusal=kind("x"))])

    @pytest.mark.parametrize("kind", PASSING)
    def test_passing(self, kind):
        """What may be otherwise a moment later is not."""
        assert not is_final([failed(kind("x"))])
        assert not is_final([failed(kind("x")), failed(BadFormat("x"))])

    def test_paid(self):
        """A fault after something was paid for is not paid for again, unless the client is asked to
        come back."""
        assert is_final([failed(UpstreamFailed("x"), STEP)])
        assert not is_final([failed(UpstreamThrottled("x"), STEP)])

    def test_answered(self):
        """An answer lasts, also one of which a part failed."""
        assert is_final([FINE])
        assert is_final([FINE, failed(UpstreamFailed("x"))])
        assert is_final([])


TENANTS = st.sampled_from([Tenant("shop", "shop"), Tenant("press", "press")])
calls = st.tuples(
    TENANTS, st.sampled_from(["native", "azure"]), st.lists(st.sampled_from("abc"), max_size=2)
)


@given(calls, calls)
def test_ids(one, other):
    """Tries have an id in common only where tenant, dialect and a mark are the same; ids are of one
    length."""
    ids = [call_of(*each).ids for each in (one, other)]
    met = bool(set(ids[0]) & set(ids[1]))
    assert met == (one[:2] == other[:2] and bool(set(one[2]) & set(other[2])))
    assert all(len(each) == 64 for each in (*ids[0], *ids[1]))


asked = st.tuples(
    st.integers(0, 3), st.integers(0, 1), st.integers(0, 40), st.none() | st.integers(0, 40)
)
"""Which call is asked for, at which replica, after how many turns of the loop, and after how many
its client leaves."""


@settings(max_examples=60)
@given(
    st.lists(asked, min_size=1, max_size=25),
    st.lists(st.tuples(st.integers(0, 25), st.booleans()), min_size=4),
)
def test_never_anothers(asking, comes_to):
    """However tries come and leave, at whichever replica, each gets its own call's reply, and a
    call that came to a lasting one is not run again."""

    async def play():
        here = Place(RunPace(0.001, 0.001, 0.001))
        places = [here, Place(RunPace(0.001, 0.001, 0.001), here)]
        done: list[int] = []

        async def work(number, turns, last):
            for _ in range(turns):
                await asyncio.sleep(0)
            if last:
                assert number not in done
                done.append(number)
            return FirstReply(Reply(200, b"%d" % number, {}), last)

        async def client(number, place, after, leaves):
            for _ in range(after):
                await asyncio.sleep(0)
            call = ClientCall("native", (f"{number}-x", f"{number}-{place}"))
            task = places[place].ask(partial(work, number, *comes_to[number % len(comes_to)]), call)
            for _ in range(leaves or 0):
                await asyncio.sleep(0)
            if leaves is not None:
                task.cancel()
            try:
                assert (await task).body == b"%d" % number
            except asyncio.CancelledError:
                assert leaves is not None

        async with asyncio.timeout(30):
            await asyncio.gather(*(client(*each) for each in asking))
        for place in places:
            await place.desk.close()
            assert not place.desk._runs

    asyncio.run(play())
