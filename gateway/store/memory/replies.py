"""Replies in the memory of this process, within bounds; the oldest go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from gateway.core.clock import Clock
from gateway.core.exchange import Reply
from gateway.store.replies import LEASE_S, WAITER_S

MOST = 50_000
"""The most replies, each counted under every id."""
OVERHEAD_BYTES = 1024
"""What a reply takes beside its body: headers, id, tables. Rather too much than too little."""


class _Lease(NamedTuple):
    run: str
    until: float


class MemoryReplies:
    """Holds replies by id, in the order in which they came and so in which they expire; their size
    in bytes; the lease of the run that is at each call; and until when each run has a waiter."""

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
        self._replies: OrderedDict[str, tuple[float, Reply]] = OrderedDict()
        self._leases: dict[str, _Lease] = {}
        self._waiters: dict[str, float] = {}

    async def begin(self, ids: Sequence[str], run: str) -> Reply | bool:
        now = self._clock()
        self._make_room(now)
        for call_id in ids:
            if call_id in self._replies:
                return self._replies[call_id][1]
        for call_id in ids:
            if self._has_other_run(call_id, run, now):
                self._waiters[call_id] = now + WAITER_S
                return False
        for call_id in ids:
            self._leases[call_id] = _Lease(run, now + self._lease_s)
        return True

    async def renew(self, ids: Sequence[str], run: str) -> bool:
        now = self._clock()
        for call_id in ids:
            if not self._has_other_run(call_id, run, now):
                self._leases[call_id] = _Lease(run, now + self._lease_s)
        return any(self._waiters.get(call_id, 0.0) > now for call_id in ids)

    async def end(self, ids: Sequence[str], run: str, reply: Reply | None) -> None:
        now = self._clock()
        for call_id in ids:
            if self._has_other_run(call_id, run, now):
                continue
            self._leases.pop(call_id, None)
            self._waiters.pop(call_id, None)
            if reply is not None and call_id not in self._replies:
                self._replies[call_id] = (now + self._keep_s, reply)
                self.bytes += _size(reply)
        self._make_room(now)

    def _has_other_run(self, call_id: str, run: str, now: float) -> bool:
        """Whether another run is at the call."""
        lease = self._leases.get(call_id)
        return lease is not None and lease.run != run and lease.until > now

    def _make_room(self, now: float) -> None:
        """Removes replies that have expired, and the oldest while there are too many."""
        while self._replies:
            until, reply = next(iter(self._replies.values()))
            has_room = self.bytes <= self._max_bytes and len(self._replies) <= self._most
            if until > now and has_room:
                return
            self._replies.popitem(last=False)
            self.bytes -= _size(reply)


def _size(reply: Reply) -> int:
    return len(reply.body) + OVERHEAD_BYTES
