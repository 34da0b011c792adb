"""The contract of journals: what of a buffer in memory survives its process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from gateway.core.model import Outcome, Size
from gateway.ledger.accounts import Charges, charges_of
from gateway.ledger.budgets import Meters, added
from gateway.store.ledger import Ledger


class PhotoResult(NamedTuple):
    """The result of the photo at this place in a job, from 0; its size is None if it is not
    known."""

    job: str
    place: int
    outcome: Outcome
    size: Size | None


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """What one commit leaves behind: results of jobs' photos, charges, the calls that have ended,
    by their canvases, and what is added to the meters of budgets."""

    results: Sequence[PhotoResult] = ()
    charges: Charges = field(default_factory=dict)
    ended_calls: tuple[str, ...] = ()
    meters: Meters = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.results or self.charges or self.ended_calls or self.meters)

    def __add__(self, other: JournalRecord) -> JournalRecord:
        return JournalRecord(
            (*self.results, *other.results),
            charges_of([*self.charges.items(), *other.charges.items()]),
            (*self.ended_calls, *other.ended_calls),
            added(self.meters, other.meters),
        )


class Journal(Ledger, Protocol):
    """A ledger that also holds results and the calls under way."""

    async def begin_call(self, canvas: str, charges: Charges) -> None:
        """Notes a call that is about to begin. If the process dies before a record ends it, these
        charges count: the call may be billed."""
        ...

    async def meters(self, names: Sequence[str]) -> Meters:
        """What each of the meters counts; 0 for one that nothing was added to."""
        ...

    async def record(self, record: JournalRecord) -> None:
        """Records all of it, or nothing. Raises BufferAway where results cannot be stored; charges
        that cannot be stored yet are kept for later."""
        ...
