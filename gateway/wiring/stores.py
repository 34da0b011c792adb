"""Opens the stores of photos, jobs, replies, answers and lessons: in memory and SQLite, or in a
Redis that replicas share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config.errors import ConfigError
from gateway.config.settings import Settings
from gateway.core.clock import Steady
from gateway.store.answers import Answers
from gateway.store.budgets import BudgetStore
from gateway.store.buffer import Buffer, Capacity
from gateway.store.inspection import Inspection
from gateway.store.jobs import DeliveryReader, DeliveryStore, JobFeed, JobStore
from gateway.store.learning import LearningStore
from gateway.store.ledger import Ledger
from gateway.store.memory.answers import MemoryAnswers
from gateway.store.memory.buffer import MemoryBuffer
from gateway.store.memory.rates import MemoryRates
from gateway.store.memory.replies import MemoryReplies
from gateway.store.rates import RateStore
from gateway.store.replies import Replies
from gateway.store.sqlite.check import fault_of
from gateway.store.sqlite.jobs import SqliteJobStore
from gateway.store.tiered_replies import TieredReplies
from providers.extras import install_hint

WINDOW = 500
"""Photos of jobs that are in the buffer in memory at a time."""
MAX_PATIENT_PIXELS = 10**18
"""Pixels of patient photos are not limited."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of a gateway, each by its contract, and how to close them."""

    buffer: Buffer
    inspection: Inspection
    ledger: Ledger
    budgets: BudgetStore
    rates: RateStore
    jobs: JobStore
    job_feed: JobFeed
    deliveries: DeliveryStore
    delivery_reader: DeliveryReader
    replies: Replies
    answers: Answers
    learning: LearningStore
    close: Callable[[], Awaitable[None]]
    notices: Callable[[], Mapping[str, str]] = dict
    """What is wrong while photos are answered, by its name in /readyz."""


def open_stores(
    config: Settings, file: Path, clock: Steady, *, keeps_ledger: bool = True
) -> Stores:
    """The stores, not started and not yet connected. Without `keeps_ledger`, a gateway on one
    machine leaves no ledger behind. Raises ConfigError naming file and key."""
    if config.redis is not None:
        return _redis_stores(config, file, clock)
    return _local_stores(config, file, clock, keeps_ledger=keeps_ledger)


def check_jobs_file(config: Settings, file: Path) -> None:
    """Checks that the file of jobs and ledger can be written, where there is no Redis. Raises
    ConfigError: a gateway would answer, and lose its ledger and all jobs."""
    if config.redis is None and (fault := fault_of(file.resolve().parent / config.jobs.file)):
        raise ConfigError(
            f"{file}: jobs.file: {fault}; name a file on a local disk in a folder that the "
            "gateway's user may write (or IMGRID_JOBS__FILE), or set redis"
        )


def _local_stores(config: Settings, file: Path, clock: Steady, *, keeps_ledger: bool) -> Stores:
    job_store = SqliteJobStore(
        file.resolve().parent / config.jobs.file,
        clock=clock,
        keep_s=config.jobs.keep_ms / 1000,
        room=_job_room(config),
        window=WINDOW,
        tenants=config.tenant_count,
    )
    max_bytes = max(config.buffer.max_bytes, config.limits.max_photo_bytes)
    window = Capacity(WINDOW, max_bytes, MAX_PATIENT_PIXELS)
    journal = job_store.journal if keeps_ledger else None
    buffer = MemoryBuffer(
        _client_room(config),
        window,
        journal=journal,
        tenants=config.tenant_count,
        caps=_tenant_caps(config),
        clock=clock,
    )
    return Stores(
        buffer=buffer,
        inspection=buffer,
        ledger=buffer.ledger,
        budgets=buffer.budgets,
        rates=MemoryRates(clock),
        jobs=job_store,
        job_feed=job_store,
        deliveries=job_store.deliveries,
        delivery_reader=job_store.deliveries,
        replies=_memory_replies(config, clock),
        answers=MemoryAnswers(clock=clock, max_bytes=config.limits.max_cache_bytes),
        learning=job_store.learning,
        close=job_store.close,
        notices=job_store.notices,
    )


def _redis_stores(config: Settings, file: Path, clock: Steady) -> Stores:
    try:
        from gateway.store.redis.answers import RedisAnswers
        from gateway.store.redis.buffer import RedisBuffer
        from gateway.store.redis.connection import Commands, connect
        from gateway.store.redis.jobs import RedisJobStore
        from gateway.store.redis.learning import RedisLearningStore
        from gateway.store.redis.rates import RedisRates
        from gateway.store.redis.replies import RedisReplies
    except ImportError:
        raise ConfigError(
            f"{file}: redis: its client is not installed; {install_hint('redis')}"
        ) from None
    try:
        commands = Commands(connect(config.redis.get_secret_value() if config.redis else ""))
    except ValueError as error:
        raise ConfigError(f"{file}: redis: {error}") from None
    buffer = RedisBuffer(
        commands,
        _client_room(config),
        _job_room(config),
        clock=clock,
        agree=clock.synchronize,
        rule=config.billed_unknown,
        tenants=config.tenant_count,
        caps=_tenant_caps(config),
    )
    job_store = RedisJobStore(commands, buffer, clock=clock, keep_s=config.jobs.keep_ms / 1000)
    shared = RedisReplies(commands, keep_s=config.limits.keep_replies_ms / 1000)
    return Stores(
        buffer=buffer,
        inspection=buffer,
        ledger=buffer.ledger,
        budgets=buffer.budgets,
        rates=RedisRates(buffer.replica),
        jobs=job_store,
        job_feed=job_store,
        deliveries=job_store.deliveries,
        delivery_reader=job_store.deliveries,
        replies=TieredReplies(_memory_replies(config, clock), shared, clock=clock),
        answers=RedisAnswers(commands, max_bytes=config.limits.max_cache_bytes),
        learning=RedisLearningStore(commands),
        close=commands.close,
        notices=buffer.eviction.notices,
    )


def _client_room(config: Settings) -> Capacity:
    """The room for photos whose clients wait."""
    limits = config.buffer
    return Capacity(limits.max_photos, limits.max_bytes, limits.max_pixels)


def _tenant_caps(config: Settings) -> dict[str, Capacity]:
    """The rooms of the tenants that have limits of their own."""
    caps: dict[str, Capacity] = {}
    for tenant in config.tenants:
        limits, room = tenant.limits, _client_room(config)
        cap = Capacity(
            limits.max_photos or room.photos,
            limits.max_bytes or room.bytes,
            limits.max_pixels or room.pixels,
        )
        if cap != room:
            caps[tenant.name] = cap
    return caps


def _job_room(config: Settings) -> Capacity:
    """The room for photos of jobs."""
    return Capacity(config.jobs.max_photos, config.jobs.max_bytes, MAX_PATIENT_PIXELS)


def _memory_replies(config: Settings, clock: Steady) -> MemoryReplies:
    limits = config.limits
    return MemoryReplies(
        clock=clock, keep_s=limits.keep_replies_ms / 1000, max_bytes=limits.max_replies_bytes
    )
