"""The ledger is watched: notices of budgets are sent once, and tiers are kept current."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from gateway.core.errors import GatewayError
from gateway.core.events import BudgetReached, Events
from gateway.ledger.accounts import Account, AccountKey
from gateway.ledger.budgets import Budget, BudgetMode, Budgets
from gateway.pipeline.ledger_watch import RETRY_S, BudgetNotice, LedgerWatch
from gateway.store.buffer import Capacity, Commit
from gateway.store.memory.buffer import MemoryBuffer
from gateway.testing.listeners import EventRecorder
from gateway.upstream.tiers import RunningTiers
from providers.prices import Price, Tier
from tests.support.clocks import HandClock

BUDGET = Budget("shop", 100.0)
DAY_S = 86400.0


@dataclass
class Receiver:
    """Takes notices, or is away."""

    notices: list[BudgetNotice] = field(default_factory=list)
    is_away: bool = False

    async def __call__(self, notice: BudgetNotice) -> bool:
        if self.is_away:
            raise GatewayError("nobody is there")
        self.notices.append(notice)
        return True

    @property
    def thresholds(self) -> list[float]:
        return [notice.threshold for notice in self.notices]


class WatchHarness:
    """A watch over one tenant's budgets, in memory."""

    def __init__(self, *budgets: Budget) -> None:
        self.clock = HandClock()
        self.buffer = MemoryBuffer(Capacity(), clock=self.clock)
        self.receiver, self.events = Receiver(), EventRecorder()
        self.tiers = RunningTiers()
        self.watch = self.restarted(budgets)

    def restarted(self, budgets: tuple[Budget, ...]) -> LedgerWatch:
        """The watch of a new process over the same store."""
        return LedgerWatch(
            Budgets(budgets),
            self.buffer.budgets,
            self.buffer.ledger,
            self.tiers,
            set(),
            self.receiver,
            Events([self.events]),
            self.clock,
        )

    async def spend(self, usd: float) -> None:
        """Spends so much, and looks."""
        await self.buffer.commit(Commit(meters={BUDGET.meter(self.clock()): usd}))
        await self.watch.look()


class TestNotices:
    async def test_each_threshold_is_told_once(self) -> None:
        """At 50, 80 and 100 % the tenant is told, once each."""
        harness = WatchHarness(BUDGET)
        for usd in (40, 10, 10, 25, 5, 20, 1):
            await harness.spend(usd)
        assert harness.receiver.thresholds == [0.5, 0.8, 1.0]

    async def test_of_several_thresholds_the_highest_is_told(self) -> None:
        """One call that reaches all of them is told as one."""
        harness = WatchHarness(BUDGET)
        await harness.spend(120)
        assert harness.receiver.thresholds == [1.0]

    async def test_a_new_period_tells_anew(self) -> None:
        """In the next month the same threshold is told again."""
        harness = WatchHarness(BUDGET)
        await harness.spend(60)
        harness.clock.now += 31 * DAY_S
        await harness.spend(60)
        assert harness.receiver.thresholds == [0.5, 0.5]

    async def test_a_restart_tells_nothing_twice(self) -> None:
        """What another process sent is not sent again."""
        harness = WatchHarness(BUDGET)
        await harness.spend(60)
        await harness.restarted((BUDGET,)).look()
        assert harness.receiver.thresholds == [0.5]

    async def test_a_receiver_that_is_away_is_told_later(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A notice that did not arrive is tried again after some minutes, until it does."""
        harness = WatchHarness(BUDGET)
        harness.receiver.is_away = True
        await harness.spend(60)
        assert "waits: nobody is there" in caplog.text
        harness.receiver.is_away = False
        await harness.watch.look()
        assert harness.receiver.thresholds == []
        harness.clock.now += RETRY_S
        await harness.watch.look()
        await harness.watch.look()
        assert harness.receiver.thresholds == [0.5]

    async def test_a_shadow_budget_tells_nobody(self) -> None:
        """Its tenant does not know of it; metrics do."""
        harness = WatchHarness(Budget("shop", 100.0, mode=BudgetMode.SHADOW))
        await harness.spend(120)
        assert harness.receiver.notices == []
        assert harness.watch.over == {BUDGET.meter(harness.clock())}

    async def test_a_notice_says_what_there_is_to_know(self) -> None:
        """The webhook's body names the budget, what is spent, and when it begins anew."""
        harness = WatchHarness(BUDGET)
        await harness.spend(85.5)
        body = json.loads(harness.receiver.notices[0].body)
        assert body["type"] == "budget.reached"
        assert (body["limit"], body["spent"], body["threshold"]) == (100, 85.5, 0.8)
        assert body["resets_at"] == BUDGET.resets_at(harness.clock())


async def test_each_look_tells_how_much_is_spent() -> None:
    """For metrics, every budget's share that is spent is an event at each look."""
    harness = WatchHarness(BUDGET)
    await harness.spend(25)
    event = harness.events.of(BudgetReached)[-1]
    assert (event.tenant, event.budget, event.share) == ("shop", "100 USD a month", 0.25)


async def test_tiers_are_those_of_the_month() -> None:
    """Only this month's images count."""
    harness = WatchHarness()
    price = Price(0.001, tiers=(Tier(1000, 0.0008),))
    key = AccountKey("shop", task="objects", provider="aws")
    await harness.buffer.ledger.charge({key: Account(billed=1000)}, charge_id="c")
    await harness.watch.look_at_month()
    assert harness.tiers.paid_usd(price, "aws", "objects") == 0.0008
    harness.clock.now += 31 * DAY_S
    await harness.watch.look_at_month()
    assert harness.tiers.paid_usd(price, "aws", "objects") == 0.001


@pytest.mark.parametrize(
    ("account", "loses"),
    [
        (Account(1000, 1000, billed=1100), True),
        (Account(1000, 1000, billed=400), False),
        (Account(1000, 1000, billed=1100, watching=200), False),
        (Account(1000, 1000, billed=600, cached=500), True),
        (Account(100, 100, billed=200), False),
    ],
    ids=["more than alone", "less", "its own questions", "cached photos", "too few to say"],
)
async def test_a_route_whose_grids_cost_more_than_they_save_is_named(
    account: Account, loses: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, in the log, and in the notices of /readyz while it lasts."""
    harness = WatchHarness()
    key = AccountKey("shop", task="objects", provider="aws", route="objects")
    await harness.buffer.ledger.charge({key: account}, charge_id="c")
    await harness.watch.look_at_month()
    await harness.watch.look_at_month()
    assert list(harness.watch.losses) == (["objects"] if loses else [])
    assert caplog.text.count("cost more than they save") == loses
