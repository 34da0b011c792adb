"""Answers in the memory of this process."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from gateway.core.clock import Clock
from gateway.store.answers import OVERHEAD_BYTES, Lease

SWEEP_S = 60.0
"""Between two sweeps, which look at every answer."""


class _Answer(NamedTuple):
    packed: bytes
    until: float

    @property
    def bytes(self) -> int:
        return len(self.packed) + OVERHEAD_BYTES


class _Holder(NamedTuple):
    photo_id: str
    until: float


class MemoryAnswers:
    """Holds the answers by key, the least recently used first; their size in bytes; the holder of
    each lease; and when what has expired is removed next."""

    def __init__(self, *, clock: Clock, max_bytes: int) -> None:
        self.bytes = 0
        self._clock = clock
        self._max_bytes = max_bytes
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._holders: dict[str, _Holder] = {}
        self._sweep_at = 0.0

    async def begin(self, key: str, lease: Lease, *, lease_s: float) -> bytes | bool:
        self._sweep()
        packed = await self.find(key)
        if packed is not None:
            return packed
        now = self._clock()
        holder = self._holders.get(lease.name)
        if holder is not None and holder.photo_id != lease.photo_id and holder.until > now:
            return False
        self._holders[lease.name] = _Holder(lease.photo_id, now + lease_s)
        return True

    async def find(self, key: str) -> bytes | None:
        answer = self._answers.get(key)
        if answer is None:
            return None
        if answer.until <= self._clock():
            self._remove(key)
            return None
        self._answers.move_to_end(key)
        return answer.packed

    async def end(
        self, key: str, lease: Lease, answer: bytes | None = None, *, keep_s: float = 0.0
    ) -> None:
        holder = self._holders.get(lease.name)
        if holder is not None and holder.photo_id == lease.photo_id:
            del self._holders[lease.name]
        if answer is None:
            return
        self._remove(key)
        self._answers[key] = _Answer(answer, self._clock() + keep_s)
        self.bytes += self._answers[key].bytes
        while self.bytes > self._max_bytes:
            self._remove(next(iter(self._answers)))

    def _sweep(self) -> None:
        """Removes what has expired, now and then."""
        now = self._clock()
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_S
        for key in [key for key, answer in self._answers.items() if answer.until <= now]:
            self._remove(key)
        self._holders = {
            name: holder for name, holder in self._holders.items() if holder.until > now
        }

    def _remove(self, key: str) -> None:
        answer = self._answers.pop(key, None)
        if answer is not None:
            self.bytes -= answer.bytes
