"""A limit on the bytes that all calls hold together before the buffer counts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.core.errors import Busy


@dataclass
class ByteQuota:
    """At most `max_bytes` at a time. Holds how many are in use. `verb` says in the error what
    happens to them: "sent" or "fetched"."""

    max_bytes: int
    verb: str
    used_bytes: int = 0

    @contextmanager
    def reserving(self) -> Iterator[Callable[[int], None]]:
        """A function that reserves bytes until the block ends. It raises Busy, and reserves none,
        where too few are free."""
        reserved_bytes = 0

        def reserve(count: int) -> None:
            nonlocal reserved_bytes
            if self.used_bytes + count > self.max_bytes:
                raise Busy(
                    f"Too much is being {self.verb} at once (limits.max_reading_bytes); "
                    "come back in a second."
                )
            self.used_bytes += count
            reserved_bytes += count

        try:
            yield reserve
        finally:
            self.used_bytes -= reserved_bytes
