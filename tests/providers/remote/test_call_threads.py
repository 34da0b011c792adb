"""Threads of blocking calls: one that is stuck holds up no other call, and ends as soon as it
can."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from providers.errors import Unavailable
from providers.remote.call_threads import STUCK_FACTOR, CallThreads
from tests.support.waiting import wait_until


@pytest.fixture
def threads() -> Iterator[CallThreads]:
    """The threads of a provider with one call at a time."""
    each = CallThreads("eye", 1)
    yield each
    each.close()


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def alive() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("eye-")]


async def give_up(threads: CallThreads, work: Callable[[], object]) -> None:
    """Begins a call, and leaves it."""
    begun = threading.Event()

    def call() -> None:
        begun.set()
        work()

    waiter = asyncio.create_task(threads.run(call))
    await wait_until(begun.is_set)
    waiter.cancel()
    await asyncio.wait([waiter])


async def test_a_call_has_its_result_or_its_error(threads: CallThreads) -> None:
    """A call returns its result, raises its error, and leaves its thread to the next one."""
    first = await threads.run(threading.get_ident)
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 / 0)
    assert await threads.run(threading.get_ident) == first


async def test_a_stuck_call_takes_no_others_place(
    threads: CallThreads, over: threading.Event
) -> None:
    """While a call that was given up is stuck, others are made."""
    await give_up(threads, over.wait)
    assert await threads.run(lambda: "answer") == "answer"


async def test_a_stuck_call_ends_with_its_next_step(threads: CallThreads) -> None:
    """A call that was given up ends with its next step in Python, as when a byte arrives."""

    def drip() -> None:
        while True:
            time.sleep(0.005)

    before = len(alive())
    await give_up(threads, drip)
    await wait_until(lambda: len(alive()) <= before)


async def test_an_end_in_a_call_tidies_up(threads: CallThreads) -> None:
    """A call that is ended leaves its blocks as after an error: connections are closed."""
    closed = threading.Event()

    def drip() -> None:
        try:
            while True:
                time.sleep(0.005)
        finally:
            closed.set()

    await give_up(threads, drip)
    await wait_until(closed.is_set)


async def test_too_many_stuck_calls_send_nothing_more(
    threads: CallThreads, over: threading.Event
) -> None:
    """Where very many calls are stuck, the next one fails without being made; and when they have
    ended, calls are made again."""
    for _ in range(STUCK_FACTOR + 1):
        await give_up(threads, over.wait)
    with pytest.raises(Unavailable, match="5 calls of eye are stuck"):
        await threads.run(lambda: pytest.fail("it was made"))
    over.set()
    await wait_until(lambda: not alive())
    assert await threads.run(lambda: "answer") == "answer"


async def test_the_threads_end_with_their_provider(threads: CallThreads) -> None:
    """Idle threads end when their provider is closed, and so does one whose call ends later."""
    gate = threading.Event()
    await threads.run(lambda: None)
    late = asyncio.create_task(threads.run(gate.wait))
    await asyncio.sleep(0)
    threads.close()
    gate.set()
    assert await late
    await wait_until(lambda: not alive())


async def test_no_thread_keeps_the_process(threads: CallThreads, over: threading.Event) -> None:
    """All threads are daemons: the process may end while a call is stuck."""
    await give_up(threads, over.wait)
    assert all(thread.daemon for thread in alive())
