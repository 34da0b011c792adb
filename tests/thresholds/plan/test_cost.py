"""The cost of a photo at a stage."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.prices import Price, Tier
from thresholds.fusion.looks import ITSELF, LookKind
from thresholds.plan.cost import Costs, Traffic
from thresholds.shape import ALONE, Shape

GRID = LookKind(Shape(3, 2))
RATES = st.floats(0, 1e5)
CELLS = st.integers(1, 36)


def simulated_fill(rate: float, wait_s: float, cells: int, photos: int = 40_000) -> float:
    """Photos per canvas where they come at random: a photo begins a canvas, which leaves when it is
    full or its wait is over."""
    rng, now_s, canvases, occupied, due_s = random.Random(1), 0.0, 0, 0, 0.0
    for _ in range(photos):
        now_s += rng.expovariate(rate)
        if occupied == 0 or now_s > due_s:
            canvases, occupied, due_s = canvases + 1, 0, now_s + wait_s
        occupied = (occupied + 1) % cells
    return photos / canvases


@pytest.mark.parametrize(
    ("rate", "cells"), [(2, 6), (10, 6), (40, 6), (40, 25), (200, 25), (10, 2), (1, 1)]
)
def test_the_fill_is_that_of_a_simulation(rate: int, cells: int) -> None:
    """The mean number of photos on a canvas is that of a simulation, at any traffic."""
    assert Traffic(rate, 0.15).fill(cells) == pytest.approx(
        simulated_fill(rate, 0.15, cells), rel=0.02
    )


@pytest.mark.parametrize("portrait", [0.3, 0.5])
def test_each_orientation_fills_its_own_canvases(portrait: float) -> None:
    """Portrait and landscape photos fill canvases of their own, each with its part of the
    traffic."""
    fills = [(part, simulated_fill(30 * part, 0.15, 6)) for part in (portrait, 1 - portrait)]
    images = sum(part / fill for part, fill in fills)
    assert Traffic(30, 0.15, portrait).fill(6) == pytest.approx(1 / images, rel=0.02)


def simulated_share_above(rate: float, photos: int, cells: int) -> float:
    """The share of photos whose canvas, as above, holds more than `photos` of them."""
    rng, now_s, due_s, canvases = random.Random(1), 0.0, -1.0, [0]
    for _ in range(40_000):
        now_s += rng.expovariate(rate)
        if now_s > due_s or canvases[-1] == cells:
            canvases.append(0)
            due_s = now_s + 0.15
        canvases[-1] += 1
    return sum(count for count in canvases if count > photos) / sum(canvases)


@pytest.mark.parametrize(("rate", "photos", "cells"), [(2, 1, 6), (20, 2, 6), (40, 6, 25)])
def test_the_share_of_photos_on_fuller_canvases_is_that_of_a_simulation(
    rate: int, photos: int, cells: int
) -> None:
    """The share of photos that are on a canvas with more than so many others is that of a
    simulation."""
    assert Traffic(rate, 0.15).share_above(photos, cells) == pytest.approx(
        simulated_share_above(rate, photos, cells), abs=0.02
    )


@given(RATES, CELLS, st.integers(1, 36), st.floats(0, 1))
def test_the_share_on_fuller_canvases_is_a_share(
    rate: float, cells: int, photos: int, portrait: float
) -> None:
    """It lies between 0 and 1, and is 0 where a canvas has no more cells; without a rate all
    canvases are full."""
    share = Traffic(rate, 0.15, portrait).share_above(photos, cells)
    assert 0 <= share <= 1 + 1e-9
    if photos >= cells:
        assert share == 0
    assert Traffic().share_above(photos, photos + 1) == 1


@given(RATES, CELLS, st.floats(0, 1), st.floats(0, 1))
def test_the_fill_lies_between_one_and_all_cells(
    rate: float, cells: int, share: float, portrait: float
) -> None:
    """A canvas has at least one photo and at most one per cell."""
    assert 1 - 1e-9 <= Traffic(rate, 0.15, portrait).fill(cells, share) <= cells + 1e-9


@given(RATES, RATES, CELLS)
def test_more_traffic_costs_no_more(rate: float, more: float, cells: int) -> None:
    """A photo costs no more with more traffic, nor with a larger share of it at a stage."""
    kind = LookKind(Shape(cells, 1))
    busy, quiet = Costs(traffic=Traffic(rate + more)), Costs(traffic=Traffic(rate))
    assert busy.images(kind) <= quiet.images(kind) + 1e-9
    assert quiet.images(kind) <= quiet.images(kind, 0.4) + 1e-9


def test_without_a_rate_every_canvas_is_full() -> None:
    """Without a rate every canvas is full; a photo alone is a canvas of its own at any rate."""
    assert Costs().images(GRID) == pytest.approx(1 / 6)
    assert Costs(traffic=Traffic(0.001)).images(GRID) == pytest.approx(1, abs=0.01)
    assert Costs(traffic=Traffic(5)).images(ITSELF) == 1
    assert Traffic(0.0).fill(6) == 1


def test_a_companions_look_is_free() -> None:
    """A companion's look costs nothing."""
    assert Costs(companions=("free",)).images(LookKind(ALONE, "free")) == 0


def test_another_providers_image_counts_by_its_price() -> None:
    """Another provider's image counts by its price, in images of the route's own provider, and as
    one where a price is unknown."""
    costs = Costs({"": Price(0.001), "dear": Price(0.003), "unpaid": Price()})
    assert costs.images(LookKind(ALONE, "dear")) == pytest.approx(3)
    assert costs.images(LookKind(Shape(3, 2), "dear")) == pytest.approx(0.5)
    assert costs.images(LookKind(ALONE, "unpaid")) == 0
    assert Costs({"dear": Price(0.003)}).images(LookKind(ALONE, "dear")) == 1


def test_money_follows_the_price_tiers() -> None:
    """Cost in USD follows the tiers of the price list, and is 0 without one."""
    price = Price(0.001, tiers=(Tier(1000, 0.0005),))
    assert Costs({"": price}).usd_per_month(3000) == pytest.approx(2.0)
    assert Costs().usd_per_month(3000) == 0
