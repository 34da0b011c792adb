"""A look at one picture, which can be ended from outside while its network runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from providers.detection import Detection


class LookEnded(Exception):
    """The look was ended: nobody waits for its answer any more."""


class RunningLook:
    """One look of a detector at a picture. Holds whether it was ended, and what ends the network
    that runs for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop: Callable[[], None] | None = None
        self._is_ended = False

    @property
    def is_ended(self) -> bool:
        return self._is_ended

    def end(self) -> None:
        """Ends the look: the network that runs stops, and no further one is started."""
        with self._lock:
            self._is_ended = True
            stop = self._stop
        if stop is not None:
            stop()

    def ends_with(self, stop: Callable[[], None]) -> None:
        """Calls `stop` when the look is ended from now on. Raises LookEnded if it was ended."""
        with self._lock:
            if self._is_ended:
                raise LookEnded
            self._stop = stop


@runtime_checkable
class EndableDetector(Protocol):
    """A detector whose looks can be ended."""

    def look(self, image: Image.Image, look: RunningLook) -> Sequence[Detection]:
        """All detections on an RGB image. Raises any error once the look is ended."""
        ...


@runtime_checkable
class SizedDetector(Protocol):
    """A detector that sees pictures in a size of its own."""

    def drawn_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height in pixels in which it sees a picture of that size."""
        ...


def run_session(
    session: Any, names: Sequence[str], feeds: Mapping[str, Any], look: RunningLook | None
) -> list[Any]:
    """The outputs of these names of an ONNX Runtime session, whose run stops between two layers
    when the look is ended. Raises LookEnded if it was ended before."""
    if look is None:
        return list(session.run(names, feeds))
    from onnxruntime import RunOptions

    options = RunOptions()

    def stop() -> None:
        options.terminate = True

    look.ends_with(stop)
    return list(session.run(names, feeds, options))
