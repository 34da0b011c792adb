"""Replicas of a gateway that share a buffer in Redis, and the photos that they put there."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from gateway.core.clock import steady
from gateway.core.events import Events
from gateway.core.model import (
    Entry,
    Lane,
    Photo,
    Route,
    Size,
)
from gateway.grid.renderer import Renderer
from gateway.ledger.budgets import Budgets
from gateway.pipeline.assembly import Steps
from gateway.pipeline.budget_gate import BudgetGate
from gateway.pipeline.cascade_step import CascadeStep
from gateway.pipeline.wait_forecast import WaitForecast
from gateway.store.buffer import Capacity
from gateway.store.redis.buffer import RedisBuffer
from gateway.store.redis.connection import Commands
from gateway.testing.provider import ScriptedProvider
from gateway.testing.redis_server import RedisServer
from gateway.upstream.registry import UpstreamRegistry
from providers.detection import Task
from tests.support.redis import patient_commands
from thresholds.cascade import Cascade, Stage
from thresholds.shape import Shape

LANE = Lane("one", Task.OBJECTS, "us", Shape(2, 2))
ALL = 1e12
"""A time at which every photo is out of time."""
ANSWERED_WITHIN_S = 2.0
"""How soon a photo is refused in an outage."""


@asynccontextmanager
async def run_replica(
    server: RedisServer,
    rule: str = "retry",
    room: Capacity | None = None,
    *,
    open_commands: Callable[[RedisServer], Commands] = patient_commands,
) -> AsyncIterator[RedisBuffer]:
    """The buffer of one replica."""
    commands = open_commands(server)
    try:
        yield RedisBuffer(
            commands, room or Capacity(), room or Capacity(), clock=steady(), rule=rule
        )
    finally:
        await commands.close()


def entry(name: str, lane: Lane = LANE, tenant: str = "ann", **changes: Any) -> Entry:
    now = time.time()
    photo = Photo(name, name.encode() * 5, "JPEG", Size(4, 3))
    return Entry(photo, "route", tenant, lane, now, now, now, now + 600, **changes)


def steps_at(buffer: RedisBuffer, provider: ScriptedProvider, route: Route) -> Steps:
    """The pipeline's parts at the replica with this buffer, for one route of one provider."""
    clock, events = steady(), Events([])
    upstream = UpstreamRegistry.of({route.provider: provider}, clock, random.Random(1), events)
    return Steps(
        {route.name: route},
        upstream,
        buffer,
        forecast=WaitForecast(upstream, buffer, clock),
        budget_gate=BudgetGate(Budgets(), buffer.budgets, events, clock),
        renderer=Renderer(1),
        events=events,
        clock=clock,
    )


def canvas_calls_of(buffer: RedisBuffer, provider: ScriptedProvider) -> CascadeStep:
    """The part of a replica that processes canvases."""
    route = Route("route", Task.OBJECTS, "one", Cascade(stages=[Stage(shape="2x2")]))
    return steps_at(buffer, provider, route).cascade_step


def names(entries: Iterable[Entry]) -> str:
    """The photos' names, sorted, in one word."""
    return "".join(sorted(entry.photo.id for entry in entries))


async def die(buffer: RedisBuffer) -> None:
    """Stops the heartbeat of the replica until its lease ends."""
    client = buffer.replica.commands.client
    await client.zadd("{imgrid}:alive", {buffer.replica.name: time.time() - 1})
