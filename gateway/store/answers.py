"""The contract of answer stores: what equal photos are answered with."""

from __future__ import annotations

from typing import NamedTuple, Protocol

OVERHEAD_BYTES = 1024
"""What an answer takes beside its own bytes: keys and tables. Rather too much than too little."""


class Lease(NamedTuple):
    """The right to be asked about for all equal photos: what is leased, and the photo that has
    it."""

    name: str
    photo_id: str


class Answers(Protocol):
    """Holds packed answers by key, each for a while and all within a bound of bytes, of which the
    least recently used leave first; and the leases of photos that are being asked about. Every
    method may raise BufferAway."""

    async def begin(self, key: str, lease: Lease, *, lease_s: float) -> bytes | bool:
        """The answer; else whether the photo has the lease, for so long. False while another photo
        has it."""
        ...

    async def find(self, key: str) -> bytes | None:
        """The answer, if there is one."""
        ...

    async def end(
        self, key: str, lease: Lease, answer: bytes | None = None, *, keep_s: float = 0.0
    ) -> None:
        """Ends the lease, if the photo has it, and keeps an answer for so long."""
        ...
