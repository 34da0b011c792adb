"""Replies in two tiers: first those in memory, then those that replicas share."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from gateway.core.clock import Clock
from gateway.core.errors import BufferAway
from gateway.core.exchange import Reply
from gateway.store.replies import Replies

log = logging.getLogger("imgrid")

T = TypeVar("T")
PAUSE_S = 2.0
"""How long the shared store is left alone after it was away: clients are answered sooner
without."""


class TieredReplies:
    """Answers from the near store alone while the shared one is away. Holds the end of that
    pause."""

    def __init__(self, near: Replies, shared: Replies, *, clock: Clock) -> None:
        self._near = near
        self._shared = shared
        self._clock = clock
        self._pause_end = 0.0

    async def begin(self, ids: Sequence[str], run: str) -> Reply | bool:
        reply = await self._near.begin(ids, run)
        if reply is not True:
            return reply
        return await self._try_shared(partial(self._shared.begin, ids, run), default=True)

    async def renew(self, ids: Sequence[str], run: str) -> bool:
        near_waiter = await self._near.renew(ids, run)
        command = partial(self._shared.renew, ids, run)
        return await self._try_shared(command, default=False) or near_waiter

    async def end(self, ids: Sequence[str], run: str, reply: Reply | None) -> None:
        await self._near.end(ids, run, reply)
        await self._try_shared(partial(self._shared.end, ids, run, reply), default=None)

    async def _try_shared(self, command: Callable[[], Awaitable[T]], *, default: T) -> T:
        """The result of a command to the shared store; the default while that is away."""
        if self._clock() < self._pause_end:
            return default
        try:
            return await command()
        except BufferAway as error:
            log.debug("replies are not shared for now: %s", error.__cause__ or error)
            self._pause_end = self._clock() + PAUSE_S
            return default
