"""The same load for a long time: nothing may decay or grow. Figures by fifths of the run.

Two gateways, a real Redis and an upstream that answers after 50 ms; a constant number of photos a
second, of which some come in jobs with webhooks, below what the gateways can do. The first fifth is
for warming up. Exits with 1 where in the last fifth throughput is over 5 % below the second's, or
memory, open files or keys have grown.

python benchmarks/soak.py [--minutes 30] [--rate 20] [--shared ../shared]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from crowd import Crowd, Receiver, crowd
from drawings import NUMBERS
from fleet import SHARED, Fleet, Plan, fleet, missing, open_files, rss_mb
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

FIFTHS = 5


@dataclass(frozen=True)
class Soak:
    """`rate` is photos a second; every `job_every`th turn is a job of `job` photos."""

    minutes: float = 30.0
    rate: float = 20.0
    job: int = 5
    job_every: int = 20
    sample_s: float = 2.0
    plan: Plan = field(default_factory=lambda: Plan(replicas=2, keep_ms=20_000))


class Sample(NamedTuple):
    """At one moment: photos answered so far, and what the gateways and Redis hold."""

    at: float
    answered: int
    memory_mb: float
    files: float
    keys: float
    redis_mb: float


class Row(NamedTuple):
    """A fifth of the run: photos a second, medians of the samples, and how long clients waited."""

    photos_s: float
    memory_mb: float
    files: float
    keys: float
    redis_mb: float
    p50_ms: float
    p99_ms: float


@dataclass
class Clock:
    """How long clients waited, by when."""

    waits: list[tuple[float, float]]

    async def time(self, asked: Callable[[], object]) -> None:
        began = time.monotonic()
        await asked()  # type: ignore[misc]
        self.waits.append((time.monotonic(), time.monotonic() - began))


async def load(crowd: Crowd, soak: Soak, hook: str, clock: Clock) -> None:
    """Photos at the rate until the time is over; whoever has not been answered by then is not
    waited for."""
    began, number, turn = time.monotonic(), 0, 0
    async with asyncio.TaskGroup() as tasks:
        while time.monotonic() - began < 60 * soak.minutes:
            await asyncio.sleep(began + number / soak.rate - time.monotonic())
            turn += 1
            if turn % soak.job_every:
                wanted = number % NUMBERS
                tasks.create_task(clock.time(lambda wanted=wanted: crowd.wait_for(wanted)))  # type: ignore[misc]
                number += 1
            else:
                numbers = [(number + index) % NUMBERS for index in range(soak.job)]
                tasks.create_task(crowd.hand_in(numbers, hook, each_photo=False))
                number += soak.job


async def sample(fleet: Fleet, crowd: Crowd, soak: Soak, samples: list[Sample]) -> None:
    """Every few seconds, until cancelled."""
    redis = Redis.from_url(f"redis://127.0.0.1:{fleet.redis.port}/0")
    pids = [replica.pid for replica in fleet.replicas]
    while True:
        usage = await crowd.usage()
        held = await redis.info("memory")
        samples.append(
            Sample(
                time.monotonic(),
                int(usage["answered"]),
                sum(map(rss_mb, pids)),
                sum(map(open_files, pids)),
                await redis.dbsize(),
                held["used_memory"] / 1e6,
            )
        )
        await asyncio.sleep(soak.sample_s)


def fifths(samples: Sequence[Sample], waits: Sequence[tuple[float, float]]) -> list[Row]:
    began, lasted = samples[0].at, samples[-1].at - samples[0].at
    rows = []
    for fifth in range(FIFTHS):
        start, end = (began + lasted * part / FIFTHS for part in (fifth, fifth + 1))
        within = [each for each in samples if start <= each.at <= end + 1e-9]
        waited = [1000 * wait for at, wait in waits if start <= at <= end]
        rows.append(_row(within, waited))
    return rows


def _row(within: Sequence[Sample], waited_ms: Sequence[float]) -> Row:
    first, last = within[0], within[-1]
    medians = (statistics.median(column) for column in list(zip(*within, strict=True))[2:])
    cuts = statistics.quantiles(waited_ms, n=100)
    return Row(
        (last.answered - first.answered) / (last.at - first.at), *medians, cuts[49], cuts[98]
    )


ALLOWED = {
    "photos_s": (0.95, None, 0.0),
    "memory_mb": (None, 1.05, 5.0),
    "files": (None, 1.05, 5.0),
    "keys": (None, 1.05, 20.0),
    "redis_mb": (None, 1.05, 1.0),
}
"""The least and the most that the last fifth may be of the second, and how much more is nothing at
all. Redis remembers commits for a quarter of an hour, so its memory passes in runs that are longer
than that in the middle: half an hour."""


def broken(second: Row, last: Row) -> list[str]:
    found = []
    for name, (least, most, spare) in ALLOWED.items():
        before, after = getattr(second, name), getattr(last, name)
        if (least is not None and after < least * before) or (
            most is not None and after > most * before + spare
        ):
            found.append(f"{name}: {before:.1f} in the second fifth, {after:.1f} in the last")
    return found


def table(rows: Sequence[Row]) -> Table:
    made = Table(title="soak: gateways together, and Redis")
    for column in (
        "fifth",
        "photos/s",
        "MB",
        "open files",
        "keys in Redis",
        "MB in Redis",
        "p50 ms",
        "p99 ms",
    ):
        made.add_column(column, justify="right")
    for number, row in enumerate(rows, 1):
        made.add_row(str(number), *(f"{value:.1f}" for value in row))
    ratios = (
        last / second if second else float(last == second)
        for second, last in zip(rows[1], rows[-1], strict=True)
    )
    made.add_row("last / 2nd", *(f"{ratio:.3f}" for ratio in ratios))
    return made


async def run(soak: Soak, folder: Path) -> tuple[list[Row], list[str]]:
    """The fifths, and what is broken."""
    samples: list[Sample] = []
    clock = Clock([])
    async with (
        fleet(soak.plan, folder) as made,
        Receiver().listening() as receiver,
        crowd(made, random.Random(1)) as clients,
    ):
        await made.upstream.faults(latency_ms=50)
        sampling = asyncio.create_task(sample(made, clients, soak, samples))
        await load(clients, soak, receiver.url, clock)
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
        wrong = [told for told in clients.told if not told.right]
    rows = fifths(samples, clock.waits)
    return rows, broken(rows[1], rows[-1]) + [
        f"photo {told.number}: {told.error or told.answer}" for told in wrong[:5]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=Soak.minutes)
    parser.add_argument("--rate", type=float, default=Soak.rate, help="photos a second")
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--keep", type=Path, help="a folder for logs and configs, which is kept")
    options = parser.parse_args()
    if lacking := missing(options.shared):
        raise SystemExit(f"this needs {lacking}")
    soak = Soak(options.minutes, options.rate)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        rows, wrong = asyncio.run(
            run(replace(soak, plan=replace(soak.plan, shared=options.shared)), folder)
        )
    console = Console(width=150, highlight=False)
    console.print(table(rows))
    for each in wrong:
        console.print(f"[bold red]broken:[/] {each}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
