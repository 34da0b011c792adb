"""A death around a billed call is billed once at most, and the ledger says what may be billed."""

from __future__ import annotations

import pytest

from gateway.core.errors import BilledUnknown
from gateway.core.model import (
    Outcome,
)
from gateway.ledger.accounts import billed_charges, total
from gateway.store.buffer import Commit, Settlement
from gateway.store.ledger import tenant_accounts
from gateway.testing.listeners import BufferRecorder
from gateway.testing.redis_server import RedisServer
from tests.support.redis_buffer import (
    ALL,
    LANE,
    die,
    entry,
    names,
    run_replica,
)


class TestBills:
    @pytest.mark.parametrize("rule", ["retry", "fail"])
    async def test_a_death_during_a_call_may_be_billed(
        self, server: RedisServer, rule: str
    ) -> None:
        """The ledger says that a call under way at a replica's death may be billed, and the rule
        decides."""
        recorder = BufferRecorder()
        async with (
            run_replica(server, rule) as one,
            run_replica(server, rule) as two,
            two.serving(recorder),
        ):
            await two.put([entry("a"), entry("b", tenant="bob"), entry("c")])
            claimed = await one.claim(LANE, ALL)
            assert names(await one.ask("canvas", claimed)) == "abc"
            await die(one)
            await two.heartbeat.beat()
            accounts = await tenant_accounts(two.ledger)
            assert accounts["ann"].unknown == pytest.approx(2 / 3)
            assert accounts["bob"].unknown == pytest.approx(1 / 3)
            if rule == "retry":
                assert names(await two.claim(LANE, ALL)) == "abc"
            else:
                await recorder.until(lambda: len(recorder.outcomes) == 3)
                assert all(
                    isinstance(outcome.error, BilledUnknown)
                    for outcome in recorder.outcomes.values()
                )

    async def test_a_late_answer_is_billed_once(self, server: RedisServer) -> None:
        """A replica that was presumed dead during a call, and still gets the answer, is billed for
        it once."""
        async with (
            run_replica(server) as one,
            run_replica(server) as two,
            two.serving(BufferRecorder()),
        ):
            await two.put([entry("a"), entry("b", tenant="bob")])
            claimed = await one.claim(LANE, ALL)
            await one.ask("canvas", claimed)
            await die(one)
            await two.heartbeat.beat()
            assert total(await tenant_accounts(two.ledger)).unknown == pytest.approx(1)
            await one.heartbeat.beat()
            await one.commit(Commit(ended_canvas="canvas", charges=billed_charges(claimed, 0.001)))
            account = total(await tenant_accounts(two.ledger))
            assert (account.billed, account.unknown) == (pytest.approx(1), pytest.approx(0))

    async def test_a_death_during_a_free_call_leaves_no_bill(self, server: RedisServer) -> None:
        """A replica's death during a free call leaves no bill, and its photos go to another
        replica."""
        async with (
            run_replica(server, "fail") as one,
            run_replica(server, "fail") as two,
            two.serving(BufferRecorder()),
        ):
            await two.put([entry("a")])
            assert names(await one.ask("", await one.claim(LANE, ALL))) == "a"
            await die(one)
            await two.heartbeat.beat()
            assert total(await tenant_accounts(two.ledger)).unknown == 0
            assert names(await two.claim(LANE, ALL)) == "a"

    async def test_watched_photos_leave_with_their_replica(self, server: RedisServer) -> None:
        """Photos that a replica only watched leave with it, and the ledger does not count them."""
        async with run_replica(server) as one, run_replica(server) as two:
            await two.heartbeat.beat()
            await one.put([entry("a", watched=True)])
            await die(one)
            await two.heartbeat.beat()
            assert (await two.occupancy()).photos == 0
            assert total(await tenant_accounts(two.ledger)).photos == 0

    async def test_a_death_without_a_billed_call_leaves_no_bill(self, server: RedisServer) -> None:
        """A death before the call, or after a failed call that is known to be free, leaves no
        bill."""
        async with (
            run_replica(server, "fail") as one,
            run_replica(server, "fail") as two,
            two.serving(BufferRecorder()),
        ):
            await two.put([entry("a")])
            claimed = await one.claim(LANE, ALL)
            await one.ask("canvas", claimed)
            await one.commit(Commit(ended_canvas="canvas"))
            await die(one)
            await two.heartbeat.beat()
            assert total(await tenant_accounts(two.ledger)).unknown == 0
            assert names(await two.claim(LANE, ALL)) == "a"

    async def test_an_answer_and_its_photos_are_settled_in_one_step(
        self, server: RedisServer
    ) -> None:
        """An answer is kept and its photos settled in one step, so that a death after it leaves no
        open call."""
        recorder = BufferRecorder()
        async with run_replica(server) as one, run_replica(server) as two, two.serving(recorder):
            await two.put([entry("a")])
            claimed = await one.claim(LANE, ALL)
            await one.ask("canvas", claimed)
            settlements = [Settlement(each, Outcome(each.photo), 0.001) for each in claimed]
            await one.commit(
                Commit(
                    settlements=settlements,
                    ended_canvas="canvas",
                    charges=billed_charges(claimed, 0.001),
                )
            )
            await die(one)
            await two.heartbeat.beat()
            await recorder.until(lambda: "a" in recorder.outcomes)
            assert await two.backlogs() == {}
            account = total(await tenant_accounts(two.ledger))
            assert (account.photos, account.billed, account.unknown) == (1, 1, 0)

    async def test_a_repeated_commit_counts_once(self, server: RedisServer) -> None:
        """A commit that is repeated because its reply was lost counts once."""
        async with run_replica(server) as one:
            await one.put([entry("a")])
            claimed = await one.claim(LANE, ALL)
            commit = Commit(
                settlements=[Settlement(claimed[0], Outcome(None))],
                charges=billed_charges(claimed, 0.001),
            )
            assert await one.commit(commit) == await one.commit(commit) == {"a"}
            assert total(await tenant_accounts(one.ledger)).billed == 1
            late = Commit(settlements=[Settlement(claimed[0], Outcome(None))])
            assert await one.commit(late) == await one.commit(late) == frozenset()
