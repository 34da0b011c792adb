"""Devices for the capacity planner, from what a machine measured of itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from providers.engine.machine import BatchRun, NetworkSpeed, Preparation
from thresholds.plan.capacity import Device, MiniBatch

CPU = "cpu"


class PhotoSource(NamedTuple):
    """The format and the width and height of the photos that come."""

    format: str
    size_px: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.format}@{self.size_px[0]}x{self.size_px[1]}"


def network_name(network: NetworkSpeed) -> str:
    """A network's name, input size and execution, such as `yolox_nano@416x416@cpu`."""
    width, height = network.input_px
    return f"{network.model}@{width}x{height}@{network.execution}"


def matching(networks: Iterable[NetworkSpeed], name: str | None) -> list[NetworkSpeed]:
    """The networks of that name, which may lack the execution and the input size; None for all."""
    return [
        network
        for network in networks
        if name is None or f"{network_name(network)}@".startswith(f"{name}@")
    ]


def network_of(networks: Sequence[NetworkSpeed], name: str | None) -> NetworkSpeed:
    """The network of that name, None for the only one, in its fastest execution. Raises ValueError,
    naming the networks there are, where the name is of none or of several."""
    matches = matching(networks, name)
    names = ", ".join(map(network_name, matches or networks))
    if not matches:
        raise ValueError(f"no network {name} was measured; there are {names or 'none'}")
    if len({(network.model, network.input_px) for network in matches}) > 1:
        raise ValueError(f"several networks were measured, say which: {names}")
    return max(matches, key=lambda network: network.photos_per_s(network.fastest))


def preparation_of(
    preparations: Iterable[Preparation], network: NetworkSpeed, source: PhotoSource
) -> Preparation:
    """The fastest measured preparation of such photos for the network. Raises ValueError, naming
    those there are."""
    same_input = [each for each in preparations if each.input_px == network.input_px]
    matches = [each for each in same_input if _is_of(each, source)]
    if not matches:
        known = {str(PhotoSource(each.format, each.source_px)) for each in same_input}
        raise ValueError(
            f"no {source} was measured for {network_name(network)}; there are "
            f"{', '.join(sorted(known)) or 'none'}"
        )
    return min(matches, key=lambda each: each.photo_s)


def _is_of(preparation: Preparation, source: PhotoSource) -> bool:
    same_format = preparation.format.lower() == source.format.lower()
    return same_format and preparation.source_px == source.size_px


def largest_mini_batch(network: NetworkSpeed, memory_mb: float | None) -> int:
    """MB: the largest measured mini-batch with which all workers fit into so much memory (None for
    any); 0 where none does."""
    sizes = [
        run.mini_batch for run in network.runs if memory_mb is None or run.memory_mb <= memory_mb
    ]
    return max(sizes, default=0)


def devices_of(
    network: NetworkSpeed,
    preparation: Preparation | None = None,
    *,
    memory_mb: float | None = None,
    count: int | None = None,
) -> tuple[Device, ...]:
    """The devices of a machine that runs the network: its workers, or so many like them. Raises
    ValueError where no mini-batch fits into the machine's memory.

    Each prepares its share of the photos. The workers of a CPU do so before they run the network;
    beside an accelerator the next mini-batch is prepared while one runs.
    """
    largest = largest_mini_batch(network, memory_mb)
    if not largest:
        least = min(run.memory_mb for run in network.runs)
        raise ValueError(
            f"{network_name(network)} takes {least:.0f} MB with its smallest mini-batch in "
            f"{network.workers} workers, and memory_mb is {memory_mb:.0f}"
        )
    photo_s = 0.0
    if preparation is not None:
        photo_s = preparation.photo_s * network.workers / preparation.workers
    runs = [run for run in network.runs if run.mini_batch <= largest]
    batches = tuple(_mini_batch(run, photo_s, shared=network.execution == CPU) for run in runs)
    numbers = range(1, (count or network.workers) + 1)
    return tuple(Device(f"{network.execution} {number}", batches) for number in numbers)


def _mini_batch(run: BatchRun, photo_s: float, *, shared: bool) -> MiniBatch:
    """The mini-batch with the preparation of its photos, which shares the network's processor or
    has one of its own."""
    prepared_s = run.mini_batch * photo_s
    latency_s = run.latency_s + prepared_s if shared else max(run.latency_s, prepared_s)
    return MiniBatch(run.mini_batch, latency_s, run.warm_up_s + prepared_s)
