"""The database of a gateway on one machine: one file (SQLite) and the thread that uses it.

The file's journal is a write-ahead log: what was committed survives a process that is killed at any
moment; a machine that loses power may lose what was committed in the last moments.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import TypeVar

from gateway.core.errors import BufferAway, GatewayError

T = TypeVar("T")

VERSION = 1
BUSY_TIMEOUT_MS = 10_000

_FED = """
CREATE TEMP TABLE fed (
    photo INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    id TEXT NOT NULL
)
"""
"""The photos that are in the buffer. A temporary table ends with the connection, as the buffer in
memory ends with the process: after a restart, what was not settled is fed again."""


class Database:
    """Holds the connection, opened when it is first needed, and the thread that uses it: until
    something is written, there is no file. Close it when done."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jobs")

    @property
    def exists(self) -> bool:
        return self._connection is not None or self._file.exists()

    async def run(
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        on_end: Callable[[], object] = lambda: None,
    ) -> T:
        """The result of work in a transaction of its own, which comes to its end even where the
        caller is cancelled; then `on_end` is called. Raises BufferAway where the file cannot be
        used."""
        loop = asyncio.get_running_loop()
        transaction = loop.run_in_executor(self._thread, self._transaction, work)
        transaction.add_done_callback(lambda _: on_end())
        return await asyncio.shield(transaction)

    async def run_if_exists(self, work: Callable[[sqlite3.Connection], T], *, default: T) -> T:
        """As `run`, but creates no file: where there is none, the default."""
        return await self.run(work) if self.exists else default

    async def close(self) -> None:
        """Closes the file. Later work opens it again."""
        loop = asyncio.get_running_loop()
        await asyncio.shield(loop.run_in_executor(self._thread, self._close))

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            db = self._connection = self._connection or open_file(self._file)
            db.execute("BEGIN IMMEDIATE")
            try:
                result = work(db)
                db.execute("COMMIT")
            except BaseException:
                db.rollback()
                raise
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise  # a bug here: the file is in order, and a retry is no help
        except (sqlite3.Error, OSError) as error:
            raise BufferAway(f"The jobs' store cannot be used: {error}.") from error
        return result

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def open_file(file: Path) -> sqlite3.Connection:
    """The database in the file, created where there is none. Raises sqlite3.Error; OSError where
    its folder cannot be created; GatewayError where it is of another version."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(0o600)  # photos are in it
    db = sqlite3.connect(file, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000)
    try:
        db.row_factory = sqlite3.Row
        for setting in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            db.execute(f"PRAGMA {setting}")
        db.execute(_FED)
        db.execute("BEGIN IMMEDIATE")
        _migrate(db)
        for name in ("ledger.sql", "learning.sql"):
            _execute_file(db, name)  # added later: releases before it ignore these tables
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == 0:
        _execute_file(db, "schema.sql")
        db.execute(f"PRAGMA user_version = {VERSION}")
    elif version != VERSION:
        raise GatewayError(
            f"The jobs' file is of version {version}; this gateway knows version {VERSION}."
        )


def _execute_file(db: sqlite3.Connection, name: str) -> None:
    """Executes the statements of a file of this package."""
    for statement in (
        resources.files("gateway.store.sqlite").joinpath(name).read_text().split(";\n")
    ):
        db.execute(statement)
