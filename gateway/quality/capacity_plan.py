"""What `imgrid capacity` answers: a schedule by the deadline, or what is missing for one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from thresholds.plan.capacity import (
    Device,
    Schedule,
    devices_needed,
    earliest,
    finish_s,
    photos_of,
    relaxed,
    soft,
)
from thresholds.plan.machine_set import (
    MachineKind,
    MachineShare,
    cheapest,
    shortest_deadline,
    usd_per_hour,
)


class DeadlineMissed(Exception):
    """No schedule keeps the deadline. The message says what is missing."""


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """The schedule of each network, and the machines to rent for it, if kinds were given."""

    deadline_s: float
    schedules: Mapping[str, Schedule]
    shares: tuple[MachineShare, ...] = ()


def plan_devices(
    devices: Sequence[Device], network: str, photos: int | None, deadline_s: float
) -> CapacityPlan:
    """The plan for one network on equal devices: the fewest that do the photos by the deadline,
    done as early as those can be; with None for the photos, the most of them on all devices. Raises
    DeadlineMissed."""
    if photos is None:
        schedule = relaxed(devices, deadline_s)
        if not schedule:
            raise DeadlineMissed(_too_slow(devices, deadline_s))
        return CapacityPlan(deadline_s, {network: schedule})
    fewest = soft(devices, photos, deadline_s)
    if fewest is None:
        raise DeadlineMissed(_missing_devices(devices, photos, deadline_s))
    schedule = _earliest_on([run.device for run in fewest], photos)
    return CapacityPlan(deadline_s, {network: schedule})


def _earliest_on(devices: Sequence[Device], photos: int) -> Schedule:
    schedule = earliest(devices, photos)
    assert schedule is not None, "the repetitions of measured devices are not bounded"
    return schedule


def _missing_devices(devices: Sequence[Device], photos: int, deadline_s: float) -> str:
    """When these devices would be done, and how many more would be done by the deadline."""
    needed = devices_needed(devices[0], photos, deadline_s)
    if needed is None:
        return _too_slow(devices, deadline_s)
    soonest_s = finish_s(_earliest_on(devices, photos))
    return (
        f"{photos:,} photos need at least {soonest_s:.1f} s with {_count(devices)}; "
        f"{needed - len(devices)} more ({needed} in all) would do it in {deadline_s:g} s"
    )


def _too_slow(devices: Sequence[Device], deadline_s: float) -> str:
    shortest = min(batch.warm_up_s for device in devices for batch in device.batches)
    return (
        f"the first mini-batch alone takes {shortest:.3g} s, more than the deadline of "
        f"{deadline_s:g} s: no number of such devices would do"
    )


def _count(devices: Sequence[Device]) -> str:
    return "this device" if len(devices) == 1 else f"these {len(devices)} devices"


def plan_machines(
    kinds: Sequence[MachineKind], photos: Mapping[str, int], deadline_s: float
) -> CapacityPlan:
    """The plan on the cheapest machines that do the photos of each network by the deadline. Raises
    DeadlineMissed."""
    shares = cheapest(kinds, photos, deadline_s)
    if shares is None:
        raise DeadlineMissed(_missing_machines(kinds, photos, deadline_s))
    schedules = {
        network: _earliest_on(devices, photos[network])
        for network, devices in _devices_by_network(shares).items()
    }
    return CapacityPlan(deadline_s, schedules, shares)


def fill_machines(kinds: Sequence[MachineKind], network: str, deadline_s: float) -> CapacityPlan:
    """The plan of the most photos of one network on all machines. Raises DeadlineMissed."""
    shares = tuple(
        MachineShare(kind, network, kind.count)
        for kind in kinds
        if kind.count and relaxed(kind.devices.get(network, ()), deadline_s)
    )
    if not shares:
        devices = [device for kind in kinds for device in kind.devices.get(network, ())]
        raise DeadlineMissed(_too_slow(devices, deadline_s))
    schedule = relaxed(_devices_by_network(shares)[network], deadline_s)
    return CapacityPlan(deadline_s, {network: schedule}, shares)


def _devices_by_network(shares: Sequence[MachineShare]) -> dict[str, list[Device]]:
    """The devices of the machines, by network; each is named by its machine too."""
    numbers = Counter[str]()
    devices: dict[str, list[Device]] = {}
    for kind, network, count in shares:
        for _ in range(count):
            numbers[kind.name] += 1
            machine = f"{kind.name} {numbers[kind.name]}"
            named = [
                replace(device, name=f"{machine}, {device.name}")
                for device in kind.devices[network]
            ]
            devices.setdefault(network, []).extend(named)
    return devices


def _missing_machines(
    kinds: Sequence[MachineKind], photos: Mapping[str, int], deadline_s: float
) -> str:
    """When these machines would be done, and which set would be done by the deadline."""
    total = f"{sum(photos.values()):,} photos"
    soonest_s = shortest_deadline(kinds, photos, deadline_s)
    first = (
        f"{total} need at least {soonest_s:.1f} s with these machines"
        if soonest_s is not None
        else f"a machine runs one network, and there are fewer machines than the {len(photos)} "
        "networks need"
    )
    shares = cheapest([replace(kind, count=None) for kind in kinds], photos, deadline_s)
    if shares is None:
        return f"{first}; no number of them would do it in {deadline_s:g} s"
    counts = Counter[str]()
    for share in shares:
        counts[share.kind.name] += share.machines
    machines = ", ".join(
        f"{counts[kind.name]} {kind.name} (there are {kind.count})"
        for kind in kinds
        if counts[kind.name]
    )
    return (
        f"{first}; {machines} would do it in {deadline_s:g} s for {dollars(usd_per_hour(shares))}"
    )


def dollars(usd: float) -> str:
    """A price by the hour."""
    return f"USD {usd:.2f} an hour"


def summary(plan: CapacityPlan) -> list[str]:
    """What the plan does by when, and for how much, in a sentence each."""
    runs = [run for schedule in plan.schedules.values() for run in schedule]
    end_s = finish_s(runs)
    sentences = [
        f"{photos_of(runs):,} photos on {_plural(len(runs), 'device')}, done in {end_s:.1f} s: "
        f"{plan.deadline_s - end_s:.1f} s before the deadline of {plan.deadline_s:g} s"
    ]
    if plan.shares:
        hourly = usd_per_hour(plan.shares)
        machines = sum(share.machines for share in plan.shares)
        sentences.append(
            f"{_plural(machines, 'machine')} for {dollars(hourly)}, "
            f"USD {hourly * plan.deadline_s / 3600:.4f} until the deadline"
        )
    return sentences


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
