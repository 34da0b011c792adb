"""A whole gateway whose route plans itself: a real pipeline, a provider that really sees, and
plans of a process of their own."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from gateway.app import running
from gateway.core.events import CanvasAnswered, PlanLearned
from gateway.core.model import Outcome, Tenant
from gateway.learning.lessons import Phase
from gateway.store.ledger import tenant_accounts
from gateway.testing.gateway import parts_of
from gateway.testing.listeners import EventRecorder
from gateway.testing.pictures import COLOURS, Block, drawn, encoded, photo
from gateway.testing.provider import ScriptedProvider, about
from gateway.wiring.parts import Parts
from providers.detection import Task
from providers.errors import Unavailable
from providers.prices import Price
from tests.support.waiting import wait_until

SHOP = Tenant("shop", "shop")
ROUTE = {
    "task": "objects",
    "provider": "eye",
    "cascade": "auto",
    "max_drop": 0.05,
    "learn": {"images": 150, "share": 0, "shapes": ["2x2"]},
    "max_wait_ms": 100,
}
OBSERVED = 120
"""Photos that 150 images pay for: a quarter in a grid of four, and one for reference."""


def blocks(rng: random.Random) -> bytes:
    """A photo of one or two large blocks, which any grid shows."""
    found = [
        Block(rng.choice(list(COLOURS)), x, 40, x + rng.randint(80, 120), rng.randint(120, 220))
        for x in (20, 180)[: rng.randint(1, 2)]
    ]
    return encoded(drawn((320, 240), *found))


def gateway(folder: Path, provider: ScriptedProvider, **route: Any) -> Parts:
    config = {
        "providers": {"eye": {"kind": "shapes"}, "own": {"kind": "shapes"}},
        "routes": [{**ROUTE, **route}],
        "jobs": {"max_wait_ms": 50},
        "threads": 1,
    }
    return parts_of(folder, config, {"eye": provider})


async def answers(parts: Parts, photos: list[bytes]) -> list[Outcome]:
    """The outcome of each photo, of clients that ask at the same time."""
    lessons, scheduler = parts.pipeline.learner.lessons, parts.pipeline.scheduler
    route = lessons.current(parts.routes["objects"], SHOP.pool)
    variant = parts.pipeline.drift_monitor.level(route)
    return await scheduler.answer([photo(data) for data in photos], route, SHOP, variant=variant)


async def plan(parts: Parts, rng: random.Random) -> None:
    """Sends photos until the first plan is made; until then each goes alone."""
    learner = parts.pipeline.learner

    async def is_planned() -> bool:
        state = learner.lessons.state(parts.routes["objects"], SHOP.pool)
        if state is not None and state.lesson.observations < OBSERVED:
            outcomes = await answers(parts, [blocks(rng) for _ in range(12)])
            assert [outcome.share for outcome in outcomes] == [1.0] * 12
        await learner.update()
        return state is not None and state.plan is not None

    await wait_until(is_planned)


@pytest.mark.slow
async def test_a_route_learns_to_save(tmp_path: Path) -> None:
    """Photos go alone, and exactly, until the budget is spent; then the route plans itself, and new
    photos share canvases with the same answers. The ledger has every image."""
    rng, events = random.Random(3), EventRecorder()
    eye = ScriptedProvider(about=about("eye", price=Price(0.001)))
    parts = gateway(tmp_path, eye)
    parts.events.listeners.append(events)
    async with running(parts):
        await plan(parts, rng)
        (learned,) = events.of(PlanLearned)
        state = parts.pipeline.learner.lessons.state(parts.routes["objects"], SHOP.pool)
        assert state is not None
        assert state.phase == Phase.SAVING
        assert (learned.is_saving, learned.photos) == (True, state.lesson.observations)
        assert OBSERVED * 1.25 - 1.25 < state.lesson.tally.spent <= 153
        later = [blocks(rng) for _ in range(12)]
        outcomes = await answers(parts, later)
        assert sum(outcome.share for outcome in outcomes) <= 6
        assert all(outcome.detections and not outcome.error for outcome in outcomes)
        billed = len(events.of(CanvasAnswered))
    accounts = await tenant_accounts(parts.stores.ledger)
    assert accounts["shop"].billed == pytest.approx(billed)


@pytest.mark.slow
async def test_a_gateway_that_starts_again_goes_on_saving(tmp_path: Path) -> None:
    """What was learned is in the file of jobs: the next process saves from its first photo on."""
    rng = random.Random(4)
    first = gateway(tmp_path, ScriptedProvider(about=about("eye")))
    async with running(first):
        await plan(first, rng)
    second = gateway(tmp_path, ScriptedProvider(about=about("eye")))
    async with running(second):
        outcomes = await answers(second, [blocks(rng) for _ in range(12)])
    assert sum(outcome.share for outcome in outcomes) <= 6


async def test_a_companion_that_fails_costs_no_clients_photo(tmp_path: Path) -> None:
    """Where the companion answers nothing, photos teach nothing; clients are answered alone."""

    def down(*_: object) -> list[Any]:
        raise Unavailable("down")

    own = ScriptedProvider(down, about=about("own", task=Task.OBJECTS))
    parts = parts_of(
        tmp_path,
        {
            "providers": {"eye": {"kind": "shapes"}, "own": {"kind": "shapes"}},
            "routes": [{**ROUTE, "companion": "own"}],
            "jobs": {"max_wait_ms": 0, "deadline_ms": 1_000},
            "threads": 1,
        },
        {"eye": ScriptedProvider(about=about("eye")), "own": own},
    )
    async with running(parts):
        outcomes = await answers(parts, [blocks(random.Random(5)) for _ in range(40)])
        assert [outcome.error for outcome in outcomes] == [None] * 40
        await wait_until(lambda: own.calls >= 36)
        await asyncio.sleep(0)
        assert parts.pipeline.learner.lessons.current(parts.routes["objects"], "shop").plan == ""
