"""Reports on a gateway's stores, for operators: beside a running gateway or without one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from gateway.config.errors import ConfigError
from gateway.config.settings import Settings
from gateway.core.clock import steady
from gateway.core.errors import BufferAway
from gateway.core.model import BufferLane
from gateway.store.codec import lane_of
from gateway.store.inspection import Backlog, DeadPhoto, Occupancy
from gateway.wiring.stores import Stores, open_stores

T = TypeVar("T")


def with_stores(config: Settings, file: Path, work: Callable[[Stores], Awaitable[T]]) -> T:
    """The result of work on the stores, which are closed after it. Raises ConfigError where they
    are away."""

    async def run() -> T:
        stores = open_stores(config, file, steady())
        try:
            return await work(stores)
        except BufferAway as error:
            raise ConfigError(f"{file}: redis: {error.__cause__ or error}") from None
        finally:
            await stores.close()

    return asyncio.run(run())


async def buffer_report(stores: Stores) -> RenderableType:
    """How full a shared buffer is, the backlogs of its lanes, and its dead letters."""
    inspection = stores.inspection
    occupancy, backlogs = await inspection.occupancy(), await inspection.backlogs()
    letters = await inspection.dead_letters()
    return Group(
        _occupancy_line(occupancy), lane_table(backlogs, steady()()), dead_letter_table(letters)
    )


def _occupancy_line(occupancy: Occupancy) -> str:
    mib = occupancy.bytes / 2**20
    return f"{occupancy.photos} photos held, {mib:.1f} MiB, waiting and in flight"


def lane_table(backlogs: Mapping[BufferLane, Backlog], now: float) -> Table:
    """A row a lane. It fits 80 columns."""
    table = Table(title="lanes")
    for column in ("provider", "task", "pool"):
        table.add_column(column, overflow="fold")
    for column in ("shape", "waiting", "oldest", "for"):
        table.add_column(column, no_wrap=True)
    for lane, backlog in sorted(backlogs.items()):
        cells = (
            lane.provider,
            lane.task,
            lane.pool,
            str(lane.shape),
            str(backlog.photos),
            f"{max(now - backlog.oldest_at, 0):.1f} s",
            "clients" if backlog.urgent else "jobs",
        )
        table.add_row(*map(escape, cells))
    return table


def dead_letter_table(letters: Sequence[DeadPhoto]) -> Table:
    """A row a dead letter. It fits 80 columns, and no id is broken: people copy it."""
    table = Table(title=f"{len(letters)} dead letters: their holders died, time after time")
    table.add_column("photo", no_wrap=True)
    table.add_column("of, at, and since", overflow="fold")
    for letter in letters:
        lane = lane_of(letter.lane.encode())
        since = datetime.fromtimestamp(letter.at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        owner = f"{letter.tenant}, {letter.job}" if letter.job else letter.tenant
        lines = (owner, f"{lane.provider} {lane.shape}", f"{letter.claims} claims, {since}")
        table.add_row(escape(letter.photo), escape("\n".join(lines)))
    return table
