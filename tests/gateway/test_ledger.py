"""What a canvas costs each tenant on it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger import Account, added, billed, total, unknown
from gateway.model import Entry, Lane, Photo, Size
from providers.base import Task
from thresholds.shape import Shape

LANE = Lane("dear", Task.OBJECTS, "us", Shape(2, 2))


def entries(*tenants: str) -> list[Entry]:
    photo = Photo("a", b"1", "JPEG", Size(4, 3))
    return [Entry(photo, "route", tenant, LANE, 0, 0, 0, 0) for tenant in tenants]


def test_shares():
    """Each tenant owes its photos' part of the canvas."""
    charges = billed(entries("ann", "ann", "ann", "bob"), 0.001)
    assert (charges["ann"].billed, charges["bob"].billed) == (0.75, 0.25)
    assert charges["ann"].paid_usd == pytest.approx(0.00075)


def test_nobody():
    """A canvas without photos costs nobody anything."""
    assert billed([], 1) == {}


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=25), st.floats(0, 1))
def test_one_image(tenants, usd):
    """However many share a canvas, it is one image, billed or unknown."""
    assert total(billed(entries(*tenants), usd)).billed == pytest.approx(1)
    assert total(billed(entries(*tenants), usd)).paid_usd == pytest.approx(usd)
    maybe = total(unknown(entries(*tenants)))
    assert (maybe.unknown, maybe.billed, maybe.paid_usd) == (pytest.approx(1), 0, 0)


@pytest.mark.parametrize(
    ("account", "saved"),
    [(Account(), 0), (Account(4, 4, billed=2), 0.5), (Account(2, 1, billed=2), -1), (Account(3, 0, billed=1), 0)],
)
def test_saved(account, saved):
    """What is saved is the share of images not paid for; more may be asked than photos are answered."""
    assert account.saved == saved


def test_sums():
    """Charges to one tenant add up."""
    charges = added([("ann", Account(photos=1, billed=0.5)), ("bob", Account()), ("ann", Account(answered=1))])
    assert charges == {"ann": Account(1, 1, 0.5), "bob": Account()}
