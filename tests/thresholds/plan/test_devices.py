"""Devices for the capacity planner, from a machine's profile."""

from __future__ import annotations

import pytest

from providers.engine.machine import BatchRun, NetworkSpeed, Preparation
from thresholds.plan.capacity import MiniBatch
from thresholds.plan.devices import (
    PhotoSource,
    devices_of,
    largest_mini_batch,
    network_name,
    network_of,
    preparation_of,
)

RUNS = tuple(
    BatchRun(mini_batch=size, latency_s=0.5 * size, warm_up_s=2.0 * size, memory_mb=100.0 * size)
    for size in (1, 2, 4)
)


def network(
    model: str = "net", side: int = 64, execution: str = "cpu", workers: int = 2
) -> NetworkSpeed:
    return NetworkSpeed(
        model=model,
        execution=execution,
        input_px=(side, side),
        workers=workers,
        threads=1,
        runs=RUNS,
    )


def preparation(photo_s: float, workers: int = 2) -> Preparation:
    return Preparation(
        format="jpeg",
        source_px=(800, 600),
        input_px=(64, 64),
        workers=workers,
        photo_s=photo_s,
    )


SOURCE = PhotoSource("jpeg", (800, 600))


def test_the_devices_of_a_machine_are_its_workers() -> None:
    """A machine of two workers has two devices, unless another number is asked for."""
    assert [device.name for device in devices_of(network())] == ["cpu 1", "cpu 2"]
    assert len(devices_of(network(), count=5)) == 5


@pytest.mark.parametrize(
    ("memory_mb", "largest"), [(None, 4), (400, 4), (399, 2), (200, 2), (100, 1), (99, 0)]
)
def test_memory_bounds_the_mini_batch(memory_mb: float | None, largest: int) -> None:
    """The largest mini-batch is the one with which all workers fit into the memory."""
    assert largest_mini_batch(network(), memory_mb) == largest
    if largest:
        device = devices_of(network(), memory_mb=memory_mb)[0]
        assert device.batches[-1].size == largest


def test_a_network_that_does_not_fit_is_an_error() -> None:
    """Where not even the smallest mini-batch fits, the error says what would."""
    with pytest.raises(ValueError, match="takes 100 MB with its smallest mini-batch in 2 workers"):
        devices_of(network(), memory_mb=50)


def test_a_cpu_prepares_photos_and_runs_them_in_turn() -> None:
    """The workers of a CPU decode the photos of a mini-batch before they run it."""
    assert devices_of(network(), preparation(0.25))[0].batches[1] == MiniBatch(2, 1.5, 4.5)


@pytest.mark.parametrize(("photo_s", "latency_s"), [(0.5, 1.0), (2.0, 2.0)])
def test_an_accelerator_runs_while_photos_are_prepared(photo_s: float, latency_s: float) -> None:
    """Beside an accelerator two workers prepare the next mini-batch, and the slower one counts."""
    device = devices_of(network(execution="cuda", workers=1), preparation(photo_s))[0]
    assert device.batches[1] == MiniBatch(2, latency_s, 4.0 + photo_s)


def test_a_preparation_is_found_by_format_and_size() -> None:
    """Of several ways to decode such photos the fastest is taken; others have none."""
    slow, fast = preparation(2.0), preparation(1.0)
    assert preparation_of([slow, fast], network(), SOURCE) == fast
    assert preparation_of([slow], network(), SOURCE._replace(format="JPEG")) == slow
    with pytest.raises(ValueError, match=r"no png@800x600 was measured .* there are jpeg@800x600"):
        preparation_of([slow], network(), PhotoSource("png", (800, 600)))


@pytest.mark.parametrize("name", ["net@64x64@cpu", "net@64x64", "other", None])
def test_a_network_is_named_as_far_as_needed(name: str | None) -> None:
    """A name may lack what tells no two networks apart."""
    networks = [network(), network(side=128), network("other")]
    if name is None:
        networks = networks[:1]
    assert network_name(network_of(networks, name)).startswith(name or "net@64x64@cpu")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net", "several networks were measured, say which: net@64x64@cpu, net@128x128@cpu"),
        ("ne", "no network ne was measured; there are net@64x64@cpu, net@128x128@cpu"),
        (None, "say which"),
    ],
)
def test_an_ambiguous_name_is_an_error(name: str | None, message: str) -> None:
    """A name of several networks, or of none, is an error that says which there are."""
    with pytest.raises(ValueError, match=message):
        network_of([network(), network(side=128)], name)


def test_the_fastest_execution_is_taken() -> None:
    """A machine runs a network where it does so fastest, unless the name says where."""
    networks = [network(), network(execution="cuda", workers=3), network(execution="openvino")]
    assert network_of(networks, "net").execution == "cuda"
    assert network_of(networks, "net@64x64@cpu").execution == "cpu"
