"""What a buffer does."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from gateway.core.errors import GatewayError
from gateway.core.model import BufferEntry, BufferLane, Entry, Outcome
from gateway.ledger.accounts import Account, Charges

MOST_CLAIMS = 5
"""A photo whose holders died so many times is answered with an error and kept on the list of dead
letters."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much a buffer holds, waiting and in flight together. Patient photos, of jobs mostly, have
    a room of their own."""

    photos: int = 5_000
    bytes: int = 1 << 30
    pixels: int = 20_000_000_000


@dataclass(frozen=True, slots=True)
class Settlement:
    """A photo's end. `alone_usd` is what its answer would have cost alone, for the ledger; a
    watched photo adds nothing to it but its bill."""

    entry: BufferEntry
    outcome: Outcome
    alone_usd: float = 0.0

    @property
    def account(self) -> Account:
        if self.entry.watched:
            return Account()
        answered = self.outcome.error is None
        return Account(
            photos=1, answered=int(answered), alone_usd=self.alone_usd if answered else 0.0
        )


@dataclass(frozen=True, slots=True)
class Commit:
    """What one answer (or one failure) comes to: it happens all at once, or not at all.

    Photos that are `settled` leave; those put `again` wait in their new lanes; those `gone` leave
    without an outcome: their clients have left, which counts as photos that were not answered. The
    call about the canvas that `ended` is charged here, or was not billed. `charges` are added to
    the ledger. A settlement or another round of a photo that was given to somebody else meanwhile,
    or has left, does nothing; the charges count all the same, for they were paid. Tried again
    because no reply came, it is done once: by its `id`.
    """

    settled: Sequence[Settlement] = ()
    again: Sequence[BufferEntry] = ()
    gone: Sequence[str] = ()
    ended: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    charges: Charges = field(default_factory=dict)


class BufferListener(Protocol):
    """Whom a buffer tells."""

    def outcome(self, photo_id: str, outcome: Outcome) -> None:
        """A photo that was put here, by a client that waits here, is settled. Told once."""
        ...

    def changed(self) -> None:
        """A lane may be due now."""
        ...

    def lost(self, error: GatewayError) -> None:
        """Every photo that was put here by a client that waits is lost, or out of reach."""
        ...


class Buffer(Protocol):
    """Holds photos from the moment they are accepted until they are settled.

    A claimed photo still takes up room. Every method may raise BufferAway.
    """

    async def put(self, entries: Sequence[BufferEntry]) -> None:
        """Takes all of them or, raising Busy, none."""
        ...

    async def claim(
        self, lane: BufferLane, now: float, *, most: int | None = None
    ) -> list[BufferEntry]:
        """One canvas's photos of the lane: a full grid or, where a photo is out of time, what there
        is; else none.

        Those whose clients wait come before patient ones; among each, tenants take turns, and a
        tenant's own come oldest first. They are the caller's until it commits what became of them,
        or dies.

        `most` asks for company on a canvas of another lane: up to so many whose clients wait, due
        or not.
        """
        ...

    async def ask(self, canvas: str, entries: Sequence[Entry]) -> list[Entry]:
        """Notes that the canvas is about to be asked about, and returns those of its photos that
        are still wanted. A question that nobody is billed for names no canvas, and nothing is
        noted."""
        ...

    async def commit(self, commit: Commit) -> frozenset[str]:
        """Does all of it, and returns the photos whose settlement or new round counted."""
        ...

    def serving(self, listener: BufferListener) -> AbstractAsyncContextManager[None]:
        """While it lasts, the listener is told what happens, and what belonged to others who died
        is seen to."""
        ...
