"""Inputs of several threads go through a network together."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from providers.engine.layouts import Outputs
from providers.engine.look import LookEnded, RunningLook
from providers.engine.mini_batches import MiniBatches
from providers.engine.preprocess import Floats


class HeldNetwork:
    """Doubles its inputs. Its first run waits until `release` is set. Holds the shapes of all its
    runs."""

    def __init__(self, error: Exception | None = None) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.begun, self.release = threading.Event(), threading.Event()
        self._error = error

    def run(self, tensor: Floats, look: RunningLook | None = None) -> Outputs:
        self.shapes.append(tensor.shape)
        if len(self.shapes) == 1:
            self.begun.set()
            self.release.wait(20)
        if self._error is not None:
            raise self._error
        return {"double": 2 * tensor}


def picture(value: float, height: int = 2) -> Floats:
    return np.full((1, 3, height, 2), value, np.float32)


class Clients:
    """Threads that each have one picture run. The first is in the network while the others come."""

    def __init__(self, batches: MiniBatches, network: HeldNetwork) -> None:
        self._batches, self._network = batches, network
        self._pool = ThreadPoolExecutor(16)

    def run(
        self, pictures: list[Floats], looks: list[RunningLook | None] | None = None
    ) -> list[Any]:
        """The outcome of each: its outputs, or its error."""
        looks = looks or [None] * len(pictures)
        first = self._pool.submit(self._batches.run, pictures[0], looks[0])
        assert self._network.begun.wait(20)
        rest = []
        for index, (tensor, look) in enumerate(zip(pictures[1:], looks[1:], strict=True)):
            rest.append(self._pool.submit(self._batches.run, tensor, look))
            while self._batches.waiting <= index:
                threading.Event().wait(0.001)
        self._network.release.set()
        futures = [first, *rest]
        errors = [future.exception(20) for future in futures]
        return [error or future.result() for error, future in zip(errors, futures, strict=True)]


def test_inputs_that_come_meanwhile_run_together() -> None:
    """What comes while the network runs is its next mini-batch, and each gets its own outputs."""
    network = HeldNetwork()
    outcomes = Clients(MiniBatches(network, 8), network).run([picture(n) for n in range(5)])
    assert network.shapes == [(1, 3, 2, 2), (4, 3, 2, 2)]
    assert [outputs["double"].shape for outputs in outcomes] == [(1, 3, 2, 2)] * 5
    assert [float(outputs["double"].mean()) for outputs in outcomes] == [0, 2, 4, 6, 8]


def test_a_mini_batch_is_no_larger_than_allowed() -> None:
    """No more inputs than allowed run together."""
    network = HeldNetwork()
    Clients(MiniBatches(network, 2), network).run([picture(n) for n in range(6)])
    assert [shape[0] for shape in network.shapes] == [1, 2, 2, 1]


def test_a_mini_batch_has_one_shape() -> None:
    """Inputs of other shapes wait for the next mini-batch, in their order."""
    network = HeldNetwork()
    heights = (2, 4, 6, 4, 6)
    outcomes = Clients(MiniBatches(network, 8), network).run(
        [picture(n, height) for n, height in enumerate(heights)]
    )
    assert network.shapes == [(1, 3, 2, 2), (2, 3, 4, 2), (2, 3, 6, 2)]
    assert [float(outputs["double"].mean()) for outputs in outcomes] == [0, 2, 4, 6, 8]


def test_inputs_that_fail_together_run_alone() -> None:
    """Where a mini-batch fails, each of its inputs runs alone, and only those at fault fail."""

    class Delicate(HeldNetwork):
        """Fails on more than one input, and on the number 3."""

        def run(self, tensor: Floats, look: RunningLook | None = None) -> Outputs:
            outputs = super().run(tensor, look)
            if len(tensor) > 1 or tensor.max() == 3:
                raise ValueError("too large")
            return outputs

    network = Delicate()
    outcomes = Clients(MiniBatches(network, 8), network).run([picture(n) for n in range(5)])
    assert [shape[0] for shape in network.shapes] == [1, 4, 1, 1, 1, 1]
    assert str(outcomes[3]) == "too large"
    answers = [outcomes[number] for number in (0, 1, 2, 4)]
    assert [float(outputs["double"].mean()) for outputs in answers] == [0, 2, 4, 8]


def test_outputs_without_an_axis_of_pictures_are_those_of_each_alone() -> None:
    """Where the outputs of a mini-batch cannot be told apart, each input runs alone, and the next
    ones run as ever."""

    class Scalar(HeldNetwork):
        def run(self, tensor: Floats, look: RunningLook | None = None) -> Outputs:
            return {**super().run(tensor, look), "count": np.array(len(tensor))}

    network = Scalar()
    batches = MiniBatches(network, 8)
    outcomes = Clients(batches, network).run([picture(n) for n in range(3)])
    assert [float(outputs["double"].mean()) for outputs in outcomes] == [0, 2, 4]
    assert float(batches.run(picture(7))["double"].mean()) == 14


def test_a_look_that_was_ended_is_not_run() -> None:
    """A picture for which nobody waits any more is left out of the mini-batch."""
    network = HeldNetwork()
    ended = RunningLook()
    ended.end()
    outcomes = Clients(MiniBatches(network, 8), network).run(
        [picture(0), picture(1), picture(2)], [None, ended, None]
    )
    assert network.shapes == [(1, 3, 2, 2), (1, 3, 2, 2)]
    assert isinstance(outcomes[1], LookEnded)


def test_one_after_the_other_run_alone() -> None:
    """An input that nobody else comes with runs at once, and alone."""
    network = HeldNetwork()
    network.release.set()
    batches = MiniBatches(network, 8)
    for value in (1.0, 2.0):
        assert batches.run(picture(value))["double"] == pytest.approx(2 * picture(value))
    assert [shape[0] for shape in network.shapes] == [1, 1]


class CountedNetwork:
    """Doubles its inputs. Holds how many runs are under way, and the most that were."""

    def __init__(self) -> None:
        self.active = self.most = 0
        self._lock = threading.Lock()

    def run(self, tensor: Floats, look: RunningLook | None = None) -> Outputs:
        with self._lock:
            self.active += 1
            self.most = max(self.most, self.active)
        threading.Event().wait(0.001)
        with self._lock:
            self.active -= 1
        return {"double": 2 * tensor}


@pytest.mark.parametrize("runs", [1, 2, 3])
def test_every_client_of_many_is_answered(runs: int) -> None:
    """However many threads come, each gets its own outputs, and no more runs are under way at a
    time than allowed."""
    network = CountedNetwork()
    batches = MiniBatches(network, 4, runs=runs)

    def ask(number: int) -> float:
        return float(batches.run(picture(number, 2 + number % 3))["double"].mean())

    with ThreadPoolExecutor(24) as pool:
        assert list(pool.map(ask, range(400))) == [2.0 * number for number in range(400)]
    assert network.most <= runs
    assert batches.waiting == 0


def test_an_answer_does_not_wait_for_the_next_run() -> None:
    """A picture has its answer when its own mini-batch is done, though others wait to run."""

    class TwoRuns(HeldNetwork):
        """Waits in its second run, too."""

        second = threading.Event()

        def run(self, tensor: Floats, look: RunningLook | None = None) -> Outputs:
            outputs = super().run(tensor, look)
            if len(self.shapes) == 2:
                assert self.second.wait(20)
            return outputs

    network = TwoRuns()
    batches = MiniBatches(network, 1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(batches.run, picture(1))
        assert network.begun.wait(20)
        later = pool.submit(batches.run, picture(2))
        while not batches.waiting:
            threading.Event().wait(0.001)
        network.release.set()
        assert float(first.result(20)["double"].mean()) == 2
        assert not later.done()
        network.second.set()
        assert float(later.result(20)["double"].mean()) == 4
