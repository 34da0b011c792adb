"""What operators ask of a gateway's stores by command, beside the gateway or in its stead."""

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
    """What comes of the work on the stores, which are closed after it. Raises ConfigError where
    they are away."""

    async def opened() -> T:
        stores = open_stores(config, file, steady())
        try:
            return await work(stores)
        except BufferAway as error:
            raise ConfigError(f"{file}: redis: {error.__cause__ or error}") from None
        finally:
            await stores.close()

    return asyncio.run(opened())


async def buffer_report(stores: Stores) -> RenderableType:
    """What waits and is held in a shared buffer, who serves it, and its dead letters."""
    held, lanes, dead = (
        await stores.inspection.occupancy(),
        await stores.inspection.backlogs(),
        await stores.inspection.dead_letters(),
    )
    return Group(_held(held), _lanes(lanes, steady()()), _dead(dead))


def _held(held: Occupancy) -> str:
    return f"{held.photos} photos held, {held.bytes / 2**20:.1f} MiB, waiting and in flight"


def _lanes(lanes: Mapping[BufferLane, Backlog], now: float) -> Table:
    made = Table(title="lanes")
    for column in ("provider", "task", "pool", "shape", "waiting", "oldest", "client waits"):
        made.add_column(column)
    for lane, waiting in sorted(lanes.items()):
        oldest = f"{max(now - waiting.oldest_at, 0):.1f} s"
        cells = (lane.provider, lane.task, lane.pool, str(lane.shape), str(waiting.photos), oldest)
        made.add_row(*map(escape, cells), "yes" if waiting.urgent else "no, jobs only")
    return made


def _dead(dead: Sequence[DeadPhoto]) -> Table:
    made = Table(title=f"{len(dead)} dead letters: their holders died, time after time")
    for column in ("photo", "tenant", "job", "provider", "shape", "claims", "since"):
        made.add_column(column, overflow="fold")
    for letter in dead:
        lane = lane_of(letter.lane.encode())
        since = datetime.fromtimestamp(letter.at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        cells = (
            letter.photo,
            letter.tenant,
            letter.job,
            lane.provider,
            str(lane.shape),
            str(letter.claims),
            since,
        )
        made.add_row(*map(escape, cells))
    return made
