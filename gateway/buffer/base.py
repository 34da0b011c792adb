"""What a buffer does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.model import Entry, Lane
from gateway.packer import Waiting


@dataclass(frozen=True, slots=True)
class Room:
    """How much a buffer holds, waiting and in flight together."""

    photos: int = 5_000
    bytes: int = 1 << 30
    pixels: int = 20_000_000_000


@dataclass(frozen=True, slots=True)
class Held:
    """What is in a buffer now, waiting and in flight together."""

    photos: int = 0
    bytes: int = 0
    pixels: int = 0


class Buffer(Protocol):
    """Holds photos from the moment they are accepted until they are settled.

    Photos are claimed oldest first. A claimed photo still takes up room; it leaves when it is settled, or waits again
    when it is put again, which never fails.
    """

    async def put(self, entries: Sequence[Entry]) -> None:
        """Takes all of them or, raising Busy, none. A photo already held is moved to its new lane."""
        ...

    async def waiting(self) -> Mapping[Lane, Waiting]:
        """The lanes that hold photos."""
        ...

    async def claim(self, lane: Lane, count: int) -> list[Entry]:
        """Up to `count` photos, which are now the caller's to settle or to put back."""
        ...

    async def settle(self, photo_id: str) -> None:
        """Forgets the photo wherever it is; nothing happens where it is not held."""
        ...

    async def held(self) -> Held:
        """How full it is."""
        ...
