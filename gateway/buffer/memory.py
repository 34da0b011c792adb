"""A buffer in this process's memory: the embedded default."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from gateway.buffer.base import Held, Room
from gateway.errors import Busy
from gateway.model import Entry, Lane
from gateway.packer import Waiting


@dataclass
class _Queue:
    """The photos that wait in one lane, in order of arrival, and what the packer wants to know of them."""

    entries: dict[str, Entry] = field(default_factory=dict)
    seen: Waiting | None = None

    def add(self, entry: Entry) -> None:
        self.entries[entry.photo.id] = entry
        if self.seen is not None:
            count, oldest_at, due_at = self.seen
            self.seen = Waiting(count + 1, min(oldest_at, entry.put_at), min(due_at, entry.due_at))

    def drop(self, photo_id: str) -> None:
        self.entries.pop(photo_id, None)
        self.seen = None

    def waiting(self) -> Waiting:
        if self.seen is None:
            held = self.entries.values()
            self.seen = Waiting(len(held), min(e.put_at for e in held), min(e.due_at for e in held))
        return self.seen


class MemoryBuffer:
    """Holds `queues`: the waiting, by lane; and `entries`: all that take up room, by photo id."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._entries: dict[str, Entry] = {}
        self._queues: dict[Lane, _Queue] = {}
        self._held = Held()

    async def put(self, entries: Sequence[Entry]) -> None:
        new = {entry.photo.id: entry for entry in entries if entry.photo.id not in self._entries}
        held = self._with(new.values(), 1)
        if new:
            self._check(held)
        for entry in entries:
            self._leave(entry.photo.id)
            self._entries[entry.photo.id] = entry
            self._queues.setdefault(entry.lane, _Queue()).add(entry)
        self._held = held

    async def waiting(self) -> Mapping[Lane, Waiting]:
        return {lane: queue.waiting() for lane, queue in self._queues.items()}

    async def claim(self, lane: Lane, count: int) -> list[Entry]:
        queue = self._queues.get(lane, _Queue())
        taken = list(islice(queue.entries.values(), count))
        for entry in taken:
            self._leave(entry.photo.id)
        return taken

    async def settle(self, photo_id: str) -> None:
        self._leave(photo_id)
        entry = self._entries.pop(photo_id, None)
        if entry is not None:
            self._held = self._with([entry], -1)

    async def held(self) -> Held:
        return self._held

    def _check(self, held: Held) -> None:
        for what in ("photos", "bytes", "pixels"):
            most = getattr(self._room, what)
            if getattr(held, what) > most:
                raise Busy(f"The buffer is full ({what}: at most {most}). Nothing was taken; come back in a second.")

    def _with(self, entries: Collection[Entry], sign: int) -> Held:
        return Held(
            self._held.photos + sign * len(entries),
            self._held.bytes + sign * sum(len(entry.photo.data) for entry in entries),
            self._held.pixels + sign * sum(entry.photo.pixels for entry in entries),
        )

    def _leave(self, photo_id: str) -> None:
        """Takes the photo out of the lane it waits in, if it waits."""
        entry = self._entries.get(photo_id)
        queue = self._queues.get(entry.lane) if entry else None
        if entry and queue and photo_id in queue.entries:
            queue.drop(photo_id)
            if not queue.entries:
                del self._queues[entry.lane]
