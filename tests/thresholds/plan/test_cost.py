"""What a photo costs at a stage."""

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


def simulated(rate, wait, cells, photos=40_000):
    """Photos a canvas where they come by chance: one begins a canvas, which leaves when it is full
    or its wait over."""
    rng, now, canvases, held, due = random.Random(1), 0.0, 0, 0, 0.0
    for _ in range(photos):
        now += rng.expovariate(rate)
        if held == 0 or now > due:
            canvases, held, due = canvases + 1, 0, now + wait
        held = (held + 1) % cells
    return photos / canvases


@pytest.mark.parametrize(
    ("rate", "cells"), [(2, 6), (10, 6), (40, 6), (40, 25), (200, 25), (10, 2), (1, 1)]
)
def test_fill(rate: int, cells: int) -> None:
    """The mean number of photos on a canvas is that of a simulation, at any traffic."""
    assert Traffic(rate, 0.15).fill(cells) == pytest.approx(simulated(rate, 0.15, cells), rel=0.02)


@pytest.mark.parametrize("portrait", [0.3, 0.5])
def test_fill_of_two_orientations(portrait: float) -> None:
    """Portrait and landscape photos fill canvases of their own, each with its part of the
    traffic."""
    each = [(part, simulated(30 * part, 0.15, 6)) for part in (portrait, 1 - portrait)]
    images = sum(part / fill for part, fill in each)
    assert Traffic(30, 0.15, portrait).fill(6) == pytest.approx(1 / images, rel=0.02)


@given(RATES, CELLS, st.floats(0, 1), st.floats(0, 1))
def test_between(rate, cells, share, portrait) -> None:
    """A canvas has at least one photo and at most as many as it has cells."""
    assert 1 - 1e-9 <= Traffic(rate, 0.15, portrait).fill(cells, share) <= cells + 1e-9


@given(RATES, RATES, CELLS)
def test_more_traffic_costs_no_more(rate, more, cells) -> None:
    """The more photos come, the less each costs; so too the larger a share of them goes to a
    stage."""
    kind = LookKind(Shape(cells, 1))
    busy, quiet = Costs(traffic=Traffic(rate + more)), Costs(traffic=Traffic(rate))
    assert busy.images(kind) <= quiet.images(kind) + 1e-9
    assert quiet.images(kind) <= quiet.images(kind, 0.4) + 1e-9


def test_full() -> None:
    """Without a rate every canvas is full; a photo alone never has company."""
    assert Costs().images(GRID) == pytest.approx(1 / 6)
    assert Costs(traffic=Traffic(0.001)).images(GRID) == pytest.approx(1, abs=0.01)
    assert Costs(traffic=Traffic(5)).images(ITSELF) == 1
    assert Traffic(0.0).fill(6) == 1


def test_companions() -> None:
    """A companion's look is free."""
    assert Costs(companions=("free",)).images(LookKind(ALONE, "free")) == 0


def test_other_providers() -> None:
    """Another provider's image counts by its price, in images of the route's own; as one where a
    price is not known."""
    costs = Costs({"": Price(0.001), "dear": Price(0.003), "unpaid": Price()})
    assert costs.images(LookKind(ALONE, "dear")) == pytest.approx(3)
    assert costs.images(LookKind(Shape(3, 2), "dear")) == pytest.approx(0.5)
    assert costs.images(LookKind(ALONE, "unpaid")) == 0
    assert Costs({"dear": Price(0.003)}).images(LookKind(ALONE, "dear")) == 1


def test_usd_per_month() -> None:
    """Money follows the price list's tiers; without one nothing is known of it."""
    price = Price(0.001, tiers=(Tier(1000, 0.0005),))
    assert Costs({"": price}).usd_per_month(3000) == pytest.approx(2.0)
    assert Costs().usd_per_month(3000) == 0
