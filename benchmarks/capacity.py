"""How long the capacity planner takes, and whether a run keeps the deadline that it promised.

python benchmarks/capacity.py [--rounds 5]
    times of the closed form, the greedy and the integer programmes on random devices, in
    interleaved rounds (medians), and how often they agree

python benchmarks/capacity.py --model FILE.onnx [--deadline 20] [--workers 2] [--load 0.9]
    [--rounds 5] [--clock wall | processor]
    measures a network with all workers busy, plans a share (--load) of the most photos by the
    deadline, runs the schedule, and compares; only the network is run, nothing is decoded. On a
    machine that others use too, a worker's processor time is what can be compared
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from threading import Barrier
from typing import Any

import numpy as np

from thresholds.plan.capacity import (
    Device,
    DeviceRun,
    MiniBatch,
    earliest,
    finish_s,
    photos_of,
    relaxed,
    soft,
)
from thresholds.plan.capacity_program import relaxed_program, soft_program
from thresholds.plan.machine_set import MachineKind, cheapest

DEADLINE_S = 60.0
DEVICES, SIZES, KINDS, MODELS = 8, 64, 8, 3
REPEATS = 20
"""Mini-batches a worker runs for the median L."""

CLOCKS = {"wall": time.perf_counter, "processor": time.thread_time}
"""A session of one thread runs in the thread that calls it."""


def random_device(rng: random.Random, name: str) -> Device:
    """A device whose latency rises with the size, roughly in proportion."""
    fixed_s, photo_s, warm_up_s = rng.uniform(0.002, 0.05), rng.uniform(0.001, 0.03), rng.random()
    batches = []
    for size in range(1, SIZES + 1):
        latency_s = (fixed_s + photo_s * size) * rng.uniform(0.9, 1.1)
        batches.append(MiniBatch(size, latency_s, warm_up_s + 1.5 * latency_s))
    return Device(name, tuple(batches))


def random_kind(rng: random.Random, name: str) -> MachineKind:
    """A kind of up to 50 machines with up to 8 devices, that runs every model."""
    workers = rng.choice([1, 2, 4, 8])
    devices = {str(model): (random_device(rng, name),) * workers for model in range(MODELS)}
    return MachineKind(name, round(rng.uniform(0.05, 4), 2), rng.randint(1, 50), devices)


def questions(rng: random.Random) -> dict[str, Callable[[], Any]]:
    """Random questions for each way to answer them, by its name."""
    fleet = [random_device(rng, str(number)) for number in range(DEVICES)]
    photos = round(photos_of(relaxed(fleet, DEADLINE_S)) * rng.uniform(0.2, 0.95))
    singles = [MachineKind(device.name, 1.0, 1, {"0": (device,)}) for device in fleet]
    kinds = [random_kind(rng, str(number)) for number in range(KINDS)]
    demand = {str(model): round(0.2 * most(kinds, str(model))) for model in range(MODELS)}
    return {
        "relaxed, closed form": lambda: photos_of(relaxed(fleet, DEADLINE_S)),
        "relaxed, integer programme": lambda: relaxed_program(fleet, DEADLINE_S)[0] // DEVICES,
        "soft, greedy": lambda: len(soft(fleet, photos, DEADLINE_S) or ()),
        "soft, columns": lambda: len(cheapest(singles, {"0": photos}, DEADLINE_S) or ()),
        "soft, integer programme": lambda: (soft_program(fleet, photos, DEADLINE_S) or (0,))[0],
        "earliest schedule": lambda: earliest(fleet, photos),
        f"{KINDS} kinds x {SIZES} sizes x {MODELS} models, columns": lambda: cheapest(
            kinds, demand, DEADLINE_S
        ),
    }


def most(kinds: Sequence[MachineKind], model: str) -> int:
    """The photos of all machines, if all ran that model."""
    return sum(
        (kind.count or 0) * photos_of(relaxed(kind.devices[model], DEADLINE_S)) for kind in kinds
    )


def planner_times(rounds: int) -> None:
    """Prints the table of times, and the count of disagreements."""
    rng = random.Random(1)
    seconds: dict[str, list[float]] = {}
    disagreements = 0
    for _ in range(rounds):
        answers = {}
        for name, ask in questions(rng).items():
            start = time.perf_counter()
            answers[name] = ask()
            seconds.setdefault(name, []).append(time.perf_counter() - start)
        for question in ("relaxed", "soft"):
            values = {value for name, value in answers.items() if name.startswith(question)}
            disagreements += len(values) > 1
    print(f"{DEVICES} devices x {SIZES} sizes, median and maximum of {rounds} rounds")
    for name, times in seconds.items():
        print(f"| {name} | {1000 * median(times):.2f} ms | {1000 * max(times):.2f} ms |")
    print(f"{disagreements} disagreements in {2 * rounds} questions")


class Network:
    """An ONNX network with a session for each worker, on random input."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.file, self.workers, self.side = options.model, options.workers, options.side
        self.clock = CLOCKS[options.clock]
        session = self.session()
        first = session.get_inputs()[0].shape[0]
        self.sizes = [first] if isinstance(first, int) else [1, 2, 4, 8]

    def session(self) -> Any:
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return InferenceSession(self.file, options, providers=["CPUExecutionProvider"])

    def mini_batch(self, session: Any, size: int) -> dict[str, np.ndarray]:
        """Random pictures for the network's input."""
        (pictures,) = session.get_inputs()
        sides = [side if isinstance(side, int) else self.side for side in pictures.shape[1:]]
        return {pictures.name: np.random.default_rng(0).random((size, *sides), np.float32)}

    def run(self, session: Any, mini_batch: dict[str, np.ndarray]) -> float:
        """The seconds of one mini-batch."""
        start = self.clock()
        session.run(None, mini_batch)
        return self.clock() - start

    def at_once(self, work: Callable[[int, Barrier], Any], workers: int) -> list[Any]:
        """What the workers return that begin at the same time."""
        barrier = Barrier(workers)
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(lambda number: work(number, barrier), range(workers)))

    def device(self) -> Device:
        """One worker, measured while all are busy."""
        batches = []
        for size in self.sizes:

            def measure(_: int, barrier: Barrier, size: int = size) -> list[float]:
                session = self.session()
                mini_batch = self.mini_batch(session, size)
                barrier.wait()
                return [self.run(session, mini_batch) for _ in range(REPEATS + 1)]

            rows = np.array(self.at_once(measure, self.workers))
            batches.append(
                MiniBatch(size, float(np.median(rows[:, 1:])), float(np.median(rows[:, 0])))
            )
        return Device("worker", tuple(batches))

    def seconds(self, schedule: Sequence[DeviceRun]) -> float:
        """When the last worker of a schedule is done, from the first mini-batch on."""

        def work(number: int, barrier: Barrier) -> float:
            run, session = schedule[number], self.session()
            mini_batch = self.mini_batch(session, run.batch.size)
            barrier.wait()
            start = self.clock()
            for _ in range(run.repetitions + 1):
                self.run(session, mini_batch)
            return self.clock() - start

        return max(self.at_once(work, len(schedule)))


def timed_runs(network: Network, deadline_s: float, load: float, rounds: int) -> Iterator[float]:
    """Yields the share by which each run ends later than promised; negative for earlier."""
    for _ in range(rounds):
        devices = [network.device()] * network.workers
        photos = round(load * photos_of(relaxed(devices, deadline_s)))
        schedule = earliest(devices, photos) or ()
        promised_s, actual_s = finish_s(schedule), network.seconds(schedule)
        kept = "kept" if actual_s <= deadline_s else "missed"
        print(
            f"| {photos} | {schedule[0].batch.size} | {promised_s:.2f} s | {actual_s:.2f} s | "
            f"{actual_s / promised_s - 1:+.1%} | {kept} |",
            flush=True,
        )
        yield actual_s / promised_s - 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--side", type=int, default=416)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--deadline", type=float, default=20.0)
    parser.add_argument("--load", type=float, default=0.9)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    if options.model is None:
        planner_times(options.rounds)
        return
    network = Network(options)
    print(f"| photos | mini-batch | promised | actual | error | {options.deadline:g} s |")
    errors = list(timed_runs(network, options.deadline, options.load, options.rounds))
    print(f"median of the absolute errors: {median(map(abs, errors)):.1%}")


if __name__ == "__main__":
    main()
