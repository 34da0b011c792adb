"""Bytes that calls may hold together while they are on their way to the buffer, which counts them
from there on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.core.errors import Busy


@dataclass
class ByteQuota:
    """So many bytes at a time. Holds how many are taken; `what` is too much where they are not
    enough."""

    most: int
    what: str
    taken: int = 0

    @contextmanager
    def taking(self) -> Iterator[Callable[[int], None]]:
        """A way to take bytes, all of which are given back in the end. It raises Busy, and takes
        none, where there are not so many."""
        own = 0

        def take(count: int) -> None:
            nonlocal own
            if self.taken + count > self.most:
                raise Busy(
                    f"Too much is being {self.what} at once (limits.max_reading_bytes); come back in a second."
                )
            self.taken += count
            own += count

        try:
            yield take
        finally:
            self.taken -= own
