"""The price of pictures, and a provider's description of itself by task."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import About, Limits
from providers.detection import Task
from providers.options import Options
from providers.prices import Price, Tier, parse_price
from providers.rekognition.provider import PRICE

LIST = Price(0.001, tiers=(Tier(1_000, 0.0008), Tier(5_000, 0.0006)))

dollars = st.floats(0, 1)
amounts = st.integers(0, 100_000)
tier_starts = st.sets(st.integers(1, 50_000), max_size=5).map(sorted)


@st.composite
def prices(draw: st.DrawFn, *, falling: bool = False) -> Price:
    """Price lists of up to six tiers."""
    starts = draw(tier_starts)
    costs = draw(st.lists(dollars, min_size=len(starts) + 1, max_size=len(starts) + 1))
    first, *later = sorted(costs, reverse=True) if falling else costs
    return Price(first, tiers=tuple(map(Tier, starts, later)))


@pytest.mark.parametrize(
    ("images", "usd"),
    [(0, 0), (1, 0.001), (1_000, 1), (1_001, 1.0008), (5_000, 4.2), (6_000, 4.8), (2.5, 0.0025)],
)
def test_a_tiers_price_is_for_the_images_within_it(images: float, usd: float) -> None:
    """A tier's price is for the images within it; the images before cost what they cost before."""
    assert LIST.usd_per_month(images) == pytest.approx(usd)


@given(dollars, amounts)
def test_without_tiers_every_image_costs_the_same(usd: float, images: int) -> None:
    """Without tiers every image costs the same."""
    assert Price(usd).usd_per_month(images) == pytest.approx(usd * images)


@given(prices(), amounts, amounts)
def test_costs_never_leap(price: Price, some: int, others: int) -> None:
    """Each further image costs at least the cheapest tier's price and at most the dearest's."""
    few, many = sorted((some, others))
    rates = [price.usd_per_image, *(tier.usd_per_image for tier in price.tiers)]
    more = price.usd_per_month(many) - price.usd_per_month(few)
    assert min(rates) * (many - few) - 1e-6 <= more <= max(rates) * (many - few) + 1e-6


@given(prices(falling=True), amounts, amounts)
def test_falling_prices_favour_one_large_month(price: Price, some: int, others: int) -> None:
    """Where prices fall, a month of the mean size costs no less than two months on average, and one
    large month costs no more than both."""
    middle = price.usd_per_month((some + others) / 2)
    sum_of_both = price.usd_per_month(some) + price.usd_per_month(others)
    assert 2 * middle >= sum_of_both - 1e-6
    assert price.usd_per_month(some + others) <= sum_of_both + 1e-6


@given(st.lists(prices(), max_size=4), amounts)
def test_a_total_costs_what_each_list_asks(several: Sequence[Price], images: int) -> None:
    """A total of several price lists costs what each of them asks, for any number of images."""
    total = Price.total(several)
    assert total.usd_per_month(images) == pytest.approx(
        sum(price.usd_per_month(images) for price in several)
    )


def test_a_total_is_as_old_as_its_oldest_list() -> None:
    """A total of prices that were read on several days has the date of the earliest."""
    days = date(2026, 5, 1), date(2026, 6, 1), None
    assert Price.total([Price(1, day) for day in days]).as_of == days[0]


def test_tasks_and_extras_have_prices_of_their_own() -> None:
    """A task may have a price of its own; each extra costs its own price, or the task's where it
    has none."""
    about = About(
        "a",
        "a",
        frozenset(Task),
        price=Price(1),
        prices={Task.TEXT: Price(2)},
        extras={"hue": Price(4)},
    )
    assert [
        about.price_of(task).usd_per_image for task in (Task.OBJECTS, Task.TEXT, Task.EXTRAS)
    ] == [1, 2, 0]
    extras = ["hue?colours=3", "hue", "mood"]
    assert about.price_of(Task.EXTRAS, extras).usd_per_image == 5
    assert about.price_of(Task.TEXT, extras).usd_per_image == 2


def test_a_tasks_own_limits_bound_its_canvases() -> None:
    """A task may have tighter limits than the others, and its canvases keep within them."""
    tight = Limits(1000, max_side_px=640)
    about = About(
        "a", "a", frozenset(Task), own_limits={Task.EQUIPMENT: tight}, canvas_px=(1280, 320)
    )
    assert (about.limits_of(Task.EQUIPMENT), about.limits_of(Task.TEXT)) == (tight, Limits())
    assert about.for_task(Task.TEXT) is about
    narrow = about.for_task(Task.EQUIPMENT)
    assert (narrow.limits, narrow.canvas_px) == (tight, (640, 320))


@pytest.mark.parametrize("starts", [(0,), (-1,), (10, 10), (20, 10)])
def test_tiers_out_of_order_are_refused(starts: tuple[int, ...]) -> None:
    """Tiers that do not begin one after the other are refused."""
    with pytest.raises(ValueError, match="tiers must begin above 0 images"):
        Price(1, tiers=tuple(Tier(begin, 0.5) for begin in starts))


@pytest.mark.parametrize("usd", [-0.001, float("nan"), float("inf")])
def test_a_price_that_is_no_amount_is_refused(usd: float) -> None:
    """A price that is no amount of money is refused, in every tier."""
    for wrong in ((usd, ()), (1, (Tier(10, usd),))):
        with pytest.raises(ValueError, match="0 or more"):
            Price(wrong[0], tiers=wrong[1])


@pytest.mark.parametrize(
    ("setting", "price"),
    [
        (0.5, Price(0.5)),
        (0, Price()),
        ({0: 0.5}, Price(0.5)),
        ({1000: 0.0008, 0: 0.001, 5000: 0.0006}, LIST),
        ({"0": "0.001", "1000": "0.0008", "5000": "0.0006"}, LIST),
    ],
)
def test_a_price_is_a_number_or_one_a_tier(
    setting: dict[int, float] | dict[str, str] | float, price: Price
) -> None:
    """A price is written as a number, or as one for each tier by where it begins, in any order."""
    assert parse_price(setting) == parse_price(price) == price


@given(prices())
def test_prices_in_options_can_be_written_and_read(price: Price) -> None:
    """The prices in a provider's options can be written down and read again."""
    options = Options(kind="test", usd_per_image=price)
    for mode in ("python", "json"):
        assert Options(**options.model_dump(mode=mode)) == options
    assert Options(**Options(kind="test").model_dump()).usd_per_image is None


def test_rekognitions_prices_fall_by_the_months_images() -> None:
    """Rekognition's prices fall by the month's images: 1,000 dollars for the first million, 800 for
    the next."""
    assert PRICE.as_of
    assert [PRICE.usd_per_month(millions * 1e6) for millions in (1, 2, 5, 35, 36)] == pytest.approx(
        [1_000, 1_800, 4_200, 22_200, 22_600]
    )
    rates = [PRICE.usd_per_image, *(tier.usd_per_image for tier in PRICE.tiers)]
    assert all(later < earlier for earlier, later in pairwise(rates))
