"""Replies in this process' memory, within bounds; the oldest go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from gateway.core.clock import Clock
from gateway.core.exchange import Reply
from gateway.store.replies import LEASE_S, WANTED_S

MOST = 50_000
"""Replies kept at most, each under one id."""
OVERHEAD_BYTES = 1024
"""What a reply takes beside its body: headers, id, tables. Rather too much than too little."""


class MemoryReplies:
    """Holds what is kept, by id in the order in which it came and so in which it expires; its
    bytes; who is at which call until when; and until when it is known that another waits."""

    def __init__(
        self,
        *,
        clock: Clock,
        keep_s: float,
        max_bytes: int,
        most: int = MOST,
        lease_s: float = LEASE_S,
    ) -> None:
        self.bytes = 0
        self._clock = clock
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._most = most
        self._lease_s = lease_s
        self._kept: OrderedDict[str, tuple[float, Reply]] = OrderedDict()
        self._held: dict[str, tuple[str, float]] = {}
        self._wanted: dict[str, float] = {}

    async def begin(self, ids: Sequence[str], run: str) -> Reply | bool:
        now = self._clock()
        self._make_room(now)
        for each in ids:
            if each in self._kept:
                return self._kept[each][1]
        for each in ids:
            if self._others(each, run, now):
                self._wanted[each] = now + WANTED_S
                return False
        self._held.update((each, (run, now + self._lease_s)) for each in ids)
        return True

    async def renew(self, ids: Sequence[str], run: str) -> bool:
        now = self._clock()
        self._held.update(
            (each, (run, now + self._lease_s)) for each in ids if not self._others(each, run, now)
        )
        return any(self._wanted.get(each, 0.0) > now for each in ids)

    async def end(self, ids: Sequence[str], run: str, reply: Reply | None) -> None:
        now = self._clock()
        for each in ids:
            if not self._others(each, run, now):
                self._held.pop(each, None)
                self._wanted.pop(each, None)
                if reply is not None and each not in self._kept:
                    self._kept[each] = (now + self._keep_s, reply)
                    self.bytes += _size(reply)
        self._make_room(now)

    def _others(self, each: str, run: str, now: float) -> bool:
        """Whether another run is at the call."""
        holder, until = self._held.get(each, (run, now))
        return holder != run and until > now

    def _make_room(self, now: float) -> None:
        while self._kept:
            until, reply = next(iter(self._kept.values()))
            if until > now and self.bytes <= self._max_bytes and len(self._kept) <= self._most:
                return
            self._kept.popitem(last=False)
            self.bytes -= _size(reply)


def _size(reply: Reply) -> int:
    return len(reply.body) + OVERHEAD_BYTES
