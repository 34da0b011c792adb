"""The bytes of photos in Redis, each photo's under a key of its own that expires."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from gateway.core.clock import Clock
from gateway.core.errors import BufferAway
from gateway.core.model import BufferEntry, Photo, RemotePhoto
from gateway.store.redis import keys
from gateway.store.redis.limits import WITHDRAWN_AT_ONCE
from gateway.store.redis.replica import Replica
from gateway.store.redis.scripts import load

SLACK_S = 60.0
"""How long a photo's bytes outlive its deadline."""
PORTION_BYTES = 4 << 20
"""One pipeline carries little more, for one command may take only so long."""
DOUBT_S = 15.0
"""How long a command without a reply may still be on its way to a Redis that was paused."""


class PhotoBytes:
    """Writes, reads and deletes photos' bytes. Holds the ids of orphans: photos whose bytes may lie
    in Redis while they are not in the buffer, with the time from which this can be checked."""

    def __init__(self, replica: Replica, clock: Clock) -> None:
        self.orphans: dict[str, float] = {}
        self._replica = replica
        self._clock = clock
        self._orphans_script = load("buffer/orphans")

    async def write(self, entries: Sequence[BufferEntry]) -> None:
        """Writes the photos' bytes, over those that are there."""
        for portion in _portions(entries, _sizes(entries)):
            await self._set(portion, only_new=False)

    async def write_new(self, entries: Sequence[BufferEntry]) -> list[str]:
        """The ids of the photos whose bytes were written; bytes that are there stay as they are.
        What may have been written before a BufferAway becomes an orphan."""
        new_ids: list[str] = []
        for portion in _portions(entries, _sizes(entries)):
            try:
                replies = await self._set(portion, only_new=True)
            except BufferAway:
                self.add_orphans([*new_ids, *(entry.photo.id for entry in portion)])
                raise
            for entry, is_written in zip(portion, replies, strict=True):
                if is_written:
                    new_ids.append(entry.photo.id)
        return new_ids

    async def read(
        self, entries: Sequence[BufferEntry], sizes: Sequence[int]
    ) -> list[bytes | None]:
        """The bytes of each photo, None where they are gone. `sizes` are what is expected."""
        contents: list[bytes | None] = []
        for portion in _portions(entries, sizes):
            contents += await self._pipeline(_get, portion)
        return contents

    async def delete(self, photo_ids: Sequence[str]) -> None:
        """Deletes the bytes of these photos. Bytes that cannot be deleted now expire."""
        if photo_ids:
            with suppress(BufferAway):
                await self._pipeline(_delete, photo_ids)

    def add_orphans(self, photo_ids: Iterable[str]) -> None:
        """Notes photos that may not be in the buffer."""
        until = self._clock() + DOUBT_S
        self.orphans.update((photo_id, until) for photo_id in photo_ids)

    async def delete_orphans(self) -> None:
        """Deletes the bytes of orphans that are not in the buffer. A few at a time."""
        now = self._clock()
        due = [photo_id for photo_id, until in self.orphans.items() if until <= now][
            :WITHDRAWN_AT_ONCE
        ]
        if not due:
            return
        missing = await self._replica.run(self._orphans_script, *due)
        await self.delete([photo_id.decode() for photo_id in missing])
        for photo_id in due:
            self.orphans.pop(photo_id, None)

    async def _set(self, entries: Sequence[BufferEntry], *, only_new: bool) -> Sequence[Any]:
        """What Redis replies to each write: nothing where bytes were there."""
        now = self._clock()

        def add(pipe: Any, entry: BufferEntry) -> None:
            lasts_s = max(entry.deadline_at - now, 0) + SLACK_S
            pipe.set(_key(entry.photo), entry.photo.payload, px=int(1000 * lasts_s), nx=only_new)

        return await self._pipeline(add, entries)

    async def _pipeline(
        self, add: Callable[[Any, Any], object], items: Sequence[Any]
    ) -> Sequence[Any]:
        """The replies to the commands that `add` adds to a pipeline for each item."""
        commands = self._replica.commands
        pipe = commands.client.pipeline(transaction=False)
        for item in items:
            add(pipe, item)
        replies: Sequence[Any] = await commands.do(pipe.execute())
        return replies


def _key(photo: Photo | RemotePhoto) -> str:
    return keys.photo_bytes(photo.id, is_url=isinstance(photo, RemotePhoto))


def _get(pipe: Any, entry: BufferEntry) -> None:
    pipe.get(_key(entry.photo))


def _delete(pipe: Any, photo_id: str) -> None:
    pipe.delete(keys.photo_bytes(photo_id))  # a cluster's pipeline has no unlink
    pipe.delete(keys.photo_bytes(photo_id, is_url=True))


def _sizes(entries: Sequence[BufferEntry]) -> list[int]:
    return [len(entry.photo.payload) for entry in entries]


def _portions(entries: Sequence[BufferEntry], sizes: Sequence[int]) -> Iterator[list[BufferEntry]]:
    """The entries in portions of a little more than PORTION_BYTES."""
    portion: list[BufferEntry] = []
    portion_bytes = 0
    for entry, size in zip(entries, sizes, strict=True):
        portion.append(entry)
        portion_bytes += size
        if portion_bytes > PORTION_BYTES:
            yield portion
            portion, portion_bytes = [], 0
    if portion:
        yield portion
