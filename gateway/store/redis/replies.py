"""Replies in the Redis that replicas share: a call that is sent to another replica again is
answered from its first run, which may still be under way.

Each step is one Lua script, so that two replicas never both begin; the scripts lie in
gateway/store/redis/lua/replies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import resources
from typing import Any

import msgspec

from gateway.core.errors import BufferAway
from gateway.core.exchange import Reply
from gateway.store.redis.buffer import PREFIX
from gateway.store.redis.connection import AWAY, Commands, Script
from gateway.store.replies import LEASE_S, WANTED_S

MAX_BYTES = 256 * 1024
"""A reply that is larger stays with the replica that made it."""
PATIENCE_S = 0.25
"""How long a client waits for one step: it could be answered without."""

_unpack = msgspec.msgpack.Decoder(Reply).decode


def script(name: str) -> Script:
    """A script of this package. Where Redis has no memory left, what is there is for photos."""
    return Script.of(
        resources.files("gateway.store.redis").joinpath("lua", "replies", f"{name}.lua"),
        at_maxmemory=False,
    )


class RedisReplies:
    """Holds no replies: all are in Redis. `commands` are somebody else's, who closes them."""

    def __init__(self, commands: Commands, *, keep_s: float, lease_s: float = LEASE_S) -> None:
        self._commands = commands
        self._keep_ms = round(1000 * keep_s)
        self._lease_ms = round(1000 * lease_s)
        self._begin, self._renew, self._end = script("begin"), script("renew"), script("end")

    async def begin(self, ids: Sequence[str], run: str) -> Reply | bool:
        kept = await self._do(self._begin, ids, run, self._lease_ms, round(1000 * WANTED_S))
        return kept == b"" if len(kept) < 2 else _unpack(kept[1:])

    async def renew(self, ids: Sequence[str], run: str) -> bool:
        return bool(await self._do(self._renew, ids, run, self._lease_ms))

    async def end(self, ids: Sequence[str], run: str, reply: Reply | None) -> None:
        packed = msgspec.msgpack.encode(reply) if reply is not None and self._keep_ms else b""
        await self._do(
            self._end, ids, run, packed if len(packed) <= MAX_BYTES else b"", self._keep_ms
        )

    async def _do(self, script: Script, ids: Sequence[str], *arguments: Any) -> Any:
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._commands.run(
                    script, [f"{PREFIX}reply:{each}" for each in ids], *arguments
                )
        except TimeoutError:
            raise BufferAway(AWAY) from None
