"""Replies in memory first, and then in what replicas share."""

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
"""For how long a store that was away is not asked again: clients have their answer sooner without
it."""


class TieredReplies:
    """While the store that is `shared` is away, this process answers from what it has itself. Holds
    until when the other is left alone."""

    def __init__(self, near: Replies, shared: Replies, *, clock: Clock) -> None:
        self._near = near
        self._shared = shared
        self._clock = clock
        self._alone_until = 0.0

    async def begin(self, ids: Sequence[str], run: str) -> Reply | bool:
        begun = await self._near.begin(ids, run)
        return (
            begun
            if begun is not True
            else await self._ask(partial(self._shared.begin, ids, run), True)
        )

    async def renew(self, ids: Sequence[str], run: str) -> bool:
        wanted = await self._near.renew(ids, run)
        return await self._ask(partial(self._shared.renew, ids, run), False) or wanted

    async def end(self, ids: Sequence[str], run: str, reply: Reply | None) -> None:
        await self._near.end(ids, run, reply)
        await self._ask(partial(self._shared.end, ids, run, reply), None)

    async def _ask(self, command: Callable[[], Awaitable[T]], otherwise: T) -> T:
        if self._clock() < self._alone_until:
            return otherwise
        try:
            return await command()
        except BufferAway as error:
            log.debug("replies are not shared for now: %s", error.__cause__ or error)
            self._alone_until = self._clock() + PAUSE_S
            return otherwise
