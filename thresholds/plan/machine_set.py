"""The cheapest set of machines for photos by a deadline: kinds with prices and counts, several
networks. Needs the extra `plan`.

A machine runs one network for the whole time, on all its devices: that is how its latencies were
measured. So a column of the programme is a kind of machine with a network, its coefficient the
photos of the best mini-batches (capacity.py), and its variable how many such machines to take.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from thresholds.fusion.arrays import Floats
from thresholds.plan.capacity import Device, photos_of, relaxed

PRICE_TOLERANCE = 1e-6
"""USD an hour by which the second solution may be dearer than the first: the solver's own."""
DOUBLINGS = 40
"""Deadlines are not tried beyond so many doublings."""


@dataclass(frozen=True, slots=True)
class MachineKind:
    """A kind of machine: its price, how many there are (None for any number), and, by network, the
    devices of one machine that runs it."""

    name: str
    usd_per_hour: float
    count: int | None
    devices: Mapping[str, tuple[Device, ...]]


class MachineShare(NamedTuple):
    """So many machines of a kind, all for one network."""

    kind: MachineKind
    network: str
    machines: int


class _Column(NamedTuple):
    kind: MachineKind
    network: str
    photos: int
    """Those of one machine by the deadline, and no more than there are."""


def usd_per_hour(shares: Sequence[MachineShare]) -> float:
    """The price of a set of machines."""
    return sum(share.machines * share.kind.usd_per_hour for share in shares)


def cheapest(
    kinds: Sequence[MachineKind], photos: Mapping[str, int], deadline_s: float
) -> tuple[MachineShare, ...] | None:
    """The cheapest machines that do the photos of each network by the deadline, of equally cheap
    sets one of the fewest machines; None where all machines are too few."""
    columns = _columns(kinds, photos, deadline_s)
    if {column.network for column in columns} != set(photos):
        return None
    prices = np.array([column.kind.usd_per_hour for column in columns])
    first = _solve(columns, photos, prices)
    if first is None:
        return None
    limit = float(prices @ first) + PRICE_TOLERANCE
    counts = _solve(columns, photos, np.ones(len(columns)), (prices, limit))
    pairs = zip(columns, first if counts is None else counts, strict=True)
    return tuple(
        MachineShare(column.kind, column.network, int(count)) for column, count in pairs if count
    )


def _columns(
    kinds: Sequence[MachineKind], photos: Mapping[str, int], deadline_s: float
) -> list[_Column]:
    """A column for each kind and network of which a machine does a photo by the deadline."""
    columns = []
    for kind in kinds:
        for network in kind.devices.keys() & photos.keys():
            most = photos_of(relaxed(kind.devices[network], deadline_s))
            if most:
                columns.append(_Column(kind, network, min(most, photos[network])))
    return sorted(columns, key=lambda column: (column.kind.name, column.network))


def _solve(
    columns: Sequence[_Column],
    photos: Mapping[str, int],
    cost: Floats,
    price_limit: tuple[Floats, float] | None = None,
) -> Floats | None:
    """How many machines of each column cost the least; None where there is no solution."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    constraints = [LinearConstraint(*row) for row in _rows(columns, photos)]
    if price_limit is not None:
        prices, limit = price_limit
        constraints.append(LinearConstraint(prices[None, :], ub=limit))
    most = [math.ceil(photos[column.network] / column.photos) for column in columns]
    result = milp(
        cost,
        constraints=constraints,
        integrality=np.ones(len(columns)),
        bounds=Bounds(0, most),
        options={"mip_rel_gap": 0.0},
    )
    return None if result.x is None else np.round(result.x)


def _rows(
    columns: Sequence[_Column], photos: Mapping[str, int]
) -> Iterator[tuple[Floats, float, float]]:
    """The programme's rows, and the bounds of each: enough photos of each network, and no more
    machines of a kind than there are."""
    for network, needed in photos.items():
        row = [column.photos * (column.network == network) for column in columns]
        yield np.array([row], float), needed, np.inf
    for kind in {column.kind.name: column.kind for column in columns}.values():
        row = [column.kind is kind for column in columns]
        yield np.array([row], float), 0, np.inf if kind.count is None else kind.count


def shortest_deadline(
    kinds: Sequence[MachineKind], photos: Mapping[str, int], deadline_s: float
) -> float | None:
    """The earliest time by which all the machines can do the photos, to a thousandth, from a
    deadline that they cannot keep; None where no time would do."""
    early, late = deadline_s, 2 * deadline_s
    for _ in range(DOUBLINGS):
        if cheapest(kinds, photos, late) is not None:
            break
        early, late = late, 2 * late
    else:
        return None
    while late - early > early / 1000:
        middle = (early + late) / 2
        if cheapest(kinds, photos, middle) is None:
            early = middle
        else:
            late = middle
    return late
