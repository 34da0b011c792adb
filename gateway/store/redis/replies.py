"""Replies in the Redis that replicas share. A call that a client repeats at another replica is
answered from its first run, even while that is still under way.

Each step is one Lua script (lua/replies), so that two replicas never both begin.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.core.errors import BufferAway
from gateway.core.exchange import Reply
from gateway.store.redis import keys
from gateway.store.redis.connection import AWAY, Commands
from gateway.store.redis.layouts import REPLY_MARK
from gateway.store.redis.scripts import Script, load
from gateway.store.replies import LEASE_S, WAITER_S

log = logging.getLogger("imgrid")

MAX_BYTES = 256 * 1024
"""A larger reply stays with the replica that made it."""
PATIENCE_S = 0.25
"""How long a client waits for one step: it could be answered without."""

_unpack = msgspec.msgpack.Decoder(Reply).decode


class RedisReplies:
    """Holds no replies: all are in Redis. The owner of `commands` closes them. The scripts do not
    run where Redis has no memory left: its memory is for photos then."""

    def __init__(
        self,
        commands: Commands,
        *,
        keep_s: float,
        lease_s: float = LEASE_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._commands = commands
        self._keep_ms = round(1000 * keep_s)
        self._lease_ms = round(1000 * lease_s)
        self._patience_s = patience_s
        self._begin, self._renew, self._end = (
            load(f"replies/{name}") for name in ("begin", "renew", "end")
        )

    async def begin(self, ids: Sequence[str], run: str) -> Reply | bool:
        value = await self._run(self._begin, ids, run, self._lease_ms, round(1000 * WAITER_S))
        if value.startswith(REPLY_MARK.encode()):
            return _reply_of(value[len(REPLY_MARK) :]) or True
        return bool(value == b"")

    async def renew(self, ids: Sequence[str], run: str) -> bool:
        return bool(await self._run(self._renew, ids, run, self._lease_ms))

    async def end(self, ids: Sequence[str], run: str, reply: Reply | None) -> None:
        packed = msgspec.msgpack.encode(reply) if reply is not None and self._keep_ms else b""
        stored = packed if len(packed) <= MAX_BYTES else b""
        await self._run(self._end, ids, run, stored, self._keep_ms)

    async def _run(self, script: Script, ids: Sequence[str], *arguments: Any) -> Any:
        try:
            async with asyncio.timeout(self._patience_s):
                return await self._commands.run(
                    script, [keys.REPLY + call_id for call_id in ids], *arguments
                )
        except TimeoutError:
            raise BufferAway(AWAY) from None


def _reply_of(packed: bytes) -> Reply | None:
    """The reply; None where it cannot be read, so that the call is made anew."""
    try:
        return _unpack(packed)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.error("a stored reply cannot be read: %s", error)
        return None
