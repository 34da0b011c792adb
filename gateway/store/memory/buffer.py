"""A buffer in the memory of this process: the default."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, replace

from gateway.core.clock import Clock
from gateway.core.errors import Busy
from gateway.core.model import BufferEntry, BufferLane, Entry, Photo
from gateway.ledger.accounts import Account, AccountKey, charges_of, unsure_charges
from gateway.store.buffer import BufferListener, Capacity, Commit, Settlement
from gateway.store.inspection import Backlog, DeadPhoto, Occupancy
from gateway.store.journal import Journal, JournalRecord, PhotoResult
from gateway.store.memory.budgets import MemoryBudgets
from gateway.store.memory.fair_queue import FairQueue
from gateway.store.memory.ledger import MemoryLedger
from gateway.store.memory.room import Room


class MemoryBuffer:
    """Buffer and Inspection. Holds all entries by photo id; the queues of the lanes; the room of
    clients' photos and that of patient ones; the ledger, which is the journal of what happens here;
    and the listener."""

    problem = ""
    replicas = 1

    def __init__(
        self,
        room: Capacity,
        jobs: Capacity = Capacity(),
        *,
        journal: Journal | None = None,
        tenants: int = 1,
        caps: Mapping[str, Capacity] | None = None,
        clock: Clock = time.time,
    ) -> None:
        """`room` is for photos whose clients wait, `jobs` for patient ones; without a journal the
        ledger begins with the process. So many `tenants` share both rooms, and `caps` limit single
        ones in the first."""
        self.ledger: Journal = journal or MemoryLedger(clock)
        self.budgets = MemoryBudgets(self.ledger, clock)
        self._committing = asyncio.Lock()
        self._entries: dict[str, BufferEntry] = {}
        self._queues: dict[BufferLane, FairQueue] = {}
        self._rooms = [Room(room, tenants=tenants, caps=caps), Room(jobs, tenants=tenants)]
        self._listener: BufferListener | None = None

    # -- Buffer

    async def put(self, entries: Sequence[BufferEntry]) -> None:
        new: dict[str, BufferEntry] = {}
        for entry in entries:
            if entry.photo.id not in self._entries:
                new.setdefault(entry.photo.id, entry)
        hurried = [entry for entry in new.values() if not entry.patient]
        patient = [entry for entry in new.values() if entry.patient]
        self._rooms[False].add(hurried)
        try:
            self._rooms[True].add(patient)
        except Busy:
            self._rooms[False].remove(hurried)
            raise
        for entry in new.values():
            self._enqueue(entry)
        if new:
            self._notify_changed()

    async def claim(
        self, lane: BufferLane, now: float, *, most: int | None = None
    ) -> list[BufferEntry]:
        queue = self._queues.get(lane)
        if queue is None:
            return []
        if most is not None:
            entries = queue.take(most, patient=False)
        elif len(queue) >= lane.shape.cells or queue.backlog().due_at <= now:
            entries = queue.take(lane.shape.cells)
        else:
            return []
        claimed = [replace(entry, turn=entry.turn + 1) for entry in entries]
        self._entries.update((entry.photo.id, entry) for entry in claimed)
        if not queue:
            del self._queues[lane]
        return claimed

    async def ask(self, canvas: str, entries: Sequence[Entry]) -> list[Entry]:
        current = [entry for entry in entries if self._is_current(entry)]
        if canvas and current:
            await self.ledger.begin_call(canvas, unsure_charges(entries))
        return current

    async def commit(self, commit: Commit) -> frozenset[str]:
        async with self._committing:  # or two commits could count the same photo while one records
            settlements = [each for each in commit.settlements if self._is_current(each.entry)]
            requeued = [entry for entry in commit.requeues if self._is_current(entry)]
            settled_ids = {each.entry.photo.id for each in settlements}
            withdrawn = self._withdrawn(commit, settled_ids)
            # This may fail and be repeated, so it comes before all other changes.
            await self.ledger.record(_record(commit, settlements, withdrawn))
            await self.budgets.release(commit.hold)
            for settlement in settlements:
                self._settle(settlement)
            self._requeue(requeued)
            for entry in withdrawn:
                self._remove(entry.photo.id)
        if requeued:
            self._notify_changed()
        return frozenset(settled_ids | {entry.photo.id for entry in requeued})

    @asynccontextmanager
    async def serving(self, listener: BufferListener) -> AsyncIterator[None]:
        self._listener = listener
        try:
            yield
        finally:
            self._listener = None

    # -- Inspection

    async def backlogs(self) -> Mapping[BufferLane, Backlog]:
        return {lane: queue.backlog() for lane, queue in self._queues.items()}

    async def occupancy(self) -> Occupancy:
        taken = [room.occupancy for room in self._rooms]
        return Occupancy(*(sum(values) for values in zip(*map(astuple, taken), strict=True)))

    async def dead_letters(self) -> Sequence[DeadPhoto]:
        return ()

    # -- state

    def _is_current(self, entry: BufferEntry) -> bool:
        """Whether the photo is here, and was not claimed again since this entry was."""
        current = self._entries.get(entry.photo.id)
        return current is not None and current.turn == entry.turn

    def _withdrawn(self, commit: Commit, settled_ids: set[str]) -> list[BufferEntry]:
        """The photos whose clients have left, as far as they are here and not settled."""
        ids = dict.fromkeys(commit.withdrawn_ids)
        return [self._entries[each] for each in ids if each in self._entries.keys() - settled_ids]

    def _settle(self, settlement: Settlement) -> None:
        entry = settlement.entry
        self._remove(entry.photo.id)
        if not entry.job and self._listener:
            self._listener.outcome(entry.photo.id, settlement.outcome)

    def _requeue(self, entries: Sequence[BufferEntry]) -> None:
        for entry in entries:
            self._remove(entry.photo.id)
            self._rooms[entry.patient].take(entry)
            self._enqueue(entry)

    def _enqueue(self, entry: BufferEntry) -> None:
        self._entries[entry.photo.id] = entry
        self._queues.setdefault(entry.lane, FairQueue()).add(entry)

    def _remove(self, photo_id: str) -> None:
        """Removes a photo, if it is here, from the entries and from its queue."""
        entry = self._entries.pop(photo_id, None)
        if entry is None:
            return
        self._rooms[entry.patient].remove([entry])
        queue = self._queues.get(entry.lane)
        if queue is not None:
            queue.remove(photo_id)
            if not queue:
                del self._queues[entry.lane]

    def _notify_changed(self) -> None:
        if self._listener:
            self._listener.changed()


def _record(
    commit: Commit, settlements: Sequence[Settlement], withdrawn: Sequence[BufferEntry]
) -> JournalRecord:
    """What a commit leaves behind, given the settlements and withdrawals that count."""
    accounts = list(commit.charges.items())
    accounts += [(each.account_key, each.account) for each in settlements]
    for entry in withdrawn:
        if not entry.watched:
            accounts.append((AccountKey.of_entry(entry), Account(photos=1)))
    results = [_result(each) for each in settlements if each.entry.job]
    ended_calls = (commit.ended_canvas,) if commit.ended_canvas else ()
    return JournalRecord(results, charges_of(accounts), ended_calls, commit.meters)


def _result(settlement: Settlement) -> PhotoResult:
    entry = settlement.entry
    size = entry.photo.size if isinstance(entry.photo, Photo) else None
    return PhotoResult(entry.job, entry.index, settlement.outcome, size)
