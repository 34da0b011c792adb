"""The contract of buffers, which hold photos from their acceptance to their end."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from gateway.core.errors import GatewayError
from gateway.core.model import BufferEntry, BufferLane, Entry, Outcome
from gateway.ledger.accounts import Account, AccountKey, Charges
from gateway.ledger.budgets import Meters

MOST_CLAIMS = 5
"""A photo fails and becomes a dead letter after so many claims whose holders died."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much a buffer may hold, waiting and claimed photos together. Patient photos, mostly those
    of jobs, have a capacity of their own."""

    photos: int = 5_000
    bytes: int = 1 << 30
    pixels: int = 20_000_000_000


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a photo. `alone_usd` is what its answer would have cost alone, for the ledger.
    `is_reusable`: it is the route's complete and usual answer, which an equal photo may get."""

    entry: BufferEntry
    outcome: Outcome
    alone_usd: float = 0.0
    is_reusable: bool = False

    @property
    def account(self) -> Account:
        """What the photo adds to its tenant's account, besides its bill; nothing for a watched
        photo."""
        if self.entry.watched:
            return Account()
        if self.outcome.error is not None:
            return Account(photos=1)
        return Account(1, 1, alone_usd=self.alone_usd, cached=int(self.outcome.is_cached))

    @property
    def account_key(self) -> AccountKey:
        """The account: with the provider that answered last, if one did."""
        steps = self.outcome.steps
        return AccountKey.of_entry(self.entry, steps[-1].provider if steps else "")


@dataclass(frozen=True, slots=True)
class Commit:
    """All that follows from one answer or one failure, as one atomic step.

    Photos of `settlements` leave with their outcomes. Photos of `requeues` wait again, in their new
    lanes. Photos of `withdrawn_ids` leave without an outcome, for their clients have left; they
    count as not answered. `ended_canvas` is the canvas whose call has ended: its bill is among the
    charges, or it was not billed. `charges` are added to the ledger, and `meters` to what budgets
    were spent; the hold of the id `hold` ends.

    A photo that another replica has claimed meanwhile, or that has left, is neither settled nor put
    again; the charges count all the same, for they were paid. A commit that is repeated because no
    reply came is done once, by its `id`.
    """

    settlements: Sequence[Settlement] = ()
    requeues: Sequence[BufferEntry] = ()
    withdrawn_ids: Sequence[str] = ()
    ended_canvas: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    charges: Charges = field(default_factory=dict)
    meters: Meters = field(default_factory=dict)
    hold: str = ""


class BufferListener(Protocol):
    """A listener to a buffer: what happens to photos that were put here."""

    def outcome(self, photo_id: str, outcome: Outcome) -> None:
        """Takes the outcome of a photo whose client waits here. Called once a photo."""
        ...

    def changed(self) -> None:
        """Learns that a lane may be due."""
        ...

    def lost(self, error: GatewayError) -> None:
        """Learns that all photos whose clients wait here are lost, or out of reach."""
        ...


class Buffer(Protocol):
    """Holds photos, waiting and claimed, until they are settled or leave. Every method may raise
    BufferAway."""

    async def put(self, entries: Sequence[BufferEntry]) -> None:
        """Accepts all photos; or none, raising Busy."""
        ...

    async def claim(
        self, lane: BufferLane, now: float, *, most: int | None = None
    ) -> list[BufferEntry]:
        """The photos of one canvas of the lane: a full grid; fewer if a photo is due; else none.

        Photos whose clients wait come before patient ones. Within each kind tenants take turns, and
        a tenant's oldest photo comes first. The caller holds the photos until it commits their
        outcome, or dies.

        With `most`, the photos are company for a canvas of another lane: at most so many whose
        clients wait, whether due or not.
        """
        ...

    async def ask(self, canvas: str, entries: Sequence[Entry]) -> list[Entry]:
        """Those of the canvas's photos that the caller still holds, for a call that is about to
        begin. The call is noted, in case the caller dies before the answer; one that nobody is
        billed for has '' for its canvas and is not noted."""
        ...

    async def commit(self, commit: Commit) -> frozenset[str]:
        """Does all of the commit. The ids of the photos that were settled or put again."""
        ...

    def serving(self, listener: BufferListener) -> AbstractAsyncContextManager[None]:
        """A context in which the listener is called, and photos of dead replicas are taken
        over."""
        ...
