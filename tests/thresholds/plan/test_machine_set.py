"""The cheapest set of machines for photos by a deadline."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresholds.plan.capacity import Device, MiniBatch, photos_of, relaxed, soft
from thresholds.plan.machine_set import MachineKind, MachineShare, cheapest, usd_per_hour


class Offer(NamedTuple):
    """A kind of machine, by the photos that one does for each network by the deadline."""

    price: int
    machines: int
    photos: tuple[int, ...]


def device(photos: int) -> Device:
    """A device of so many photos in one second; of none, one that cannot warm up in it."""
    return Device("device", (MiniBatch(max(photos, 1), 1.0, 1.0 if photos else 2.0),))


def kind(name: str, offer: Offer) -> MachineKind:
    networks = {str(index): (device(photos),) for index, photos in enumerate(offer.photos)}
    return MachineKind(name, float(offer.price), offer.machines, networks)


def lowest_price(offers: Sequence[Offer], needed: Sequence[int]) -> int | None:
    """The lowest price, by counting through all numbers of machines."""
    cells = list(product(range(len(offers)), range(len(needed))))
    best = None
    for counts in product(*(range(offers[owner].machines + 1) for owner, _ in cells)):
        done, machines = [0] * len(needed), [0] * len(offers)
        for (owner, network), count in zip(cells, counts, strict=True):
            done[network] += count * offers[owner].photos[network]
            machines[owner] += count
        if any(used > offer.machines for used, offer in zip(machines, offers, strict=True)):
            continue
        if all(each >= least for each, least in zip(done, needed, strict=True)):
            price = sum(used * offer.price for used, offer in zip(machines, offers, strict=True))
            best = price if best is None else min(best, price)
    return best


SMALL = kind("small", Offer(2, 10, (5,)))
LARGE = kind("large", Offer(3, 1, (8,)))


def test_the_cheapest_mix_is_taken() -> None:
    """Two small machines and a large one are cheaper than four small ones."""
    shares = cheapest([SMALL, LARGE], {"0": 18}, 1.0)
    assert shares == (MachineShare(LARGE, "0", 1), MachineShare(SMALL, "0", 2))
    assert usd_per_hour(shares) == 7


def test_of_equally_cheap_sets_the_smaller_is_taken() -> None:
    """Where prices are equal, fewer machines do."""
    free = [kind("slow", Offer(0, 9, (1,))), kind("fast", Offer(0, 9, (9,)))]
    assert cheapest(free, {"0": 9}, 1.0) == (MachineShare(free[1], "0", 1),)


def test_a_machine_runs_one_network() -> None:
    """Two networks take two machines, whatever time one would have left."""
    both = MachineKind("one", 1.0, 1, {"0": (device(5),), "1": (device(5),)})
    assert cheapest([both], {"0": 1, "1": 1}, 1.0) is None


def test_all_devices_of_a_machine_count() -> None:
    """A machine does the photos of all its devices."""
    four = MachineKind("four", 1.0, 9, {"0": (device(5),) * 4})
    assert cheapest([four], {"0": 21}, 1.0) == (MachineShare(four, "0", 2),)


@pytest.mark.parametrize("count", [None, 4])
def test_a_kind_may_be_without_a_limit(count: int | None) -> None:
    """A count of None is any number; a count of 4 is too few for 21 photos."""
    shares = cheapest([MachineKind("small", 1.0, count, SMALL.devices)], {"0": 21}, 1.0)
    assert (shares and shares[0].machines) == (None if count else 5)


OFFERS = st.builds(Offer, st.integers(0, 5), st.integers(1, 3), st.tuples(*[st.integers(0, 9)] * 2))


@settings(max_examples=100, deadline=None)
@given(st.lists(OFFERS, min_size=1, max_size=2), st.integers(1, 20), st.integers(1, 20))
def test_columns_agree_with_brute_force(offers: list[Offer], first: int, second: int) -> None:
    """The price is the lowest of all sets of machines for two networks."""
    kinds = [kind(str(number), offer) for number, offer in enumerate(offers)]
    shares = cheapest(kinds, {"0": first, "1": second}, 1.0)
    assert (shares and usd_per_hour(shares)) == lowest_price(offers, (first, second))
    for share in shares or ():
        assert share.machines > 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=8), st.integers(1, 5 * 10**6))
def test_columns_agree_with_the_greedy(speeds: list[int], photos: int) -> None:
    """With a price of 1 each, the cheapest machines are the fewest devices."""
    kinds = [kind(str(n), Offer(1, 1, (speed,))) for n, speed in enumerate(speeds)]
    shares = cheapest(kinds, {"0": photos}, 1.0)
    schedule = soft([device(speed) for speed in speeds], photos, 1.0)
    assert (shares and len(shares)) == (schedule and len(schedule))
    if shares:
        done = [photos_of(relaxed(share.kind.devices["0"], 1.0)) for share in shares]
        assert sum(done) >= photos
