"""Dead deliveries are listed with their reasons, and can be replayed."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from gateway.cli.webhook_table import delivery_table
from gateway.core.events import DeliveryResult
from gateway.jobs.webhooks.dead_letters import replay
from tests.support.webhooks import (
    DeliveryMemory,
    ScriptedPost,
    delivery,
    run_deliverer,
)


async def test_a_replayed_delivery_starts_its_schedule_again() -> None:
    """A replayed dead delivery is due at once, under its own id, with the whole schedule before it
    again."""
    post = ScriptedPost(410, 500, 200)
    async with run_deliverer(post, delivery()) as bench:
        await bench.attempts(1)
        assert await replay(bench.store, ["d1"], everything=False) == 1
        bench.deliverer.wake()
        await bench.attempts(2)
        assert bench.attempts_made[1].retry_at == pytest.approx(bench.now + 5.25, abs=0.25)
        bench.turn(6)
        assert (await bench.attempts(3))[2].result is DeliveryResult.DELIVERED
    assert [headers["webhook-id"] for _, _, headers in post.sent] == ["d1"] * 3


@pytest.mark.parametrize(("ids", "everything"), [([], False), (["d1"], True)])
async def test_a_replay_names_some_or_all(ids: list[str], everything: bool) -> None:
    """A replay names some deliveries or all of them, and never guesses."""
    with pytest.raises(ValueError, match="name the deliveries"):
        await replay(DeliveryMemory(), ids, everything=everything)


async def test_all_dead_deliveries_can_be_replayed() -> None:
    """All dead deliveries can be replayed at once; missing ones are not counted."""
    store = DeliveryMemory(dead={name: delivery(name) for name in "abc"})
    assert await replay(store, ["a", "gone"], everything=False) == 1
    assert await replay(store, [], everything=True) == 2


def test_the_list_explains_each_dead_delivery() -> None:
    """The list of dead deliveries gives their subject, their destination and the reason of the
    failure."""
    dead = [
        delivery("d1", attempts=8, last_error="The receiver answered with status [500]."),
        delivery("d2", kind="photo.settled", index=7, attempts=1, last_error="status 410"),
    ]
    console = Console(width=200, record=True, file=StringIO())
    console.print(delivery_table(dead))
    shown = console.export_text()
    for text in (
        "2 dead deliveries",
        "d1",
        "job-1",
        "photo.settled 7",
        "http://receiver.example/hook",
        "2027-01-15",
        "status [500]",
        "status 410",
    ):
        assert text in shown
