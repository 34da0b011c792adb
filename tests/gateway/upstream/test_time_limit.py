"""The outer time limit of calls, which holds for providers that keep none themselves."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from gateway.core.clock import steady
from gateway.core.errors import BilledUnknown
from gateway.core.events import Events
from gateway.ledger.accounts import total
from gateway.store.ledger import tenant_accounts
from gateway.testing.pictures import Block, drawn, photo
from gateway.testing.provider import ScriptedProvider, about
from gateway.upstream.client import UpstreamClient
from gateway.upstream.registry import UpstreamRegistry
from gateway.upstream.time_limit import OVERTIME_S, StallMonitor
from providers.base import ForwardCall, ForwardReply, Picture
from providers.call_limits import BreakerOptions, CallLimits
from providers.detection import Task
from providers.errors import NoAnswer, PictureRefused, Unavailable
from tests.support.pipeline import route_of, run_pipeline
from tests.support.waiting import PATIENCE_S, wait_until

PICTURE = Picture(1, 1, b"any")
RED = photo(drawn((320, 320), Block("red", 20, 130, 60, 190)))


def silent(**fields: Any) -> ScriptedProvider:
    """A provider that answers nothing, without an end."""
    limits = CallLimits(breaker=BreakerOptions(failures=1, calls=1), timeout_s=0.05)
    return ScriptedProvider(about=about("one", **{"calls": limits, **fields}), gate=asyncio.Event())


class SilentForwarder(ScriptedProvider):
    """A provider that forwards calls, and gets no reply."""

    async def forward(self, call: ForwardCall) -> ForwardReply:
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_call_without_end_is_one_that_may_be_billed() -> None:
    """A provider that never answers is given up: its call counts as one that may be billed and as
    a failure for the breaker, and its slot is free."""
    one = silent(concurrency=1)
    client = UpstreamClient(one, steady(), random.Random(1))
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(NoAnswer, match=r"one gave no answer within 0.05 s \(timeout_ms\)"):
            await client.ask(PICTURE, Task.OBJECTS, 0.0)
    assert one.active_calls == 0

    route = route_of("1x1", provider="one", max_wait_s=0.0, fallback=None)
    async with run_pipeline(one, route, billed_unknown="fail") as pipeline:
        (outcome,) = await pipeline.answer(RED)
        assert isinstance(outcome.error, BilledUnknown)
        assert total(await tenant_accounts(pipeline.buffer.ledger)).unknown == 1
        assert pipeline.upstream["one"].breaker.state == "open"


async def test_a_forwarded_call_without_end_is_given_up_too() -> None:
    """The limit holds for calls that are forwarded whole."""
    provider = SilentForwarder(about=about("one", calls=CallLimits(timeout_s=0.05)))
    registry = UpstreamRegistry.of({"one": provider}, steady(), random.Random(1), Events())
    with pytest.raises(NoAnswer, match="timeout_ms"):
        await registry.forward("one", ForwardCall("CompareFaces"), PATIENCE_S)


async def test_a_providers_own_error_comes_first() -> None:
    """A provider that notices its time limit itself has its own error, which may say that nothing
    was sent."""
    provider = ScriptedProvider(
        about=about("one", calls=CallLimits(timeout_s=0.05)), errors=[Unavailable("no connection")]
    )
    client = UpstreamClient(provider, steady(), random.Random(1))
    with pytest.raises(Unavailable, match="no connection"):
        await client.ask(PICTURE, Task.OBJECTS, 0.0)


async def test_busy_slots_without_an_answer_are_a_problem() -> None:
    """A registry tells the provider whose slots are all busy too long, and why."""
    one = silent(concurrency=2, calls=CallLimits(timeout_s=-OVERTIME_S + 0.5))
    registry = UpstreamRegistry.of({"one": one}, steady(), random.Random(1), Events())
    assert registry.problems() == {}
    ask = partial(registry["one"].ask, PICTURE, Task.OBJECTS, steady()() + PATIENCE_S)

    async def ask_on() -> None:
        while True:
            with suppress(NoAnswer):
                await ask()

    calls = [asyncio.create_task(ask_on()) for _ in range(2)]
    await wait_until(registry.problems)
    assert "all 2 calls at a time (concurrency) are under way" in registry.problems()["one"]
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


class TestStall:
    """A provider with two slots and a time limit of 20 seconds, and a second more."""

    @pytest.fixture
    def monitor(self) -> StallMonitor:
        return StallMonitor(about(concurrency=2, calls=CallLimits(timeout_s=20)))

    def test_a_free_slot_is_no_problem(self, monitor: StallMonitor) -> None:
        """However long a call takes, there is no problem while a slot is free."""
        monitor.begin(0)
        assert monitor.problem(1000) == ""

    def test_all_slots_busy_for_long_are_a_problem(self, monitor: StallMonitor) -> None:
        """All slots are busy, and nothing came for longer than one call may take."""
        monitor.begin(0)
        monitor.begin(5)
        assert monitor.problem(21) == ""
        assert monitor.problem(22).endswith("none was answered for 22 s")

    def test_calls_without_an_answer_do_not_count(self, monitor: StallMonitor) -> None:
        """Calls that end without an answer make place for others, which changes nothing."""
        monitor.begin(0)
        monitor.begin(0)
        monitor.end(21, NoAnswer("lost"))
        monitor.begin(21)
        assert monitor.problem(22)

    @pytest.mark.parametrize("error", [None, PictureRefused("no picture"), Unavailable("down")])
    def test_any_answer_ends_the_problem(
        self, monitor: StallMonitor, error: Exception | None
    ) -> None:
        """An answer, or an error of the provider, shows that slots become free."""
        monitor.begin(0)
        monitor.begin(0)
        monitor.end(21, error)
        monitor.begin(21)
        assert monitor.problem(42) == ""
        assert monitor.problem(43)
