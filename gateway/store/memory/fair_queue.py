"""The queue of one lane, in which tenants take turns. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import count

from gateway.core.model import BufferEntry
from gateway.store.inspection import Backlog

_Item = tuple[float, int, str]
"""In the heap: tag, arrival, photo id."""


class FairQueue:
    """Holds the entries that wait, by photo id. Photos whose clients wait come before patient ones;
    within each kind, tenants take turns.

    Turns are start-time fair queueing (Goyal, Vin, Cheng: SIGCOMM 1996, equation 4) with photos of
    equal size. The tag of a photo is one more than the later of the virtual time and its tenant's
    last tag. The lowest tag goes first, and becomes the virtual time. So a tenant's photos keep
    their order, and the photos of a tenant alone are first in, first out.
    """

    def __init__(self) -> None:
        self._entries: dict[str, BufferEntry] = {}
        self._heaps: tuple[list[_Item], list[_Item]] = ([], [])
        self._arrivals: dict[str, int] = {}
        self._last_tags: dict[tuple[bool, str], float] = {}
        self._virtual_times = [0.0, 0.0]
        self._next_arrival = count()
        self._backlog: Backlog | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: BufferEntry) -> None:
        """Adds a photo."""
        last_tag = self._last_tags.get((entry.patient, entry.tenant), 0.0)
        tag = max(self._virtual_times[entry.patient], last_tag) + 1
        self._last_tags[entry.patient, entry.tenant] = tag
        arrival = self._arrivals[entry.photo.id] = next(self._next_arrival)
        heapq.heappush(self._heaps[entry.patient], (tag, arrival, entry.photo.id))
        self._entries[entry.photo.id] = entry
        if self._backlog is not None:
            self._backlog = _with_entry(self._backlog, entry)

    def remove(self, photo_id: str) -> None:
        """Removes a photo, if it is here. Its item in a heap stays, and is skipped."""
        if self._entries.pop(photo_id, None) is not None:
            del self._arrivals[photo_id]
            self._backlog = None
            self._tidy()

    def take(self, most: int, *, patient: bool = True) -> list[BufferEntry]:
        """Removes and returns the first photos; without `patient` only of those whose clients
        wait."""
        heaps = self._heaps if patient else self._heaps[:1]
        taken: list[BufferEntry] = []
        for photo_id in self._first_ids(most, heaps):
            taken.append(self._entries.pop(photo_id))
            del self._arrivals[photo_id]
        self._backlog = None
        return taken

    def backlog(self) -> Backlog:
        """What waits; there must be an entry."""
        if self._backlog is None:
            entries = self._entries.values()
            self._backlog = Backlog(
                photos=len(entries),
                oldest_at=min(entry.put_at for entry in entries),
                due_at=min(entry.due_at for entry in entries),
                urgent=sum(not entry.patient for entry in entries),
            )
        return self._backlog

    def _first_ids(self, most: int, heaps: Sequence[list[_Item]]) -> Iterator[str]:
        """The ids of the first photos, at most so many, which leave their heaps."""
        for kind, heap in enumerate(heaps):
            while heap and most:
                tag, arrival, photo_id = heapq.heappop(heap)
                if self._arrivals.get(photo_id) == arrival:
                    self._virtual_times[kind] = tag
                    most -= 1
                    yield photo_id

    def _tidy(self) -> None:
        """Removes the items of removed photos where they have become many."""
        if sum(map(len, self._heaps)) > 2 * len(self._entries) + 64:
            for heap in self._heaps:
                heap[:] = [item for item in heap if self._arrivals.get(item[2]) == item[1]]
                heapq.heapify(heap)


def _with_entry(backlog: Backlog, entry: BufferEntry) -> Backlog:
    return Backlog(
        photos=backlog.photos + 1,
        oldest_at=min(backlog.oldest_at, entry.put_at),
        due_at=min(backlog.due_at, entry.due_at),
        urgent=backlog.urgent + (not entry.patient),
    )
