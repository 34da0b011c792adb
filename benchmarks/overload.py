"""What reaches clients when more photos arrive than the provider can answer: open-loop arrivals, a
provider of fixed speed, a deadline for every photo.

Goodput is photos answered in time, as a share of what the provider could answer in the first shape
of the route. `waste` is the share of the bill that paid for no answer in time. Each gateway is
tried under the same arrivals, one after the other.

    python benchmarks/overload.py
    python benchmarks/overload.py --imgrid ../before/.venv/bin/imgrid --imgrid .venv/bin/imgrid

Needs aiohttp. Photos arrive as a Poisson process of a fixed seed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from common import percentile, photos, two_sides
from fixed_speed import billed_by, gateway_process, provider_process
from rich.console import Console
from rich.table import Table

CONCURRENCY = 4
"""The provider answers so many canvases at a time."""
DEADLINE_S = 5.0
TOLERANCE_S = 0.25
"""An answer that comes so much after the deadline counts as in time: the clock runs at the client,
from before the connection."""
UNSURE = {"kind": "imgrid", "area": {"mean": 1.0}}
"""A rule that doubts every answer of the provider here."""
GRID: Sequence[Mapping[str, Any]] = [{"shape": "2x2"}]
CASCADE: Sequence[Mapping[str, Any]] = [{"shape": "2x2", "rule": UNSURE}, {"shape": "1x1"}]


@dataclass(frozen=True)
class Scenario:
    """Stages, and arrivals as a multiple of the photos a second that `cells` photos on each canvas
    allow."""

    name: str
    stages: Sequence[Mapping[str, Any]]
    factor: float
    cells: int = 4

    def capacity_per_s(self, call_s: float) -> float:
        return self.cells * CONCURRENCY / call_s


SCENARIOS = (
    Scenario("2x2, 0.8 of capacity", GRID, 0.8),
    Scenario("2x2, 1.5 times", GRID, 1.5),
    Scenario("2x2, 3 times", GRID, 3.0),
    Scenario("2x2 then 1x1, twice what 1x1 answers", CASCADE, 2.0, cells=1),
)


@dataclass
class Tally:
    """What became of the photos that arrived while it was counted."""

    capacity_per_s: float
    seconds: float = 0.0
    arrivals: int = 0
    in_time: int = 0
    late: int = 0
    in_time_shares: float = 0.0
    billed: int = 0
    answers_s: list[float] = field(default_factory=list)
    refusals_s: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)

    def count(self, status: int, body: Mapping[str, Any], seconds: float) -> None:
        self.arrivals += 1
        if status == 200:
            if seconds <= DEADLINE_S + TOLERANCE_S:
                self.in_time += 1
                self.in_time_shares += body["photos"][0]["billed"]
                self.answers_s.append(seconds)
            else:
                self.late += 1
        elif status in (429, 503):
            self.refusals_s.append(seconds)
        else:
            self.errors[str(status)] = self.errors.get(str(status), 0) + 1

    def row(self) -> list[str]:
        accepted = self.arrivals - len(self.refusals_s)
        waste = 1 - self.in_time_shares / self.billed if self.billed else 0.0
        refused_s = percentile(self.refusals_s, 0.99) if len(self.refusals_s) > 1 else 0.0
        answer_s = percentile(self.answers_s, 0.99) if len(self.answers_s) > 1 else 0.0
        return [
            f"{self.arrivals / self.seconds:.0f}",
            f"{self.in_time / self.seconds / self.capacity_per_s:.2f}",
            f"{max(waste, 0.0):.1%}",
            f"{self.in_time / accepted:.1%}" if accepted else "",
            f"{answer_s:.2f}",
            f"{len(self.refusals_s)}",
            f"{1000 * refused_s:.0f}",
            ", ".join(f"{status}: {count}" for status, count in sorted(self.errors.items())),
        ]


async def offer(
    url: str, scenario: Scenario, endpoint: str, *, call_s: float, seconds: float, warm_s: float
) -> Tally:
    """Photos that arrive whether earlier ones are answered or not. The first `warm_s` seconds are
    not counted."""
    rng, data = random.Random(11), photos(200)
    rate = scenario.capacity_per_s(call_s)
    tally = Tally(rate)
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=3 * DEADLINE_S)
    headers = {"Content-Type": "image/jpeg"}
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session,
        asyncio.TaskGroup() as tasks,
    ):

        async def ask(counted: bool) -> None:
            began = time.perf_counter()
            try:
                async with session.post(f"{url}/v1/detect", data=rng.choice(data)) as response:
                    status, body = response.status, await response.json()
            except (aiohttp.ClientError, TimeoutError) as error:
                status, body = 0, {"error": repr(error)}
            if counted:
                tally.count(status, body, time.perf_counter() - began)

        began = time.perf_counter()
        arrival_s, billed_before = 0.0, -1
        while arrival_s < warm_s + seconds:
            arrival_s += rng.expovariate(scenario.factor * rate)
            await asyncio.sleep(max(0.0, began + arrival_s - time.perf_counter()))
            counted = arrival_s >= warm_s
            if counted and billed_before < 0:
                billed_before = await billed_by(session, endpoint)
            tasks.create_task(ask(counted))
        tally.seconds = seconds
        tally.billed = await billed_by(session, endpoint) - billed_before
    return tally


async def run(
    imgrids: Sequence[Path],
    scenarios: Sequence[Scenario],
    *,
    call_s: float,
    seconds: float,
    warm_s: float,
) -> Table:
    table = Table(
        title=f"{CONCURRENCY} canvases at a time, {1000 * call_s:.0f} ms each, "
        f"deadline {DEADLINE_S:g} s, {seconds:g} s counted after {warm_s:g} s"
    )
    for name in ("scenario", "gateway"):
        table.add_column(name)
    for name in (
        "arrivals /s",
        "goodput / capacity",
        "waste",
        "in time of accepted",
        "answer p99 s",
        "refused",
        "refusal p99 ms",
        "errors",
    ):
        table.add_column(name, justify="right")
    for scenario in scenarios:
        for imgrid in imgrids:
            route = {
                "task": "objects",
                "provider": "fixed",
                "stages": list(scenario.stages),
                "watch": {"share": 0},
                "deadline_ms": int(1000 * DEADLINE_S),
            }
            async with (
                provider_process(call_s, CONCURRENCY) as endpoint,
                gateway_process(
                    imgrid,
                    endpoint,
                    {"routes": [route]},
                    cores=two_sides()[0],
                    concurrency=CONCURRENCY,
                ) as (url, _),
            ):
                tally = await offer(
                    url, scenario, endpoint, call_s=call_s, seconds=seconds, warm_s=warm_s
                )
            table.add_row(scenario.name, str(imgrid), *tally.row())
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--imgrid", type=Path, action="append", help="a gateway's command; several are compared"
    )
    parser.add_argument(
        "--scenario", type=int, action="append", help=f"1 to {len(SCENARIOS)}; all without it"
    )
    parser.add_argument("--call-ms", type=float, default=400.0, help="each takes so long")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--warm-s", type=float, default=10.0)
    options = parser.parse_args()
    imgrids = options.imgrid or [Path(sys.executable).parent / "imgrid"]
    os.sched_setaffinity(0, two_sides()[1])
    table = asyncio.run(
        run(
            [imgrid.absolute() for imgrid in imgrids],
            [SCENARIOS[number - 1] for number in options.scenario or range(1, 1 + len(SCENARIOS))],
            call_s=options.call_ms / 1000,
            seconds=options.seconds,
            warm_s=options.warm_s,
        )
    )
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
