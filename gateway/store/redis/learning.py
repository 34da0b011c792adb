"""What routes learn, in the Redis that replicas share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple

import msgspec

from gateway.store.learning import MOST_OBSERVATIONS, Lesson, LessonKey, Tally
from gateway.store.redis import keys
from gateway.store.redis.connection import Commands
from gateway.store.redis.scripts import load


class RedisLearningStore:
    """Holds no lessons: all are in Redis. The owner of `commands` closes them."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._add, self._lessons, self._observations, self._claim, self._publish = (
            load(f"learning/{name}")
            for name in ("add", "lessons", "observations", "claim", "publish")
        )

    async def add(self, key: LessonKey, tally: Tally, observations: Sequence[bytes] = ()) -> None:
        await self._commands.run(
            self._add,
            [keys.PREFIX],
            _text(key),
            *astuple(tally),
            MOST_OBSERVATIONS,
            *observations,
        )

    async def lessons(self) -> Mapping[LessonKey, Lesson]:
        rows = await self._commands.run(self._lessons, [keys.PREFIX])
        lessons: dict[LessonKey, Lesson] = {}
        for text, photos, paid, saved, spent, observed, plan in rows:
            tally = Tally(int(photos), float(paid), float(saved), float(spent))
            lessons[_key(text)] = Lesson(tally, int(observed), plan)
        return lessons

    async def observations(self, key: LessonKey) -> Sequence[bytes]:
        rows: list[bytes] = await self._commands.run(self._observations, [keys.PREFIX], _text(key))
        return rows

    async def claim(self, key: LessonKey, *, lease_s: float) -> bool:
        is_claimed: int = await self._commands.run(
            self._claim, [keys.PREFIX], _text(key), round(1000 * lease_s)
        )
        return bool(is_claimed)

    async def publish(self, key: LessonKey, plan: bytes) -> None:
        await self._commands.run(self._publish, [keys.PREFIX], _text(key), plan)


def _text(key: LessonKey) -> bytes:
    return msgspec.json.encode(key)


def _key(text: bytes) -> LessonKey:
    return msgspec.json.decode(text, type=LessonKey)
