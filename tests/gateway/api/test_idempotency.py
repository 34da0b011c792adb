"""The desk: tries of one call meet in one run, and nobody ever gets what another call came to."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
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

    def __init__(
        self,
        body: bytes = b"answer",
        error: Exception | None = None,
        last: bool = True,
        opened: bool = True,
    ) -> None:
        self.made = FirstReply(Reply(200, body, {}), last)
        self.error = error
        self.gate = asyncio.Event()
        if opened:
            self.gate.set()
        self.began = asyncio.Event()
        self.begun = self.cancelled = 0

    async def __call__(self) -> FirstReply:
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

    def __init__(self, pace: RunPace = QUICK, beside: Place | None = None) -> None:
        self.told = EventRecorder()
        self.replies = (
            beside.replies
            if beside
            else MemoryReplies(clock=steady(), keep_s=60, max_bytes=1 << 20)
        )
        self.desk = CallRegistry(self.replies, Events([self.told]), pace)

    def ask(
        self, work: Callable[[], Awaitable[FirstReply]], call: ClientCall = CALL
    ) -> asyncio.Task[Reply]:
        return asyncio.create_task(self.desk.reply(call, work))

    @property
    def repeated(self) -> int:
        return len(self.told.of(Repeated))


async def left(asking: asyncio.Task[Reply]) -> None:
    """The client of it goes away."""
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


class TestOneRun:
    async def test_a_second_try_joins_the_run_under_way(self) -> None:
        """A try that comes while an earlier one is under way gets the reply of that one, and is
        counted."""
        place, work = Place(), Work(opened=False)
        tries = [place.ask(work) for _ in range(3)]
        await work.began.wait()
        work.gate.set()
        assert [(await each).body for each in tries] == [b"answer"] * 3
        assert (work.begun, place.repeated) == (1, 2)

    async def test_a_try_that_joins_a_run_holds_no_photos(self) -> None:
        """A try that joins a run holds no photos meanwhile, however many join."""
        place, work = Place(), Work(opened=False)
        first, other = place.ask(work), Work()
        seen, second = weakref.ref(other), place.ask(other)
        del other
        await work.began.wait()
        assert seen() is None
        work.gate.set()
        assert await first == await second

    async def test_a_later_try_gets_the_stored_reply(self) -> None:
        """A try that comes after the end gets the same reply."""
        place, work = Place(), Work()
        first = await place.ask(work)
        assert await place.ask(work) == first
        assert (work.begun, place.repeated) == (1, 1)

    async def test_a_call_is_known_by_any_of_its_ids(self) -> None:
        """A try is recognised by any of its ids, and from then on its call by all of them."""
        place, work = Place(), Work()
        for ids in (("a", "b"), ("b", "c"), ("c", "d"), ("d",)):
            assert (await place.ask(work, ClientCall("native", ids))).body == b"answer"
        assert work.begun == 1

    async def test_a_call_without_an_id_runs_each_time(self) -> None:
        """A call without an id is run each time, and cancelled as soon as its client leaves."""
        place, work = Place(PATIENT), Work(opened=False)
        tries = [place.ask(work, ClientCall("native", ())) for _ in range(2)]
        await wait_until(lambda: work.begun == 2)
        await left(tries[0])
        assert work.cancelled == 1
        work.gate.set()
        assert (await tries[1]).body == b"answer"

    async def test_a_temporary_reply_is_not_stored(self) -> None:
        """A temporary reply goes to the tries that waited for it; the next try has a run of its
        own."""
        place, work = Place(), Work(last=False, opened=False)
        tries = [place.ask(work) for _ in range(2)]
        await work.began.wait()
        work.gate.set()
        assert [(await each).body for each in tries] == [b"answer"] * 2
        await place.ask(work)
        assert work.begun == 2

    async def test_an_error_of_a_run_reaches_every_waiter(self) -> None:
        """The error that a run raises reaches every try that waits for it; the next try has a run
        of its own."""
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

    async def test_a_run_has_at_most_16_ids(self) -> None:
        """A run is known by at most 16 ids, however many tries join it."""
        place, work = Place(), Work(opened=False)
        tries = [place.ask(work, ClientCall("native", ("a", f"own-{n}"))) for n in range(100)]
        await work.began.wait()
        assert len(place.desk._runs) == 16
        work.gate.set()
        await asyncio.gather(*tries)
        assert (work.begun, len(place.desk._runs), len(place.desk._tasks)) == (1, 0, 0)


class TestLeaving:
    async def test_a_returning_client_joins_its_run(self) -> None:
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

    async def test_a_run_without_a_waiter_keeps_its_reply(self) -> None:
        """The reply of a run that ends while nobody waits is there for the next try."""
        place, work = Place(PATIENT), Work(opened=False)
        first = place.ask(work)
        await work.began.wait()
        await left(first)
        work.gate.set()
        await wait_until(lambda: not place.desk._tasks)
        assert (await place.ask(work)).body == b"answer"
        assert work.begun == 1

    async def test_a_run_without_a_waiter_is_cancelled_in_the_end(self) -> None:
        """If no try comes in time, the work is cancelled; a later try still has a run of its
        own."""
        place, work = Place(), Work(opened=False)
        first = place.ask(work)
        await work.began.wait()
        await left(first)
        await wait_until(lambda: work.cancelled)
        work.gate.set()
        assert (await place.ask(work)).body == b"answer"
        assert work.begun == 2

    async def test_a_run_goes_on_while_anybody_waits(self) -> None:
        """A run goes on as long as anybody waits for it."""
        place, work = Place(RunPace(0, 0.005, 0.005)), Work(opened=False)
        tries = [place.ask(work) for _ in range(2)]
        await work.began.wait()
        await left(tries[0])
        await asyncio.sleep(0.02)
        work.gate.set()
        assert (await tries[1]).body == b"answer"
        assert work.cancelled == 0

    async def test_an_unexpected_failure_without_a_waiter_is_logged(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An unexpected failure of a run is logged if nobody waits for it."""
        place, work = Place(PATIENT), Work(error=ZeroDivisionError("a bug"), opened=False)
        first = place.ask(work)
        await work.began.wait()
        await left(first)
        work.gate.set()
        await wait_until(lambda: not place.desk._tasks)
        assert "a call failed whose client had left" in caplog.text

    async def test_closing_ends_all_runs_as_stopping(self) -> None:
        """Closing ends all runs; tries that still wait get the error that the gateway is
        stopping."""
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
    async def test_a_try_at_another_replica_waits_for_the_run(self) -> None:
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

    async def test_a_run_goes_on_for_a_waiter_elsewhere(self) -> None:
        """A run whose client left goes on while its next try waits at another replica."""
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

    async def test_a_temporary_reply_elsewhere_starts_a_new_run(self) -> None:
        """If the run at the other replica ended in a temporary reply, the try has a run of its
        own."""
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


def failed(error: GatewayError, *steps: Step) -> ItemAnswer:
    return ItemAnswer(None, {Task.OBJECTS: Outcome(None, steps=steps, error=error)})


PASSING = [Busy, UpstreamThrottled, Stopping, BufferAway, UpstreamFailed, SourceAway, GatewayError]


class TestLasts:
    @pytest.mark.parametrize(
        "kind", [BadFormat, NotServed, BilledUnknown, DeadlineExceeded, DeadLetter]
    )
    def test_final_refusals_and_billed_failures_last(self, kind: type[GatewayError]) -> None:
        """A final refusal, and a failure that may have been billed, is the answer of later tries
        too."""
        assert is_final([failed(kind("x"))])
        assert is_final([ItemAnswer(None, refusal=kind("x"))])

    @pytest.mark.parametrize("kind", PASSING)
    def test_temporary_failures_do_not_last(self, kind: type[GatewayError]) -> None:
        """A failure that may pass a moment later is not the answer of later tries."""
        assert not is_final([failed(kind("x"))])
        assert not is_final([failed(kind("x")), failed(BadFormat("x"))])

    def test_a_failure_after_a_payment_lasts(self) -> None:
        """A failure after a payment lasts, so it is not paid again, unless the client is asked to
        retry."""
        assert is_final([failed(UpstreamFailed("x"), STEP)])
        assert not is_final([failed(UpstreamThrottled("x"), STEP)])

    def test_an_answer_lasts(self) -> None:
        """An answer lasts, also if a part of it failed."""
        assert is_final([FINE])
        assert is_final([FINE, failed(UpstreamFailed("x"))])
        assert is_final([])


Marks = tuple[Tenant, str, list[str]]
"""A call's tenant and dialect, and the marks that its client sent."""
TENANTS = st.sampled_from([Tenant("shop", "shop"), Tenant("press", "press")])
calls = st.tuples(
    TENANTS, st.sampled_from(["native", "azure"]), st.lists(st.sampled_from("abc"), max_size=2)
)


@given(calls, calls)
def test_ids_meet_only_for_the_same_tenant_and_mark(one: Marks, other: Marks) -> None:
    """Tries have an id in common only if tenant, dialect and a mark are the same; ids are of one
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
def test_no_call_ever_gets_anothers_reply(
    asking: list[tuple[int, int, int, int | None]], comes_to: list[tuple[int, bool]]
) -> None:
    """However tries come and leave, at whichever replica, each gets its own call's reply, and a
    call with a lasting reply is not run again."""

    async def play() -> None:
        here = Place(RunPace(0.001, 0.001, 0.001))
        places = [here, Place(RunPace(0.001, 0.001, 0.001), here)]
        done: list[int] = []

        async def work(number: int, turns: int, last: bool) -> FirstReply:
            for _ in range(turns):
                await asyncio.sleep(0)
            if last:
                assert number not in done
                done.append(number)
            return FirstReply(Reply(200, b"%d" % number, {}), last)

        async def client(number: int, place: int, after: int, leaves: int | None) -> None:
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
