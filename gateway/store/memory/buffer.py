"""A buffer in the memory of this process: the default."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from gateway.core.errors import Busy
from gateway.core.model import BufferEntry, BufferLane, Entry, Outcome, Photo, Size
from gateway.ledger.accounts import Account
from gateway.store.buffer import BufferListener, Capacity, Commit, Settlement
from gateway.store.inspection import Backlog, DeadPhoto, Occupancy
from gateway.store.memory.fair_queue import FairQueue
from gateway.store.memory.ledger import MemoryLedger

KeepResult = Callable[[str, int, Outcome, Size | None], Awaitable[None]]
"""Stores the outcome of a job's photo: job, index, outcome, size."""


class MemoryBuffer:
    """Buffer and Inspection. Holds all entries by photo id; the queues of the lanes; how much the
    clients' photos and the patient ones take up; the ledger; and the listener."""

    problem = ""
    replicas = 1

    def __init__(
        self, room: Capacity, jobs: Capacity = Capacity(), *, keep: KeepResult | None = None
    ) -> None:
        """`room` is for photos whose clients wait, `jobs` for patient ones; `keep` takes the
        outcomes of jobs' photos."""
        self.ledger = MemoryLedger()
        self._capacities = (room, jobs)
        self._keep = keep
        self._entries: dict[str, BufferEntry] = {}
        self._queues: dict[BufferLane, FairQueue] = {}
        self._occupancies = [Occupancy(), Occupancy()]
        self._listener: BufferListener | None = None

    # -- Buffer

    async def put(self, entries: Sequence[BufferEntry]) -> None:
        new: dict[str, BufferEntry] = {}
        occupancies = list(self._occupancies)
        for entry in entries:
            if entry.photo.id in self._entries or entry.photo.id in new:
                continue
            new[entry.photo.id] = entry
            occupancies[entry.patient] = _changed(occupancies[entry.patient], entry, 1)
        for i, capacity in enumerate(self._capacities):
            if occupancies[i] != self._occupancies[i]:
                _check(capacity, occupancies[i])
        self._occupancies = occupancies
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
        return [entry for entry in entries if self._is_current(entry)]

    async def commit(self, commit: Commit) -> frozenset[str]:
        for settlement in commit.settlements:
            # This may fail and be repeated, so it comes before all other changes.
            await self._keep_result(settlement)
        self.ledger.add(commit.charges)
        settlements = [each for each in commit.settlements if self._is_current(each.entry)]
        requeued = [entry for entry in commit.requeues if self._is_current(entry)]
        for settlement in settlements:
            self._settle(settlement)
        self._requeue(requeued)
        self._withdraw(commit.withdrawn_ids)
        if requeued:
            self._notify_changed()
        settled_entries = [settlement.entry for settlement in settlements]
        return frozenset(entry.photo.id for entry in (*settled_entries, *requeued))

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
        return _sum(self._occupancies)

    async def dead_letters(self) -> Sequence[DeadPhoto]:
        return ()

    # -- state

    def _is_current(self, entry: BufferEntry) -> bool:
        """Whether the photo is here, and was not claimed again since this entry was."""
        current = self._entries.get(entry.photo.id)
        return current is not None and current.turn == entry.turn

    async def _keep_result(self, settlement: Settlement) -> None:
        entry = settlement.entry
        if entry.job and self._keep and self._is_current(entry):
            size = entry.photo.size if isinstance(entry.photo, Photo) else None
            await self._keep(entry.job, entry.index, settlement.outcome, size)

    def _settle(self, settlement: Settlement) -> None:
        entry = settlement.entry
        self._remove(entry.photo.id)
        self.ledger.add({entry.tenant: settlement.account})
        if not entry.job and self._listener:
            self._listener.outcome(entry.photo.id, settlement.outcome)

    def _requeue(self, entries: Sequence[BufferEntry]) -> None:
        for entry in entries:
            self._remove(entry.photo.id)
            self._add_occupancy(entry, 1)
            self._enqueue(entry)

    def _withdraw(self, photo_ids: Sequence[str]) -> None:
        """Removes photos whose clients have left, those that are here."""
        for photo_id in photo_ids:
            entry = self._entries.get(photo_id)
            if entry is not None and not entry.watched:
                self.ledger.add({entry.tenant: Account(photos=1)})
            self._remove(photo_id)

    def _enqueue(self, entry: BufferEntry) -> None:
        self._entries[entry.photo.id] = entry
        self._queues.setdefault(entry.lane, FairQueue()).add(entry)

    def _remove(self, photo_id: str) -> None:
        """Removes a photo, if it is here, from the entries and from its queue."""
        entry = self._entries.pop(photo_id, None)
        if entry is None:
            return
        self._add_occupancy(entry, -1)
        queue = self._queues.get(entry.lane)
        if queue is not None:
            queue.remove(photo_id)
            if not queue:
                del self._queues[entry.lane]

    def _add_occupancy(self, entry: BufferEntry, sign: int) -> None:
        self._occupancies[entry.patient] = _changed(self._occupancies[entry.patient], entry, sign)

    def _notify_changed(self) -> None:
        if self._listener:
            self._listener.changed()


def _changed(occupancy: Occupancy, entry: BufferEntry, sign: int) -> Occupancy:
    """The occupancy with the photo (1) or without it (-1)."""
    return Occupancy(
        occupancy.photos + sign,
        occupancy.bytes + sign * len(entry.photo.payload),
        occupancy.pixels + sign * entry.photo.pixels,
    )


def _sum(occupancies: Iterable[Occupancy]) -> Occupancy:
    photos, byte_count, pixels = 0, 0, 0
    for occupancy in occupancies:
        photos += occupancy.photos
        byte_count += occupancy.bytes
        pixels += occupancy.pixels
    return Occupancy(photos, byte_count, pixels)


def _check(capacity: Capacity, occupancy: Occupancy) -> None:
    """Raises Busy where the occupancy is over the capacity."""
    for measure in ("photos", "bytes", "pixels"):
        limit = getattr(capacity, measure)
        if getattr(occupancy, measure) > limit:
            raise Busy(
                f"The buffer is full ({measure}: at most {limit}). Nothing was taken; "
                "come back in a second."
            )
