"""One lane's photos in the order in which they are taken. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import count

from gateway.core.model import BufferEntry
from gateway.store.inspection import Backlog


class FairQueue:
    """Photos whose clients wait come before patient ones; among each, tenants take turns.

    Turns are start-time fair queueing (Goyal, Vin, Cheng: SIGCOMM 1996, equation 4) with photos of
    equal size: a photo is tagged with the later of the line's time and its tenant's last tag plus
    one, and the lowest tag goes first; the line's time is the tag that went last. A tenant's own
    photos so keep their order, and one tenant alone is first in, first out.
    """

    def __init__(self) -> None:
        self.entries: dict[str, BufferEntry] = {}
        self._heaps: tuple[list[tuple[float, int, str]], ...] = ([], [])
        self._places: dict[str, int] = {}
        self._tags: dict[tuple[bool, str], float] = {}
        self._time = [0.0, 0.0]
        self._numbers = count()
        self._seen: Backlog | None = None

    def add(self, entry: BufferEntry) -> None:
        kind, key = int(entry.patient), (entry.patient, entry.tenant)
        tag = max(self._time[kind], self._tags.get(key, 0.0)) + 1
        self._tags[key] = tag
        place = self._places[entry.photo.id] = next(self._numbers)
        heapq.heappush(self._heaps[kind], (tag, place, entry.photo.id))
        self.entries[entry.photo.id] = entry
        if self._seen is not None:
            photos, oldest_at, due_at, urgent = self._seen
            self._seen = Backlog(
                photos + 1,
                min(oldest_at, entry.put_at),
                min(due_at, entry.due_at),
                urgent or not entry.patient,
            )

    def drop(self, photo_id: str) -> None:
        """Nothing happens where it is not here."""
        if self.entries.pop(photo_id, None) is not None:
            del self._places[photo_id]  # what the heaps hold of it is passed over
            self._seen = None
            self._tidy()

    def take(self, most: int, *, patient: bool = True) -> list[BufferEntry]:
        """The first; without `patient` only of those whose clients wait."""
        taken = []
        for photo_id in self._first(most, self._heaps if patient else self._heaps[:1]):
            taken.append(self.entries.pop(photo_id))
            del self._places[photo_id]
        self._seen = None
        return taken

    def backlog(self) -> Backlog:
        if self._seen is None:
            held = self.entries.values()
            self._seen = Backlog(
                len(held),
                min(e.put_at for e in held),
                min(e.due_at for e in held),
                not all(e.patient for e in held),
            )
        return self._seen

    def _first(self, most: int, heaps: Sequence[list[tuple[float, int, str]]]) -> Iterator[str]:
        for kind, heap in enumerate(heaps):
            while heap and most:
                tag, place, photo_id = heapq.heappop(heap)
                if self._places.get(photo_id) == place:
                    self._time[kind] = tag
                    most -= 1
                    yield photo_id

    def _tidy(self) -> None:
        """Photos that left without being taken do not pile up."""
        if sum(map(len, self._heaps)) > 2 * len(self.entries) + 64:
            for heap in self._heaps:
                heap[:] = [item for item in heap if self._places.get(item[2]) == item[1]]
                heapq.heapify(heap)
