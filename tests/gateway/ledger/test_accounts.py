"""The cost of a canvas to each tenant on it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import Entry, Lane, Photo, Size
from gateway.ledger.accounts import (
    MOST_ROWS,
    OTHER,
    Account,
    AccountKey,
    Charges,
    LedgerRow,
    billed_charges,
    bounded,
    by_tenant,
    charges_of,
    shares,
    unsure_charges,
)
from providers.detection import Task
from thresholds.shape import Shape

LANE = Lane("dear", Task.OBJECTS, "us", Shape(2, 2))


def entries(*tenants: str) -> list[Entry]:
    photo = Photo("a", b"1", "JPEG", Size(4, 3))
    return [Entry(photo, "route", tenant, LANE, 0, 0, 0, 0) for tenant in tenants]


def tenant_sums(charges: Charges) -> dict[str, Account]:
    """The charges by tenant."""
    sums = by_tenant(LedgerRow("", key, account) for key, account in charges.items())
    return dict(sums)


def test_each_tenant_owes_its_photos_part() -> None:
    """Each tenant owes its photos' part of the canvas."""
    charges = tenant_sums(billed_charges(entries("ann", "ann", "ann", "bob"), 0.001))
    assert (charges["ann"].billed, charges["bob"].billed) == (0.75, 0.25)
    assert charges["ann"].paid_usd == pytest.approx(0.00075)


def test_a_filler_owes_its_own_lanes_price() -> None:
    """A photo from a coarser lane that fills a cell owes its part of a full canvas of its own lane,
    and the photos of the canvas's own lane share the rest."""
    fillers = [
        replace(entry, lane=LANE._replace(shape=Shape(5, 5))) for entry in entries("bob", "bob")
    ]
    assert shares([*entries("ann", "ann"), *fillers]) == pytest.approx([0.46, 0.46, 0.04, 0.04])
    charges = tenant_sums(billed_charges([*entries("ann", "ann"), *fillers], 0.001))
    assert (charges["ann"].billed, charges["bob"].billed) == (
        pytest.approx(0.92),
        pytest.approx(0.08),
    )
    assert shares(fillers) == [0.5, 0.5]


def test_an_empty_canvas_costs_no_tenant_anything() -> None:
    """A canvas without photos costs no tenant anything."""
    assert billed_charges([], 1) == {}


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.integers(0, 3), st.floats(0, 1))
def test_all_parts_of_a_canvas_are_one_image(tenants: list[str], fillers: int, usd: float) -> None:
    """All parts of a canvas add up to one image, billed or unknown, however many tenants share
    it."""
    photos = entries(*tenants)
    photos += [replace(photos[0], lane=LANE._replace(shape=Shape(3, 3)))] * min(
        fillers, 4 - len(tenants)
    )
    billed = sum(billed_charges(photos, usd).values(), Account())
    assert (billed.billed, billed.paid_usd) == (pytest.approx(1), pytest.approx(usd))
    unsure = sum(unsure_charges(photos).values(), Account())
    assert (unsure.unknown, unsure.billed, unsure.paid_usd) == (pytest.approx(1), 0, 0)


@pytest.mark.parametrize(
    ("account", "saved"),
    [
        (Account(), 0),
        (Account(4, 4, billed=2), 0.5),
        (Account(2, 1, billed=2), -1),
        (Account(3, 0, billed=1), 0),
    ],
)
def test_saved_is_the_share_of_images_not_paid_for(account: Account, saved: float) -> None:
    """The saving is the share of images that were not paid for, though more images may be paid for
    than photos are answered."""
    assert account.saved == saved


def test_charges_to_one_account_add_up() -> None:
    """Charges to one account add up, and those of a tenant's other key stay apart."""
    ann, phone = AccountKey("ann"), AccountKey("ann", key="phone")
    charges = charges_of(
        [
            (ann, Account(photos=1, billed=0.5)),
            (phone, Account(cached=1)),
            (ann, Account(answered=1, watching=0.25)),
        ]
    )
    assert charges == {ann: Account(1, 1, 0.5, watching=0.25), phone: Account(cached=1)}


def test_the_gateways_own_questions_stand_apart() -> None:
    """Of the images billed it is said which were asked about to learn a plan, and which to compare
    answers with those of photos alone."""
    client, watched = entries("ann", "ann")
    look = replace(watched, watched=True, variant="look 2x2")
    charges = billed_charges([client, replace(watched, watched=True), look, client], 0.001)
    (account,) = charges.values()
    assert (account.billed, account.watching, account.learning) == (1, 0.25, 0.25)


@given(st.builds(AccountKey, *[st.text(min_size=1)] * 6))
def test_a_key_is_read_as_it_was_written(key: AccountKey) -> None:
    """A store gives back the key that it was given."""
    assert AccountKey.of_text(key.text) == key


@pytest.mark.parametrize("name", ["ann", "[ann", "shop in Köln"])
def test_a_tenants_name_alone_is_a_key(name: str) -> None:
    """Releases before keys wrote the name alone."""
    assert AccountKey.of_text(name) == AccountKey(name)


def test_a_client_with_ever_new_tags_fills_no_store() -> None:
    """Beyond so many accounts of a tenant on one day, a new one counts under a common key; those
    that there are go on."""
    known = [AccountKey("ann", tags=f"user={number}") for number in range(MOST_ROWS)]
    new = AccountKey("ann", "phone", "user=new", "objects", "aws", "objects")
    assert bounded(new, known) == AccountKey("ann", OTHER, OTHER, "objects", "aws", "objects")
    assert bounded(new, known[1:]) == new
    assert bounded(known[0], known) == known[0]
