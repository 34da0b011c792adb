"""What was paid, and what the same answers would have cost alone, by tenant."""

import pytest

from gateway.errors import DeadlineExceeded
from gateway.events import CallFailed, Left, LoopFailed, Refused
from gateway.hooks.ledger import Account, Ledger


@pytest.fixture
def ledger():
    return Ledger({"dear": 0.001, "free": 0.0})


def test_empty(ledger):
    """It begins at zero."""
    assert ledger.total == Account()
    assert (ledger.canvases, ledger.total.saved) == (0, 0.0)


def test_shares(ledger, asked):
    """A canvas of four is one image, a quarter of it owed by each of its photos."""
    ledger(asked("ann", "ann", "ann", "bob"))
    assert ledger.canvases == 1
    assert (ledger.accounts["ann"].billed, ledger.accounts["bob"].billed) == (0.75, 0.25)
    assert ledger.accounts["ann"].paid_usd == pytest.approx(0.00075)
    assert ledger.accounts["bob"].paid_usd == pytest.approx(0.00025)


def test_part_filled(ledger, asked):
    """The photos on a part-filled canvas share all of its price; its empty cells owe nothing."""
    ledger(asked("ann", "bob", shape="5x5"))
    assert [ledger.accounts[name].billed for name in ("ann", "bob")] == [0.5, 0.5]


def test_broken(ledger, asked):
    """A photo that could not be drawn was not on the canvas and owes nothing for it."""
    ledger(asked("ann", "bob", "ann", broken=(1,)))
    assert ledger.accounts["ann"].billed == 1
    assert ledger.accounts["bob"].billed == 0


@pytest.mark.parametrize("count", [1, 3, 7, 25])
def test_one_image(ledger, asked, count):
    """However many photos share a canvas, their shares are one image."""
    ledger(asked(*(str(index) for index in range(count)), shape="5x5"))
    assert ledger.total.billed == pytest.approx(1)
    assert ledger.total.paid_usd == pytest.approx(0.001)


def test_answered(ledger, settled):
    """Each photo answered would have cost the price of one image, asked alone."""
    ledger(settled("ann", "dear"))
    ledger(settled("ann", "dear", "dear"))
    account = ledger.accounts["ann"]
    assert (account.photos, account.answered) == (2, 2)
    assert account.alone_usd == pytest.approx(0.002)


def test_last_provider(ledger, settled):
    """Alone, a photo would have been asked of the provider whose answer stood."""
    ledger(settled("ann", "free", "dear"))
    ledger(settled("bob", "dear", "free"))
    assert ledger.accounts["ann"].alone_usd == 0.001
    assert ledger.accounts["bob"].alone_usd == 0


def test_failed(ledger, settled):
    """A photo that failed is counted, and would have saved nothing."""
    ledger(settled("ann", error=DeadlineExceeded("late")))
    account = ledger.accounts["ann"]
    assert (account.photos, account.answered, account.alone_usd) == (1, 0, 0)


def test_saved(ledger, asked, settled):
    """What is saved is the share of images not paid for: four photos on one canvas, and one of them again alone."""
    ledger(asked("ann", "ann", "ann", "ann"))
    ledger(asked("ann", shape="1x1"))
    for _ in range(4):
        ledger(settled("ann", "dear"))
    assert ledger.accounts["ann"].saved == pytest.approx(1 - 2 / 4)
    assert ledger.accounts["ann"].paid_usd == pytest.approx(0.002)
    assert ledger.accounts["ann"].alone_usd == pytest.approx(0.004)


def test_loss(ledger, asked, settled):
    """Asked more often than there were photos, it is a loss."""
    ledger(asked("ann", shape="1x1"))
    ledger(asked("ann", shape="1x1"))
    ledger(settled("ann", "dear", "dear"))
    assert ledger.accounts["ann"].saved == -1


def test_total(ledger, asked, settled):
    """The total is the sum of all tenants."""
    ledger(asked("ann", "ann", "ann", "bob"))
    ledger(asked("bob", provider="free", shape="1x1"))
    for name in ("ann", "ann", "ann", "bob"):
        ledger(settled(name, "dear"))
    total = ledger.total
    assert (total.photos, total.answered, total.billed, ledger.canvases) == (4, 4, 2, 2)
    assert total.paid_usd == pytest.approx(0.001)
    assert total.alone_usd == pytest.approx(0.004)
    assert total.saved == 0.5


def test_other_events(ledger, settled):
    """Refusals, failed calls and clients that left cost nothing."""
    for event in (Refused("native", "busy"), CallFailed("dear", "Throttled", ""), Left(settled("ann", "dear").entry),
                  LoopFailed("")):  # fmt: skip
        ledger(event)
    assert ledger.total == Account()
