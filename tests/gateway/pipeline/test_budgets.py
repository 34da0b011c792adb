"""A canvas is asked about while the budgets of all its photos have room for it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.errors import BudgetExhausted
from gateway.core.events import BudgetRefused
from gateway.core.model import Outcome, Photo, Tenant
from gateway.ledger.budgets import Budget, BudgetMode, BudgetUnit, Spending
from gateway.pipeline.budget_gate import REMEMBERED_S
from gateway.testing.pictures import Block, drawn, photo
from gateway.testing.provider import ScriptedProvider, about
from providers.errors import Misconfigured, NoAnswer, Throttled
from providers.prices import Price
from tests.support.pipeline import PipelineHarness, route_of, run_pipeline
from tests.support.waiting import wait_until

ANN, BOB = Tenant("ann", "shared"), Tenant("bob", "shared")
PRICE = about(price=Price(0.5))


def red() -> Photo:
    return photo(drawn((64, 64), Block("red", 8, 8, 56, 56)))


def images(limit: float, mode: BudgetMode = BudgetMode.HARD, tag: str = "") -> Budget:
    """Ann's budget of so many images a month."""
    return Budget("ann", limit, BudgetUnit.IMAGES, mode=mode, tag=tag)


def codes(outcomes: list[Outcome]) -> list[str]:
    return ["ok" if each.error is None else each.error.code for each in outcomes]


async def spending(pipeline: PipelineHarness, budget: Budget) -> Spending:
    meter = budget.meter(pipeline.clock())
    return (await pipeline.buffer.budgets.spendings([meter]))[meter]


async def test_photos_beyond_a_hard_budget_are_refused() -> None:
    """A photo whose price does not fit any more is refused without a call, and the error says when
    the budget begins anew."""
    provider, budget = ScriptedProvider(about=PRICE), images(2)
    async with run_pipeline(provider, route_of("1x1"), budgets=[budget]) as pipeline:
        for _ in range(2):
            assert codes(await pipeline.answer(red())) == ["ok"]
        (outcome,) = await pipeline.answer(red())
        assert isinstance(outcome.error, BudgetExhausted)
        assert "2 images a month is spent. It begins anew at" in str(outcome.error)
        assert outcome.error.retry_after_s is None
        assert provider.calls == 2
        assert await spending(pipeline, budget) == Spending(2, 0)
        await pipeline.assert_empty()


async def test_us_dollars_are_those_that_are_paid() -> None:
    """A budget in USD has room for what the ledger is going to charge."""
    provider, budget = ScriptedProvider(about=PRICE), Budget("ann", 1.2)
    async with run_pipeline(provider, route_of("1x1"), budgets=[budget]) as pipeline:
        outcomes = [outcome for _ in range(3) for outcome in await pipeline.answer(red())]
        assert codes(outcomes) == ["ok", "ok", "budget_exhausted"]
        assert (await spending(pipeline, budget)).spent == 1.0


async def test_a_refused_photo_touches_nobody_else_on_its_canvas() -> None:
    """Of photos that share a canvas those without a budget left fail; the others are asked about,
    and share the price."""
    provider = ScriptedProvider(about=PRICE)
    route = route_of("2x2", max_wait_s=0.05)
    async with run_pipeline(provider, route, budgets=[images(0.2)]) as pipeline:
        outcomes = await pipeline.answer_each(*(red() for _ in range(4)), tenants=(ANN, BOB))
        assert codes(outcomes) == ["budget_exhausted", "ok", "budget_exhausted", "ok"]
        assert provider.calls == 1
        assert [outcome.share for outcome in outcomes if outcome.error is None] == [0.5, 0.5]


async def test_shares_of_a_canvas_fill_a_budget() -> None:
    """A photo on a canvas of four takes a quarter of an image of its budget."""
    provider, budget = ScriptedProvider(about=PRICE), images(1)
    async with run_pipeline(provider, route_of("2x2"), budgets=[budget]) as pipeline:
        assert codes(await pipeline.answer(*(red() for _ in range(4)))) == ["ok"] * 4
        assert await spending(pipeline, budget) == Spending(1, 0)


async def test_calls_under_way_together_stay_within_a_budget() -> None:
    """While calls are under way their price is held: of many photos at once only so many are asked
    about as there is room for."""
    gate = asyncio.Event()
    provider, budget = ScriptedProvider(about=PRICE, gate=gate), images(3)
    async with run_pipeline(provider, route_of("1x1"), budgets=[budget]) as pipeline:
        answering = pipeline.answer_each(*(red() for _ in range(10)))
        answers = asyncio.ensure_future(answering)
        await wait_until(lambda: provider.calls == 3)
        assert await spending(pipeline, budget) == Spending(0, 3)
        gate.set()
        assert sorted(codes(await answers)) == ["budget_exhausted"] * 7 + ["ok"] * 3
        assert provider.calls == 3
        assert await spending(pipeline, budget) == Spending(3, 0)


@pytest.mark.parametrize("error", [Misconfigured("no"), Throttled("slow")])
async def test_a_call_that_is_not_billed_gives_back_its_price(error: Exception) -> None:
    """A call that fails without a bill leaves the budget as it was."""
    provider, budget = ScriptedProvider(about=PRICE, errors=[error] * 100), images(1)
    route = route_of("1x1", deadline_s=0.2)
    async with run_pipeline(provider, route, budgets=[budget]) as pipeline:
        (outcome,) = await pipeline.answer(red())
        assert outcome.error is not None
        await pipeline.assert_empty()
        assert await spending(pipeline, budget) == Spending(0, 0)


async def test_an_image_that_may_be_billed_is_not_spent() -> None:
    """What may be billed is told apart in the ledger, and not counted against budgets."""
    provider, budget = ScriptedProvider(about=PRICE, errors=[NoAnswer("?")]), images(1)
    async with run_pipeline(provider, route_of("1x1"), budgets=[budget]) as pipeline:
        assert codes(await pipeline.answer(red())) == ["ok"]
        assert await spending(pipeline, budget) == Spending(1, 0)


async def test_a_spent_budget_refuses_at_once() -> None:
    """For a moment after a refusal, further requests are refused before they wait for a canvas; a
    request that another budget covers is not."""
    provider = ScriptedProvider(about=PRICE)
    budgets = [images(0.5, tag="team=search")]
    searching = Tenant("ann", "shared", tags="team=search")
    async with run_pipeline(provider, route_of("1x1"), budgets=budgets) as pipeline:
        assert codes(await pipeline.answer(red(), tenant=searching)) == ["budget_exhausted"]
        with pytest.raises(BudgetExhausted):
            await pipeline.answer(red(), tenant=searching)
        assert codes(await pipeline.answer(red())) == ["ok"]
        pipeline.clock.ahead_s += REMEMBERED_S
        assert codes(await pipeline.answer(red(), tenant=searching)) == ["budget_exhausted"]


@pytest.mark.parametrize("mode", [BudgetMode.SOFT, BudgetMode.SHADOW])
async def test_other_budgets_refuse_nothing(mode: BudgetMode) -> None:
    """Beyond a soft or a shadow budget photos are answered, and what is spent is counted."""
    provider, budget = ScriptedProvider(about=PRICE), images(1, mode=mode)
    async with run_pipeline(provider, route_of("1x1"), budgets=[budget]) as pipeline:
        for _ in range(3):
            assert codes(await pipeline.answer(red())) == ["ok"]
        assert await spending(pipeline, budget) == Spending(3, 0)


async def test_a_shadow_budget_counts_what_it_would_have_refused() -> None:
    """Once it is known to be spent, each further request is told as one that a hard budget would
    have refused."""
    provider, budget = ScriptedProvider(about=PRICE), images(1, mode=BudgetMode.SHADOW)
    async with run_pipeline(provider, route_of("1x1"), budgets=[budget]) as pipeline:
        await pipeline.answer(red())
        pipeline.scheduler.budget_gate.over.add(budget.meter(pipeline.clock()))
        await pipeline.answer(red())
        (event,) = pipeline.events.of(BudgetRefused)
        assert (event.tenant, event.budget, event.mode) == ("ann", "1 images a month", "shadow")


async def test_a_photo_of_a_job_has_its_error() -> None:
    """A photo of a job that was accepted and finds its budget spent fails with that error."""
    provider = ScriptedProvider(about=PRICE)
    async with run_pipeline(provider, route_of("1x1"), budgets=[images(1)]) as pipeline:
        await pipeline.submit_job([red(), red()])
        assert sorted(codes(await pipeline.wait_for_job(2))) == ["budget_exhausted", "ok"]
