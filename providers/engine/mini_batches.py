"""Mini-batches: inputs of several threads that go through a network together."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from threading import Event, Lock
from typing import Protocol

import numpy as np

from providers.engine.layouts import Outputs
from providers.engine.look import LookEnded, RunningLook
from providers.engine.preprocess import Floats


class RunnableNetwork(Protocol):
    """Runs on inputs of pictures. Safe to call from several threads."""

    def run(self, tensor: Floats, look: RunningLook | None = None) -> Outputs:
        """The outputs, by name, for an input (n, 3, h, w)."""
        ...


class _Request:
    """One picture's input, which waits until it leads a run or has its outcome."""

    def __init__(self, tensor: Floats, look: RunningLook | None) -> None:
        self.tensor = tensor
        self.look = look
        self.leads = False
        self.is_taken = False
        self.news = Event()
        self.done = Event()
        self.outputs: Outputs | None = None
        self.error: BaseException | None = None

    def lead(self) -> None:
        """Hands a run to the thread of this request."""
        self.leads = True
        self.news.set()

    def settle(self, outputs: Outputs | None, error: BaseException | None = None) -> None:
        """Gives the request its outcome."""
        self.outputs, self.error = outputs, error
        self.news.set()
        self.done.set()

    def result(self) -> Outputs:
        self.done.wait()
        if self.error is not None:
            raise self.error
        assert self.outputs is not None
        return self.outputs


def _part_of(outputs: Outputs, index: int) -> Outputs:
    """The outputs of one picture of a mini-batch, with an axis of pictures."""
    return {name: array[index : index + 1] for name, array in outputs.items()}


class MiniBatches:
    """A network that runs for `runs` threads at a time, each of which takes the inputs of others
    along, at most `size` of one shape.

    Nobody waits for a mini-batch to fill: what came while the network ran is the next one, so their
    size follows the load. Holds the inputs that wait, and how many runs are under way.
    """

    def __init__(self, network: RunnableNetwork, size: int, *, runs: int = 1) -> None:
        self._network = network
        self._size = size
        self._max_runs = runs
        self._runs = 0
        self._waiting: deque[_Request] = deque()
        self._lock = Lock()

    @property
    def waiting(self) -> int:
        """How many inputs wait for their turn."""
        return len(self._waiting)

    def run(self, tensor: Floats, look: RunningLook | None = None) -> Outputs:
        """The outputs for an input (1, 3, h, w). Raises what the network raises about its
        mini-batch, and LookEnded if the look was ended before its turn."""
        request = _Request(tensor, look)
        with self._lock:
            self._waiting.append(request)
            if self._runs < self._max_runs:
                self._runs += 1
                request.lead()
        request.news.wait()
        if request.leads:
            try:
                while not request.is_taken:
                    self._run_next()
            finally:
                self._hand_over()
        return request.result()

    def _hand_over(self) -> None:
        """Lets the oldest input that waits, and leads no run yet, lead the next one."""
        with self._lock:
            successor = next((each for each in self._waiting if not each.leads), None)
            if successor is not None:
                successor.lead()
            else:
                self._runs -= 1

    def _run_next(self) -> None:
        """Runs the next mini-batch, and gives each input its outcome. Where several fail together,
        each runs alone: one of them may be at fault, or their number."""
        batch = self._next()
        try:
            self._settle(batch)
        except Exception:
            for request in batch:
                self._settle_alone(request)
        finally:
            for request in batch:
                if not request.done.is_set():
                    request.settle(None, LookEnded())

    def _settle(self, batch: Sequence[_Request]) -> None:
        if len(batch) == 1:
            self._settle_alone(batch[0])
        elif batch:
            outputs = self._network.run(np.concatenate([request.tensor for request in batch]))
            parts = [_part_of(outputs, index) for index in range(len(batch))]
            for request, part in zip(batch, parts, strict=True):
                request.settle(part)

    def _settle_alone(self, request: _Request) -> None:
        """Runs one input. Its look can end the run."""
        try:
            request.settle(self._network.run(request.tensor, request.look))
        except Exception as error:
            request.settle(None, error)

    def _next(self) -> list[_Request]:
        """The inputs that go next: the oldest, and others of its shape. Looks that were ended have
        their error at once."""
        batch: list[_Request] = []
        others: list[_Request] = []
        with self._lock:
            while self._waiting and len(batch) < self._size:
                request = self._waiting.popleft()
                if request.look is not None and request.look.is_ended:
                    request.is_taken = True
                    request.settle(None, LookEnded())
                elif batch and request.tensor.shape != batch[0].tensor.shape:
                    others.append(request)
                else:
                    request.is_taken = True
                    batch.append(request)
            self._waiting.extendleft(reversed(others))
        return batch
