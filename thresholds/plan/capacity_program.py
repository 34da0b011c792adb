"""The two integer programmes of "On Serving Image Classification Models" (Murcia, TU Munich and
IBM), with scipy's solver (HiGHS). Needs the extra `plan`.

For device i and mini-batch size b there are a binary y_ib, 1 where mbs_i = b, and an integer t_ib,
the repetitions. The closed forms in capacity.py give the same optima several hundred times as
fast; these are the reference that tests and the benchmark hold them against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thresholds.fusion.arrays import Floats
from thresholds.plan.capacity import Device, DeviceRun, MiniBatch, Schedule

EXACT = {"mip_rel_gap": 0.0}
"""By default the solver stops within 1e-4 of the optimum."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """Column y_ib of the programme; column t_ib comes as many columns later as there are y."""

    owner: int
    device: Device
    batch: MiniBatch
    max_repetitions: int


def soft_program(
    devices: Sequence[Device], photos: int, deadline_s: float
) -> tuple[int, Schedule] | None:
    """The fewest devices N_G for so many photos by the deadline, and a schedule: programme (1).
    None where there is no solution."""
    choices = _choices(devices, deadline_s)
    if not choices:
        return None
    cost = np.repeat([1.0, 0.0], len(choices))
    solution = _solve(choices, cost, deadline_s, photos)
    if solution is None:
        return None
    return len(solution), solution


def relaxed_program(devices: Sequence[Device], deadline_s: float) -> tuple[int, Schedule]:
    """The paper's objective, NGPU times the most photos by the deadline, and a schedule: programme
    (2).

    The factor NGPU, how many devices there are, is a constant, and the photos of warm-ups count,
    as on the slides. Unlike there a device may be left out; else one that cannot warm up by the
    deadline would leave no solution.
    """
    choices = _choices(devices, deadline_s)
    if not choices:
        return 0, ()
    cost = -len(devices) * _photos_row(choices)
    solution = _solve(choices, cost, deadline_s, 0)
    assert solution is not None, "no device at all is a solution"
    return len(devices) * sum(run.photos for run in solution), solution


def _choices(devices: Sequence[Device], deadline_s: float) -> list[_Choice]:
    """A choice for each device and mini-batch. Where the device has no bound M, the deadline gives
    one: T / L."""
    choices = []
    for owner, device in enumerate(devices):
        for batch in device.batches:
            bound = device.max_repetitions
            if bound is None:
                bound = int(deadline_s / batch.latency_s) + 1
            choices.append(_Choice(owner, device, batch, bound))
    return choices


def _photos_row(choices: Sequence[_Choice]) -> Floats:
    """The coefficients of sum (t_i + 1) mbs_i."""
    sizes = np.array([choice.batch.size for choice in choices], dtype=float)
    return np.concatenate([sizes, sizes])


def _solve(
    choices: Sequence[_Choice], cost: Floats, deadline_s: float, photos: int
) -> Schedule | None:
    from scipy.optimize import Bounds, LinearConstraint, milp

    count = len(choices)
    bounds = np.array([choice.max_repetitions for choice in choices], dtype=float)
    identity = np.eye(count)
    owners = np.array([choice.owner for choice in choices])
    member = (owners == np.arange(owners.max() + 1)[:, None]).astype(float)
    warm_up = np.array([choice.batch.warm_up_s for choice in choices])
    latency = np.array([choice.batch.latency_s for choice in choices])
    constraints = [
        # one mini-batch size a device, or none
        LinearConstraint(np.hstack([member, np.zeros_like(member)]), ub=1),
        # W_i(mbs_i) + t_i L_i(mbs_i) <= T
        LinearConstraint(np.hstack([member * warm_up, member * latency]), ub=deadline_s),
        # t_ib <= M_i y_ib
        LinearConstraint(np.hstack([-bounds * identity, identity]), ub=0),
        LinearConstraint(_photos_row(choices)[None, :], lb=photos),
    ]
    result = milp(
        cost,
        constraints=constraints,
        integrality=np.ones(2 * count),
        bounds=Bounds(0, np.concatenate([np.ones(count), bounds])),
        options=EXACT,
    )
    if result.x is None:
        return None
    return tuple(_runs(choices, np.round(result.x).astype(int)))


def _runs(choices: Sequence[_Choice], values: NDArray[np.int_]) -> list[DeviceRun]:
    """The runs of a solution's values, y before t."""
    runs = []
    for choice, used, repetitions in zip(choices, *np.split(values, 2), strict=True):
        if not used:
            continue
        photos = (int(repetitions) + 1) * choice.batch.size
        runs.append(DeviceRun(choice.device, choice.batch, int(repetitions), photos))
    return runs
