"""Threads of which a stuck one is replaced, and which keep no process from ending."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from providers.daemon_threads import DaemonThreads


@pytest.fixture
def threads() -> Iterator[DaemonThreads]:
    threads = DaemonThreads(2, "test")
    yield threads
    threads.close(5)


def test_calls_have_results_or_errors(threads: DaemonThreads) -> None:
    """A call has its function's result, or its error."""
    assert threads.start(divmod, 7, 2).future.result(5) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        threads.start(divmod, 7, 0).future.result(5)


def test_as_many_calls_run_at_once_as_there_are_threads(threads: DaemonThreads) -> None:
    """As many calls run at once as there are threads, and no more."""
    barrier, go_on = threading.Barrier(3, timeout=5), threading.Event()

    def work() -> None:
        barrier.wait()
        go_on.wait(5)

    for _ in range(2):
        threads.start(work)
    third = threads.start(threading.get_ident)
    barrier.wait()
    assert not third.future.done()
    go_on.set()
    third.future.result(5)


def test_an_abandoned_call_leaves_room_for_another(threads: DaemonThreads) -> None:
    """Calls that are abandoned while they run take no thread from others, and are counted until
    they end."""
    go_on, running = threading.Event(), threading.Barrier(3, timeout=5)

    def stuck() -> None:
        running.wait()
        go_on.wait(10)

    calls = [threads.start(stuck) for _ in range(2)]
    running.wait()
    for call in calls:
        threads.abandon(call)
        threads.abandon(call)
    assert threads.stuck == 2
    assert threads.start(divmod, 7, 2).future.result(5) == (3, 1)
    go_on.set()
    for call in calls:
        call.future.result(5)
        assert call.thread is not None
        call.thread.join(5)
    assert threads.stuck == 0


def test_an_abandoned_call_that_has_not_begun_is_not_made(threads: DaemonThreads) -> None:
    """A call that is abandoned while it waits is not made, and no thread is replaced for it."""
    go_on = threading.Event()
    running = [threads.start(go_on.wait, 5) for _ in range(2)]
    waiting = threads.start(divmod, 7, 2)
    threads.abandon(waiting)
    go_on.set()
    for call in running:
        call.future.result(5)
    assert waiting.future.cancelled()
    assert threads.stuck == 0


def test_a_call_that_is_over_is_not_abandoned(threads: DaemonThreads) -> None:
    """Abandoning a call that is over changes nothing."""
    for _ in range(200):
        call = threads.start(divmod, 7, 2)
        call.future.result(5)
        threads.abandon(call)
    assert threads.stuck == 0


def test_a_stuck_call_keeps_no_process() -> None:
    """A process ends though a call never does."""
    program = (
        "import threading; from providers.daemon_threads import DaemonThreads\n"
        "threads = DaemonThreads(1, 'stuck')\n"
        "call = threads.start(threading.Event().wait)\n"
        "while not call.future.running(): pass\n"
        "threads.abandon(call); threads.close(5); print('left')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "left\n"
