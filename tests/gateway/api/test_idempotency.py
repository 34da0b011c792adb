"""Idempotency: the tries of one call share one run, and no call ever gets another's reply."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from hypothesis import given
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
from gateway.core.events import CallRepeated, Events
from gateway.core.exchange import Reply
from gateway.core.model import Outcome, Step, Tenant
from gateway.core.question import ItemAnswer
from gateway.store.memory.replies import MemoryReplies
from gateway.testing.listeners import EventRecorder
from providers.detection import Task
from tests.support.examples import examples
from tests.support.waiting import wait_until
from thresholds.shape import ALONE

QUICK = RunPace(grace_s=0.05, poll_s=0.005, renew_s=0.005)
PATIENT = RunPace(grace_s=60, poll_s=0.005, renew_s=0.005)
CALL = ClientCall("native", ("a", "b"))


class Work:
    """The work of a call, which waits for its gate. Counts its starts and its cancellations."""

    def __init__(
        self,
        body: bytes = b"answer",
        error: Exception | None = None,
        last: bool = True,
        opened: bool = True,
    ) -> None:
        self.first_reply = FirstReply(Reply(200, body, {}), last)
        self.error = error
        self.gate = asyncio.Event()
        if opened:
            self.gate.set()
        self.began = asyncio.Event()
        self.starts = self.cancellations = 0

    async def __call__(self) -> FirstReply:
        self.starts += 1
        self.began.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancellations += 1
            raise
        if self.error:
            raise self.error
        return self.first_reply


class Replica:
    """A replica's registry of calls, and its events; it shares the store of `beside`."""

    def __init__(self, pace: RunPace = QUICK, beside: Replica | None = None) -> None:
        self.events = EventRecorder()
        self.replies = (
            beside.replies
            if beside
            else MemoryReplies(clock=steady(), keep_s=60, max_bytes=1 << 20)
        )
        self.registry = CallRegistry(self.replies, Events([self.events]), pace)

    def ask(
        self, work: Callable[[], Awaitable[FirstReply]], call: ClientCall = CALL
    ) -> asyncio.Task[Reply]:
        return asyncio.create_task(self.registry.reply(call, work))

    @property
    def repeated(self) -> int:
        return len(self.events.of(CallRepeated))


async def leave(task: asyncio.Task[Reply]) -> None:
    """Cancels a client's task, as its departure does."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class TestOneRun:
    async def test_a_second_try_joins_the_run_under_way(self) -> None:
        """A try that comes while an earlier one is under way gets the reply of that one, and is
        counted."""
        replica, work = Replica(), Work(opened=False)
        tries = [replica.ask(work) for _ in range(3)]
        await work.began.wait()
        work.gate.set()
        assert [(await each).body for each in tries] == [b"answer"] * 3
        assert (work.starts, replica.repeated) == (1, 2)

    async def test_a_try_that_joins_a_run_holds_no_photos(self) -> None:
        """A try that joins a run holds no photos meanwhile, however many join."""
        replica, work = Replica(), Work(opened=False)
        first, second_work = replica.ask(work), Work()
        second_reference, second = weakref.ref(second_work), replica.ask(second_work)
        del second_work
        await work.began.wait()
        assert second_reference() is None
        work.gate.set()
        assert await first == await second

    async def test_a_later_try_gets_the_stored_reply(self) -> None:
        """A try that comes after the end gets the same reply."""
        replica, work = Replica(), Work()
        first = await replica.ask(work)
        assert await replica.ask(work) == first
        assert (work.starts, replica.repeated) == (1, 1)

    async def test_a_call_is_known_by_any_of_its_ids(self) -> None:
        """A try is recognised by any of its ids, and from then on its call by all of them."""
        replica, work = Replica(), Work()
        for ids in (("a", "b"), ("b", "c"), ("c", "d"), ("d",)):
            assert (await replica.ask(work, ClientCall("native", ids))).body == b"answer"
        assert work.starts == 1

    async def test_a_call_without_an_id_runs_each_time(self) -> None:
        """A call without an id is run each time, and cancelled as soon as its client leaves."""
        replica, work = Replica(PATIENT), Work(opened=False)
        tries = [replica.ask(work, ClientCall("native", ())) for _ in range(2)]
        await wait_until(lambda: work.starts == 2)
        await leave(tries[0])
        assert work.cancellations == 1
        work.gate.set()
        assert (await tries[1]).body == b"answer"

    async def test_a_temporary_reply_is_not_stored(self) -> None:
        """A temporary reply goes to the tries that waited for it; the next try has a run of its
        own."""
        replica, work = Replica(), Work(last=False, opened=False)
        tries = [replica.ask(work) for _ in range(2)]
        await work.began.wait()
        work.gate.set()
        assert [(await each).body for each in tries] == [b"answer"] * 2
        await replica.ask(work)
        assert work.starts == 2

    async def test_an_error_of_a_run_reaches_every_waiter(self) -> None:
        """The error that a run raises reaches every try that waits for it; the next try has a run
        of its own."""
        replica, work = Replica(), Work(error=Busy("full"), opened=False)
        tries = [replica.ask(work) for _ in range(2)]
        await work.began.wait()
        work.gate.set()
        assert all(
            isinstance(each, Busy) for each in await asyncio.gather(*tries, return_exceptions=True)
        )
        with pytest.raises(Busy):
            await replica.ask(work)
        assert work.starts == 2

    async def test_a_run_has_at_most_16_ids(self) -> None:
        """A run is known by at most 16 ids, however many tries join it."""
        replica, work = Replica(), Work(opened=False)
        tries = [replica.ask(work, ClientCall("native", ("a", f"own-{n}"))) for n in range(100)]
        await work.began.wait()
        assert len(replica.registry._runs) == 16
        work.gate.set()
        await asyncio.gather(*tries)
        assert (work.starts, len(replica.registry._runs), len(replica.registry._tasks)) == (1, 0, 0)


class TestLeaving:
    async def test_a_returning_client_joins_its_run(self) -> None:
        """When a client leaves, its run goes on for a while, and its next try joins it."""
        replica, work = Replica(PATIENT), Work(opened=False)
        first = replica.ask(work)
        await work.began.wait()
        await leave(first)
        second = replica.ask(work)
        await asyncio.sleep(0)
        work.gate.set()
        assert (await second).body == b"answer"
        assert (work.starts, work.cancellations, replica.repeated) == (1, 0, 1)

    async def test_a_run_without_a_waiter_keeps_its_reply(self) -> None:
        """The reply of a run that ends while nobody waits is there for the next try."""
        replica, work = Replica(PATIENT), Work(opened=False)
        first = replica.ask(work)
        await work.began.wait()
        await leave(first)
        work.gate.set()
        await wait_until(lambda: not replica.registry._tasks)
        assert (await replica.ask(work)).body == b"answer"
        assert work.starts == 1

    async def test_a_run_without_a_waiter_is_cancelled_in_the_end(self) -> None:
        """If no try comes in time, the work is cancelled; a later try still has a run of its
        own."""
        replica, work = Replica(), Work(opened=False)
        first = replica.ask(work)
        await work.began.wait()
        await leave(first)
        await wait_until(lambda: work.cancellations)
        work.gate.set()
        assert (await replica.ask(work)).body == b"answer"
        assert work.starts == 2

    async def test_a_run_goes_on_while_anybody_waits(self) -> None:
        """A run goes on as long as anybody waits for it."""
        replica, work = Replica(RunPace(0, 0.005, 0.005)), Work(opened=False)
        tries = [replica.ask(work) for _ in range(2)]
        await work.began.wait()
        await leave(tries[0])
        await asyncio.sleep(0.02)
        work.gate.set()
        assert (await tries[1]).body == b"answer"
        assert work.cancellations == 0

    async def test_an_unexpected_failure_without_a_waiter_is_logged(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An unexpected failure of a run is logged if nobody waits for it."""
        replica, work = Replica(PATIENT), Work(error=ZeroDivisionError("a bug"), opened=False)
        first = replica.ask(work)
        await work.began.wait()
        await leave(first)
        work.gate.set()
        await wait_until(lambda: not replica.registry._tasks)
        assert "a call failed whose client had left" in caplog.text

    async def test_closing_ends_all_runs_as_stopping(self) -> None:
        """Closing ends all runs; tries that still wait get the error that the gateway is
        stopping."""
        replica, work = Replica(PATIENT), Work(opened=False)
        abandoned, waiting = replica.ask(work, ClientCall("native", ("x",))), replica.ask(work)
        await wait_until(lambda: work.starts == 2)
        await leave(abandoned)
        await replica.registry.close()
        with pytest.raises(Stopping):
            await waiting
        assert work.cancellations == 2
        assert not replica.registry._tasks


class TestReplicas:
    async def test_a_try_at_another_replica_waits_for_the_run(self) -> None:
        """A try at another replica waits for the run's end and gets its reply."""
        first_replica = Replica(PATIENT)
        second_replica, work, second_work = (
            Replica(PATIENT, first_replica),
            Work(opened=False),
            Work(b"other"),
        )
        first = first_replica.ask(work)
        await work.began.wait()
        second = second_replica.ask(second_work)
        await asyncio.sleep(0.02)
        work.gate.set()
        assert (await first, (await second).body) == (work.first_reply.reply, b"answer")
        assert (second_work.starts, second_replica.repeated) == (0, 1)

    async def test_a_run_goes_on_for_a_waiter_elsewhere(self) -> None:
        """A run whose client left goes on while its next try waits at another replica."""
        first_replica = Replica(RunPace(0.05, 0.005, 0.005))
        second_replica, work = Replica(PATIENT, first_replica), Work(opened=False)
        first = first_replica.ask(work)
        await work.began.wait()
        second = second_replica.ask(Work(b"other"))
        await wait_until(
            lambda: any(run.awaited_elsewhere for run in first_replica.registry._tasks)
        )
        await leave(first)
        await asyncio.sleep(0.15)
        work.gate.set()
        assert (await second).body == b"answer"

    async def test_a_temporary_reply_elsewhere_starts_a_new_run(self) -> None:
        """If the run at the other replica ended in a temporary reply, the try has a run of its
        own."""
        first_replica = Replica(PATIENT)
        second_replica, work, second_work = (
            Replica(PATIENT, first_replica),
            Work(last=False, opened=False),
            Work(b"other"),
        )
        first = first_replica.ask(work)
        await work.began.wait()
        second = second_replica.ask(second_work)
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
def test_ids_meet_only_for_the_same_tenant_and_mark(first: Marks, second: Marks) -> None:
    """Tries have an id in common only if tenant, dialect and a mark are the same; ids are of one
    length."""
    ids = [call_of(*each).ids for each in (first, second)]
    met = bool(set(ids[0]) & set(ids[1]))
    assert met == (first[:2] == second[:2] and bool(set(first[2]) & set(second[2])))
    assert all(len(each) == 64 for each in (*ids[0], *ids[1]))


async def wait_turns(count: int) -> None:
    """Lets the event loop turn that often."""
    for _ in range(count):
        await asyncio.sleep(0)


client_schedules = st.tuples(
    st.integers(0, 3), st.integers(0, 1), st.integers(0, 40), st.none() | st.integers(0, 40)
)
"""The call, the replica, the turns of the loop before it is made, and those before its client
leaves."""


@examples(60)
@given(
    st.lists(client_schedules, min_size=1, max_size=25),
    st.lists(st.tuples(st.integers(0, 25), st.booleans()), min_size=4),
)
def test_no_call_ever_gets_anothers_reply(
    schedule: list[tuple[int, int, int, int | None]], results: list[tuple[int, bool]]
) -> None:
    """However tries come and leave, at whichever replica, each gets its own call's reply, and a
    call with a lasting reply is not run again."""

    async def play() -> None:
        first_replica = Replica(RunPace(0.001, 0.001, 0.001))
        replicas = [first_replica, Replica(RunPace(0.001, 0.001, 0.001), first_replica)]
        final_numbers: list[int] = []

        async def work(number: int, turns: int, last: bool) -> FirstReply:
            await wait_turns(turns)
            if last:
                assert number not in final_numbers
                final_numbers.append(number)
            return FirstReply(Reply(200, b"%d" % number, {}), last)

        async def client(number: int, place: int, after: int, leaves: int | None) -> None:
            await wait_turns(after)
            call = ClientCall("native", (f"{number}-x", f"{number}-{place}"))
            task = replicas[place].ask(partial(work, number, *results[number % len(results)]), call)
            if leaves is not None:
                await wait_turns(leaves)
                task.cancel()
            try:
                assert (await task).body == b"%d" % number
            except asyncio.CancelledError:
                assert leaves is not None

        async with asyncio.timeout(30):
            await asyncio.gather(*(client(*each) for each in schedule))
        for replica in replicas:
            await replica.registry.close()
            assert not replica.registry._runs

    asyncio.run(play())
