"""What a canvas costs each tenant on it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import Entry, Lane, Photo, Size
from gateway.ledger.accounts import (
    Account,
    billed_charges,
    charges_of,
    shares,
    total,
    unsure_charges,
)
from providers.detection import Task
from thresholds.shape import Shape

LANE = Lane("dear", Task.OBJECTS, "us", Shape(2, 2))


def entries(*tenants: str) -> list[Entry]:
    photo = Photo("a", b"1", "JPEG", Size(4, 3))
    return [Entry(photo, "route", tenant, LANE, 0, 0, 0, 0) for tenant in tenants]


def test_shares() -> None:
    """Each tenant owes its photos' part of the canvas."""
    charges = billed_charges(entries("ann", "ann", "ann", "bob"), 0.001)
    assert (charges["ann"].billed, charges["bob"].billed) == (0.75, 0.25)
    assert charges["ann"].paid_usd == pytest.approx(0.00075)


def test_company() -> None:
    """A photo that came along from a coarser lane owes what a full canvas of its own would have
    cost it; those whose canvas it is share the rest."""
    along = [
        replace(entry, lane=LANE._replace(shape=Shape(5, 5))) for entry in entries("bob", "bob")
    ]
    assert shares([*entries("ann", "ann"), *along]) == pytest.approx([0.46, 0.46, 0.04, 0.04])
    charges = billed_charges([*entries("ann", "ann"), *along], 0.001)
    assert (charges["ann"].billed, charges["bob"].billed) == (
        pytest.approx(0.92),
        pytest.approx(0.08),
    )
    assert shares(along) == [0.5, 0.5]


def test_nobody() -> None:
    """A canvas without photos costs nobody anything."""
    assert billed_charges([], 1) == {}


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.integers(0, 3), st.floats(0, 1))
def test_one_image(tenants, along, usd) -> None:
    """However many share a canvas, it is one image, billed or unknown."""
    photos = entries(*tenants)
    photos += [replace(photos[0], lane=LANE._replace(shape=Shape(3, 3)))] * min(
        along, 4 - len(tenants)
    )
    assert total(billed_charges(photos, usd)).billed == pytest.approx(1)
    assert total(billed_charges(photos, usd)).paid_usd == pytest.approx(usd)
    maybe = total(unsure_charges(photos))
    assert (maybe.unknown, maybe.billed, maybe.paid_usd) == (pytest.approx(1), 0, 0)


@pytest.mark.parametrize(
    ("account", "saved"),
    [
        (Account(), 0),
        (Account(4, 4, billed=2), 0.5),
        (Account(2, 1, billed=2), -1),
        (Account(3, 0, billed=1), 0),
    ],
)
def test_saved(account: Account, saved: float) -> None:
    """What is saved is the share of images not paid for; more may be asked than photos are
    answered."""
    assert account.saved == saved


def test_sums() -> None:
    """Charges to one tenant add up."""
    charges = charges_of(
        [("ann", Account(photos=1, billed=0.5)), ("bob", Account()), ("ann", Account(answered=1))]
    )
    assert charges == {"ann": Account(1, 1, 0.5), "bob": Account()}
