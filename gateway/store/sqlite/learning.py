"""What routes learn, of a gateway on one machine: in the file that holds its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from sqlite3 import Connection

import msgspec

from gateway.core.clock import Clock
from gateway.store.learning import MOST_OBSERVATIONS, Lesson, LessonKey, Tally
from gateway.store.sqlite.database import Database

_ADD = """
INSERT INTO lessons (lesson, photos, paid, saved, spent, observed) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (lesson) DO UPDATE SET
    photos = photos + excluded.photos, paid = paid + excluded.paid, saved = saved + excluded.saved,
    spent = spent + excluded.spent, observed = observed + excluded.observed
"""
_FORGET = """
DELETE FROM observations WHERE lesson = ? AND number <= (
    SELECT number FROM observations WHERE lesson = ? ORDER BY number DESC LIMIT 1 OFFSET ?
)
"""
_CLAIM = """
UPDATE lessons SET claimed_until = ? WHERE lesson = ? AND claimed_until <= ?
"""


class SqliteLearningStore:
    """Holds no lessons: all are in the database, whose owner closes it."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def add(self, key: LessonKey, tally: Tally, observations: Sequence[bytes] = ()) -> None:
        lesson = _text(key)

        def work(db: Connection) -> None:
            db.execute(_ADD, (lesson, *astuple(tally), len(observations)))
            db.executemany(
                "INSERT INTO observations (lesson, observation) VALUES (?, ?)",
                [(lesson, observation) for observation in observations],
            )
            db.execute(_FORGET, (lesson, lesson, MOST_OBSERVATIONS))

        await self._database.run(work)

    async def lessons(self) -> Mapping[LessonKey, Lesson]:
        def work(db: Connection) -> dict[LessonKey, Lesson]:
            rows = db.execute(
                "SELECT lesson, photos, paid, saved, spent, observed, plan FROM lessons"
            )
            return {
                _key(lesson): Lesson(Tally(*amounts), observed, plan)
                for lesson, *amounts, observed, plan in rows
            }

        return await self._database.run_if_exists(work, default={})

    async def observations(self, key: LessonKey) -> Sequence[bytes]:
        def work(db: Connection) -> list[bytes]:
            rows = db.execute(
                "SELECT observation FROM observations WHERE lesson = ? ORDER BY number",
                (_text(key),),
            )
            return [row[0] for row in rows]

        return await self._database.run_if_exists(work, default=[])

    async def claim(self, key: LessonKey, *, lease_s: float) -> bool:
        now = self._clock()
        return await self._database.run(
            lambda db: db.execute(_CLAIM, (now + lease_s, _text(key), now)).rowcount == 1
        )

    async def publish(self, key: LessonKey, plan: bytes) -> None:
        await self._database.run(
            lambda db: db.execute(
                "UPDATE lessons SET plan = ?, claimed_until = 0 WHERE lesson = ?",
                (plan, _text(key)),
            )
        )


def _text(key: LessonKey) -> str:
    return msgspec.json.encode(key).decode()


def _key(text: str) -> LessonKey:
    return msgspec.json.decode(text, type=LessonKey)
