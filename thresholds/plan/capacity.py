"""Schedules of photos over devices by a deadline.

These are the two programmes of "On Serving Image Classification Models" (Murcia, TU Munich and
IBM). A device i is given one mini-batch size mbs_i. Its first mini-batch takes the warm-up
W_i(mbs_i), each of t_i repetitions L_i(mbs_i); all (t_i + 1) mbs_i photos count, those of the
warm-up too. Devices work in parallel, and each may be left out.

With one size a device, the best t_i is forced: floor((T - W_i) / L_i). So the most photos of a
device are a closed form, programme (2) is their sum, and programme (1) takes the devices of most
photos first. The integer programmes themselves are in capacity_program.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

TOLERANCE = 1e-9
"""The share of a repetition that may be missing at the deadline: sums of floats are not exact."""
BISECTIONS = 60


class MiniBatch(NamedTuple):
    """A mini-batch size, the seconds L of one such mini-batch, and W of the first one."""

    size: int
    latency_s: float
    warm_up_s: float


@dataclass(frozen=True, slots=True)
class Device:
    """A device, and the mini-batches that fit into its memory (their sizes are at most MB); M
    bounds the repetitions, None for no bound but the deadline."""

    name: str
    batches: tuple[MiniBatch, ...]
    max_repetitions: int | None = None


class DeviceRun(NamedTuple):
    """What a device does: a warm-up with photos in it, and so many repetitions of the mini-batch
    (t). The last mini-batch may be part empty, so `photos` are at most (t + 1) mini-batches."""

    device: Device
    batch: MiniBatch
    repetitions: int
    photos: int

    @property
    def seconds(self) -> float:
        """When the device is done: W + t L."""
        return self.batch.warm_up_s + self.repetitions * self.batch.latency_s


Schedule = tuple[DeviceRun, ...]


def photos_of(runs: Iterable[DeviceRun]) -> int:
    """The photos of a schedule."""
    return sum(run.photos for run in runs)


def finish_s(runs: Iterable[DeviceRun]) -> float:
    """When the last device of a schedule is done; 0 for none."""
    return max((run.seconds for run in runs), default=0.0)


def most_repetitions(device: Device, batch: MiniBatch, deadline_s: float) -> int:
    """The largest t with W + t L <= T and t <= M; negative where the warm-up alone is too long."""
    count = math.floor((deadline_s - batch.warm_up_s) / batch.latency_s + TOLERANCE)
    return count if device.max_repetitions is None else min(count, device.max_repetitions)


def best_run(device: Device, deadline_s: float) -> DeviceRun | None:
    """The run of the most photos by the deadline, of equals the shortest; None where not even a
    warm-up fits."""
    best: DeviceRun | None = None
    for batch in device.batches:
        repetitions = most_repetitions(device, batch, deadline_s)
        if repetitions >= 0:
            run = DeviceRun(device, batch, repetitions, (repetitions + 1) * batch.size)
            if best is None or (run.photos, -run.seconds) > (best.photos, -best.seconds):
                best = run
    return best


def relaxed(devices: Iterable[Device], deadline_s: float) -> Schedule:
    """The schedule of the most photos by the deadline, the largest run first: programme (2).

    The factor NGPU of the paper's objective is a constant, which changes no schedule. A device
    whose warm-up is too long is left out.
    """
    runs = [run for device in devices if (run := best_run(device, deadline_s)) is not None]
    return tuple(sorted(runs, key=lambda run: -run.photos))


def soft(devices: Iterable[Device], photos: int, deadline_s: float) -> Schedule | None:
    """The schedule of at least so many photos by the deadline on the fewest devices: programme
    (1). None where all devices are too few.

    The runs of most photos come first until they suffice. Any set as small has at most as many
    photos as those, so none smaller suffices.
    """
    return _enough(relaxed(devices, deadline_s), photos)


def _enough(runs: Schedule, photos: int) -> Schedule | None:
    """The first runs that suffice; the last is cut to what the others leave of the photos."""
    kept: list[DeviceRun] = []
    left = photos
    for run in runs:
        repetitions = min(run.repetitions, math.ceil(left / run.batch.size) - 1)
        kept.append(run._replace(repetitions=repetitions, photos=min(run.photos, left)))
        left -= run.photos
        if left <= 0:
            return tuple(kept)
    return None


def earliest(devices: Sequence[Device], photos: int) -> Schedule | None:
    """A schedule of so many photos that is done as early as these devices can be; None where the
    bounds on their repetitions leave photos over.

    The photos done by a time never become fewer with it, so the earliest time is bisected.
    """
    early, late = 0.0, _longest_s(devices, photos)
    if soft(devices, photos, late) is None:
        return None
    for _ in range(BISECTIONS):
        middle = (early + late) / 2
        if photos_of(relaxed(devices, middle)) >= photos:
            late = middle
        else:
            early = middle
    return soft(devices, photos, late)


def _longest_s(devices: Iterable[Device], photos: int) -> float:
    """By when each device has run each of its mini-batches as often as the photos need or its bound
    allows."""
    longest = 0.0
    for device in devices:
        for batch in device.batches:
            repetitions = math.ceil(photos / batch.size)
            if device.max_repetitions is not None:
                repetitions = min(repetitions, device.max_repetitions)
            longest = max(longest, batch.warm_up_s + repetitions * batch.latency_s)
    return longest


def devices_needed(device: Device, photos: int, deadline_s: float) -> int | None:
    """How many such devices would do the photos by the deadline; None where no number would."""
    run = best_run(device, deadline_s)
    return None if run is None else math.ceil(photos / run.photos)
