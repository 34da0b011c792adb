"""Answers in the Redis that replicas share.

Each step is one Lua script (lua/answers), so that no two replicas ever ask about equal photos at
the same time.
"""

from __future__ import annotations

from gateway.store.answers import OVERHEAD_BYTES, Lease
from gateway.store.redis import keys
from gateway.store.redis.connection import Commands
from gateway.store.redis.layouts import REPLY_MARK
from gateway.store.redis.scripts import load

MAX_ANSWER_BYTES = 256 * 1024
"""A larger answer is not kept."""


class RedisAnswers:
    """Holds no answers: all are in Redis. The owner of `commands` closes them. Nothing is kept
    where Redis has no memory left: its memory is for photos then."""

    def __init__(self, commands: Commands, *, max_bytes: int) -> None:
        self._commands = commands
        self._max_bytes = max_bytes
        self._begin, self._find, self._end = (
            load(f"answers/{name}") for name in ("begin", "find", "end")
        )

    async def begin(self, key: str, lease: Lease, *, lease_s: float) -> bytes | bool:
        value: bytes = await self._commands.run(
            self._begin,
            [keys.ANSWER + key, keys.ANSWER_LEASE + lease.name],
            lease.photo_id,
            round(1000 * lease_s),
        )
        if value.startswith(REPLY_MARK.encode()):
            return value[len(REPLY_MARK) :]
        return value == b""

    async def find(self, key: str) -> bytes | None:
        value: bytes | None = await self._commands.run(self._find, [keys.ANSWER + key])
        return value

    async def end(
        self, key: str, lease: Lease, answer: bytes | None = None, *, keep_s: float = 0.0
    ) -> None:
        is_kept = answer is not None and len(answer) <= MAX_ANSWER_BYTES and keep_s > 0
        await self._commands.run(
            self._end,
            [keys.ANSWER + key, keys.ANSWER_LEASE + lease.name],
            lease.photo_id,
            answer if is_kept else b"",
            round(1000 * keep_s),
            OVERHEAD_BYTES,
            self._max_bytes,
        )
