"""An object is read in parts, up to a limit and as long as its client waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from gateway.core.errors import SourceAway, SourceTooLarge
from gateway.core.locations import Location
from gateway.intake.object_stores import ObjectStoreReader, read_all


class EndlessStore(ObjectStoreReader):
    """A store whose objects have no end."""

    def __init__(self) -> None:
        super().__init__("drip")
        self.begun, self.ended = threading.Event(), threading.Event()

    def get(self, location: Location, max_bytes: int, is_cancelled: Callable[[], bool]) -> bytes:
        try:
            return read_all(self._part, None, max_bytes, is_cancelled)
        finally:
            self.ended.set()

    def _part(self, size: int) -> bytes:
        self.begun.set()
        return b"."

    def close_client(self) -> None:
        pass


@pytest.mark.parametrize("length", [None, 10])
def test_all_parts_are_joined(length: int | None) -> None:
    """Parts are read and joined until there are none."""
    parts = iter([b"01234", b"56789", b""])
    assert read_all(lambda size: next(parts), length, 10, lambda: False) == b"0123456789"


def test_an_endless_object_is_read_one_byte_too_far() -> None:
    """An endless object is read for one byte more than the limit, which proves it too large."""
    parts: list[bytes] = []
    with pytest.raises(SourceTooLarge):
        read_all(lambda size: parts.append(bytes(size)) or parts[-1], None, 10, lambda: False)
    assert sum(map(len, parts)) == 11


def test_a_stated_length_over_the_limit_is_not_read() -> None:
    """Nothing is read of an object whose stated length is over the limit."""
    with pytest.raises(SourceTooLarge):
        read_all(lambda size: pytest.fail("it was read"), 11, 10, lambda: False)


def test_an_abandoned_read_gives_no_photo() -> None:
    """A read whose client has left gives no photo, however much of it is there."""
    with pytest.raises(SourceAway):
        read_all(lambda size: b"", None, 10, lambda: True)


async def test_a_threads_read_ends_with_its_client() -> None:
    """The thread of a client that left reads no further than the current part."""
    store = EndlessStore()
    reading = asyncio.create_task(store.read(Location("s3://shop/a", "s3", "shop", "a"), 1 << 60))
    await asyncio.to_thread(store.begun.wait, 15)
    reading.cancel()
    assert await asyncio.to_thread(store.ended.wait, 15)
    await store.close()
    assert reading.cancelled()
