"""Where photos, jobs and replies are kept: in memory and SQLite, or in a Redis that replicas
share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.config.errors import ConfigError
from gateway.config.settings import Settings
from gateway.core.clock import Steady
from gateway.store.buffer import Buffer, Capacity
from gateway.store.inspection import Inspection
from gateway.store.jobs import DeliveryStore, JobStore
from gateway.store.ledger import Ledger
from gateway.store.memory.buffer import MemoryBuffer
from gateway.store.memory.replies import MemoryReplies
from gateway.store.replies import Replies
from gateway.store.sqlite.jobs import SqliteStore
from gateway.store.tiered_replies import TieredReplies

WINDOW = 500
"""Photos of jobs that are in the memory's buffer at a time."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What is kept, and how to close it."""

    buffer: Buffer
    inspection: Inspection
    ledger: Ledger
    jobs: JobStore
    deliveries: DeliveryStore
    replies: Replies
    close: Callable[[], Awaitable[None]]


def open_stores(config: Settings, file: Path, clock: Steady) -> Stores:
    """Unstarted, and not yet connected. Raises ConfigError naming file and key."""
    room = Capacity(config.buffer.max_photos, config.buffer.max_bytes, config.buffer.max_pixels)
    jobs_room = Capacity(config.jobs.max_photos, config.jobs.max_bytes, 10**18)
    if config.redis is not None:
        return _shared(config, file, clock, room, jobs_room)
    store = SqliteStore(
        file.resolve().parent / config.jobs.file,
        clock=clock,
        keep_s=config.jobs.keep_ms / 1000,
        room=jobs_room,
        window=WINDOW,
    )
    window = Capacity(WINDOW, max(config.buffer.max_bytes, config.limits.max_photo_bytes), 10**18)
    buffer = MemoryBuffer(room, window, keep=store.settle)
    return Stores(buffer, buffer, buffer.ledger, store, store, _replies(config, clock), store.close)


def _replies(config: Settings, clock: Steady) -> MemoryReplies:
    limits = config.limits
    return MemoryReplies(
        clock=clock, keep_s=limits.keep_replies_ms / 1000, max_bytes=limits.max_replies_bytes
    )


def _shared(
    config: Settings, file: Path, clock: Steady, room: Capacity, jobs_room: Capacity
) -> Stores:
    try:
        from gateway.store.redis.buffer import RedisBuffer
        from gateway.store.redis.connection import Commands, connect
        from gateway.store.redis.jobs import RedisStore
        from gateway.store.redis.replies import RedisReplies
    except ImportError:
        raise ConfigError(
            f"{file}: redis: its client is not installed; pip install 'imgrid-gateway[redis]'"
        ) from None
    try:
        commands = Commands(connect(config.redis.get_secret_value() if config.redis else ""))
    except ValueError as error:
        raise ConfigError(f"{file}: redis: {error}") from None
    buffer = RedisBuffer(
        commands, room, jobs_room, clock=clock, agree=clock.agree, rule=config.billed_unknown
    )
    store = RedisStore(commands, buffer, clock=clock, keep_s=config.jobs.keep_ms / 1000)
    shared = RedisReplies(commands, keep_s=config.limits.keep_replies_ms / 1000)
    replies = TieredReplies(_replies(config, clock), shared, clock=clock)
    return Stores(buffer, buffer, buffer.ledger, store, store, replies, commands.close)
