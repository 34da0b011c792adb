"""Photos a second from what a photo costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.engine.machine import BatchRun, Machine, MachineProfile, NetworkSpeed
from thresholds.plan.throughput import (
    ACCELERATOR,
    CPU,
    StageCost,
    bottleneck,
    capacities_of,
    photos_per_s,
    run_cost,
)

SECONDS = st.floats(0.001, 1)


@given(SECONDS, SECONDS, st.integers(1, 64))
def test_one_pool_does_all_in_turn(prepare_s: float, run_s: float, cores: int) -> None:
    """On a CPU that prepares and runs, the photos a second are the cores over the sum."""
    stage = StageCost({CPU: prepare_s + run_s})
    assert photos_per_s({CPU: cores}, [stage]) == pytest.approx(cores / (prepare_s + run_s))


@given(SECONDS, SECONDS, st.integers(1, 64))
def test_two_pools_are_smols_minimum(prepare_s: float, run_s: float, cores: int) -> None:
    """With an accelerator the slower of preparing and running bounds the photos a second."""
    stage = StageCost({CPU: prepare_s, ACCELERATOR: run_s})
    capacities = {CPU: float(cores), ACCELERATOR: 1.0}
    assert photos_per_s(capacities, [stage]) == pytest.approx(min(cores / prepare_s, 1 / run_s))
    slower = CPU if cores / prepare_s <= 1 / run_s else ACCELERATOR
    assert bottleneck(capacities, [stage]) == slower


@given(SECONDS, SECONDS, st.floats(0, 1))
def test_a_later_stage_costs_its_share(first_s: float, second_s: float, share: float) -> None:
    """A stage costs what it costs a photo that reaches it, times the share that does (equation 4 of
    SMOL)."""
    stages = [StageCost({CPU: first_s}), StageCost({CPU: second_s}, share)]
    assert photos_per_s({CPU: 1.0}, stages) == pytest.approx(1 / (first_s + share * second_s))


def profile(execution: str = "cpu", *sides: int, cores: int = 4) -> MachineProfile:
    """A network that takes 10 ns a pixel in mini-batches of 8, and a picture alone half as much
    again."""
    networks = []
    for side in sides:
        pixel_s = 1e-8 * side * side
        runs = (
            BatchRun(mini_batch=1, latency_s=1.5 * pixel_s, warm_up_s=1, memory_mb=1),
            BatchRun(mini_batch=8, latency_s=8 * pixel_s, warm_up_s=1, memory_mb=1),
        )
        networks.append(
            NetworkSpeed(
                model="det",
                execution=execution,
                input_px=(side, side),
                workers=cores if execution == "cpu" else 1,
                threads=1,
                runs=runs,
            )
        )
    machine = Machine(cpu="test", cores=cores, memory_mb=1)
    return MachineProfile(made_at="", machine=machine, networks=tuple(networks), preparations=())


@pytest.mark.parametrize("execution", ["cpu", "cuda"])
@pytest.mark.parametrize("size", [(64, 32), (320, 320), (416, 320), (1280, 640)])
def test_a_run_costs_in_proportion_to_its_area(execution: str, size: tuple[int, int]) -> None:
    """Between the sizes that were measured, and beyond them, a photo costs by the input's area, in
    the mini-batch that is the fastest."""
    cost = run_cost(profile(execution, 320, 640), "det", size)
    assert cost.seconds == pytest.approx(1e-8 * size[0] * size[1])
    assert cost.pool == (CPU if execution == "cpu" else ACCELERATOR)
    assert cost.mini_batch == 8


def test_a_machine_has_the_pools_that_it_runs_on() -> None:
    """The cores are a pool, and an accelerator where a network runs there."""
    assert capacities_of(profile("cpu", 320)) == {CPU: 4.0}
    assert capacities_of(profile("cuda", 320)) == {CPU: 4.0, ACCELERATOR: 1.0}


def test_a_model_that_was_not_measured_is_named() -> None:
    """A model that the profile has not is an error that names those that it has."""
    with pytest.raises(ValueError, match=r"no model 'other'; it has det. .* imgrid calibrate"):
        run_cost(profile("cpu", 320), "other", (320, 320))
