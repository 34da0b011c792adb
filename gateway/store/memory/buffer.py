"""A buffer in this process's memory: the embedded default."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from gateway.core.errors import Busy
from gateway.core.model import BufferEntry, BufferLane, Entry, Outcome, Photo, Size
from gateway.ledger.accounts import Account
from gateway.store.buffer import (
    BufferListener,
    Capacity,
    Commit,
    Settlement,
)
from gateway.store.inspection import Backlog, DeadPhoto, Occupancy
from gateway.store.memory.fair_queue import FairQueue
from gateway.store.memory.ledger import MemoryLedger

Keep = Callable[[str, int, Outcome, Size | None], Awaitable[None]]
"""Writes down what became of a job's photo: job, index, outcome, size."""


class MemoryBuffer:
    """Holds all that take up room, by photo id; the waiting, by lane; the accounts, which begin at
    zero with the process; and whom to tell. `keep` is handed the outcomes of jobs' photos."""

    problem = ""

    def __init__(
        self, room: Capacity, jobs: Capacity = Capacity(), *, keep: Keep | None = None
    ) -> None:
        self._rooms = (room, jobs)
        self._keep = keep
        self.ledger = MemoryLedger()
        self._entries: dict[str, BufferEntry] = {}
        self._lines: dict[BufferLane, FairQueue] = {}
        self._held = [Occupancy(), Occupancy()]
        self._listener: BufferListener | None = None

    async def put(self, entries: Sequence[BufferEntry]) -> None:
        new: dict[str, BufferEntry] = {}
        for entry in entries:
            if entry.photo.id not in self._entries:
                new.setdefault(entry.photo.id, entry)
        held = [
            self._with(kind, [e for e in new.values() if e.patient == bool(kind)], 1)
            for kind in (0, 1)
        ]
        for room, before, after in zip(self._rooms, self._held, held, strict=True):
            if after != before:
                _check(room, after)
        for entry in new.values():
            self._wait(entry)
        self._held = held
        if new and self._listener:
            self._listener.changed()

    async def backlogs(self) -> Mapping[BufferLane, Backlog]:
        return {lane: line.backlog() for lane, line in self._lines.items()}

    async def claim(
        self, lane: BufferLane, now: float, *, most: int | None = None
    ) -> list[BufferEntry]:
        line = self._lines.get(lane)
        if line is None:
            return []
        if most is None and len(line.entries) < lane.shape.cells and line.backlog().due_at > now:
            return []
        first = line.take(lane.shape.cells) if most is None else line.take(most, patient=False)
        taken = [replace(entry, turn=entry.turn + 1) for entry in first]
        self._entries.update((entry.photo.id, entry) for entry in taken)
        if not line.entries:
            del self._lines[lane]
        return taken

    async def ask(self, canvas: str, entries: Sequence[Entry]) -> list[Entry]:
        return [entry for entry in entries if self._is_current(entry)]

    async def commit(self, commit: Commit) -> frozenset[str]:
        for each in commit.settled:
            await self._keep_result(
                each
            )  # may fail, and be tried again: so nothing else is done before
        self.ledger.add(commit.charges)
        settled = [each for each in commit.settled if self._is_current(each.entry)]
        again = [entry for entry in commit.again if self._is_current(entry)]
        for each in settled:
            self._settle(each)
        for entry in again:
            kind = int(entry.patient)
            self._held[kind] = self._with(kind, [self._forget(entry.photo.id)], -1)
            self._held[kind] = self._with(kind, [entry], 1)
            self._wait(entry)
        for photo_id in commit.gone:
            if photo_id in self._entries and not self._entries[photo_id].watched:
                self.ledger.add({self._entries[photo_id].tenant: Account(photos=1)})
            self._leave(photo_id)
        if again and self._listener:
            self._listener.changed()
        return frozenset(
            [each.entry.photo.id for each in settled] + [entry.photo.id for entry in again]
        )

    async def occupancy(self) -> Occupancy:
        one, other = self._held
        return Occupancy(
            one.photos + other.photos, one.bytes + other.bytes, one.pixels + other.pixels
        )

    async def dead_letters(self) -> Sequence[DeadPhoto]:
        return ()

    @asynccontextmanager
    async def serving(self, listener: BufferListener) -> AsyncIterator[None]:
        self._listener = listener
        try:
            yield
        finally:
            self._listener = None

    def _is_current(self, entry: BufferEntry) -> bool:
        held = self._entries.get(entry.photo.id)
        return held is not None and held.turn == entry.turn

    async def _keep_result(self, each: Settlement) -> None:
        entry = each.entry
        if entry.job and self._keep and self._is_current(entry):
            size = entry.photo.size if isinstance(entry.photo, Photo) else None
            await self._keep(entry.job, entry.index, each.outcome, size)

    def _settle(self, each: Settlement) -> None:
        entry, outcome = each.entry, each.outcome
        self._leave(entry.photo.id)
        self.ledger.add({entry.tenant: each.account})
        if not entry.job and self._listener:
            self._listener.outcome(entry.photo.id, outcome)

    def _wait(self, entry: BufferEntry) -> None:
        self._entries[entry.photo.id] = entry
        self._lines.setdefault(entry.lane, FairQueue()).add(entry)

    def _leave(self, photo_id: str) -> None:
        if photo_id in self._entries:
            entry = self._forget(photo_id)
            kind = int(entry.patient)
            self._held[kind] = self._with(kind, [entry], -1)

    def _forget(self, photo_id: str) -> BufferEntry:
        entry = self._entries.pop(photo_id)
        line = self._lines.get(entry.lane)
        if line is not None:
            line.drop(photo_id)
            if not line.entries:
                del self._lines[entry.lane]
        return entry

    def _with(self, kind: int, entries: Collection[BufferEntry], sign: int) -> Occupancy:
        held = self._held[kind]
        return Occupancy(
            held.photos + sign * len(entries),
            held.bytes + sign * sum(len(entry.photo.payload) for entry in entries),
            held.pixels + sign * sum(entry.photo.pixels for entry in entries),
        )


def _check(room: Capacity, held: Occupancy) -> None:
    for what in ("photos", "bytes", "pixels"):
        most = getattr(room, what)
        if getattr(held, what) > most:
            raise Busy(
                f"The buffer is full ({what}: at most {most}). Nothing was taken; "
                "come back in a second."
            )
