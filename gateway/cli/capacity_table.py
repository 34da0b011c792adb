"""A schedule by a deadline on the console."""

from __future__ import annotations

from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from gateway.quality.capacity_plan import CapacityPlan
from thresholds.plan.capacity import DeviceRun, Schedule

WIDTH = 78


def schedule_table(network: str, schedule: Schedule, deadline_s: float) -> Table:
    """What each device does; neighbours that do the same share a row. It fits 80 columns."""
    table = Table(title=escape(network), box=SIMPLE_HEAD, width=WIDTH)
    table.add_column("devices", overflow="fold", ratio=1)
    for column in ("mini-batch", "repetitions", "photos", "seconds", "margin"):
        table.add_column(column, justify="right", no_wrap=True)
    for _, group in groupby(schedule, _work):
        runs = list(group)
        run = runs[0]
        table.add_row(
            escape(_names(runs)),
            str(run.batch.size),
            f"{run.repetitions:,}",
            f"{run.photos:,}",
            f"{run.seconds:.2f}",
            f"{deadline_s - run.seconds:.2f}",
        )
    if len(schedule) > 1:
        table.caption = "photos are those of each device"
    return table


def _work(run: DeviceRun) -> tuple[object, ...]:
    return run.batch, run.repetitions, run.photos


def _names(runs: list[DeviceRun]) -> str:
    """The name of one device, or the first and the last of several and how many they are."""
    first, last = runs[0].device.name, runs[-1].device.name
    return first if len(runs) == 1 else f"{first} to {last} ({len(runs)})"


def machine_table(plan: CapacityPlan) -> Table:
    """The machines to rent. It fits 80 columns."""
    table = Table(title="machines", box=SIMPLE_HEAD, width=WIDTH)
    table.add_column("kind", overflow="fold", ratio=1)
    table.add_column("network", overflow="fold", ratio=2)
    for column in ("machines", "there are", "USD an hour"):
        table.add_column(column, justify="right", no_wrap=True)
    for kind, network, count in plan.shares:
        table.add_row(
            escape(kind.name),
            escape(network),
            str(count),
            str(kind.count),
            f"{count * kind.usd_per_hour:.2f}",
        )
    return table
