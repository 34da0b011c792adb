"""A buffer in Redis: replicas share it, fill canvases together, and take over from each other.

Each step is one Lua script (lua/buffer), so that no replica ever sees half of it. Needs Redis 7 or
Valkey.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, astuple, replace
from typing import Any

import msgspec

from gateway.core.clock import Clock
from gateway.core.errors import BufferAway, Busy, GatewayError
from gateway.core.model import BufferEntry, BufferLane, Entry, Outcome, RemotePhoto
from gateway.store import codec
from gateway.store.buffer import BufferListener, Capacity, Commit, Settlement
from gateway.store.codec import Unreadable, lane_key, lane_of
from gateway.store.inspection import Backlog, DeadPhoto, Occupancy
from gateway.store.redis import arguments, keys
from gateway.store.redis.budgets import RedisBudgets
from gateway.store.redis.connection import AWAY, Commands
from gateway.store.redis.eviction import EvictionWatch
from gateway.store.redis.heartbeat import Heartbeat
from gateway.store.redis.layouts import SHARE_MARK, UNREGISTERED
from gateway.store.redis.ledger import RedisLedger
from gateway.store.redis.limits import BEAT_S, WITHDRAWN_AT_ONCE
from gateway.store.redis.photo_bytes import DOUBT_S, PhotoBytes
from gateway.store.redis.replica import Replica
from gateway.store.redis.scripts import Script, load

log = logging.getLogger("imgrid")

GONE = "The photo's bytes are gone from the shared buffer; ask again."


class RedisBuffer:
    """Buffer and Inspection of one replica. Holds turn and bytes of the photos that it claimed, and
    the ids of clients' photos that it could not put and that may arrive all the same."""

    def __init__(
        self,
        commands: Commands,
        room: Capacity,
        jobs: Capacity = Capacity(),
        *,
        clock: Clock,
        agree: Callable[[float], None] = lambda now: None,
        rule: str = "retry",
        tenants: int = 1,
        caps: Mapping[str, Capacity] | None = None,
    ) -> None:
        """`room` is for photos whose clients wait, `jobs` for patient ones. So many `tenants` share
        both, and `caps` limit single ones. `agree` is called with
        the time of Redis now and then: the clock is to follow it. `rule` decides about photos whose
        call a dead replica had begun: retry, or fail."""
        self.replica = Replica(commands)
        self.ledger = RedisLedger(self.replica)
        self.budgets = RedisBudgets(self.replica)
        self._limits = (
            *astuple(room),
            *astuple(jobs),
            tenants,
            msgspec.json.encode({name: asdict(cap) for name, cap in (caps or {}).items()}),
        )
        self._clock = clock
        self._claims: dict[str, tuple[int, bytes]] = {}
        self._doubtful_ids: dict[str, float] = {}
        self._bytes = PhotoBytes(self.replica, clock)
        self.eviction = EvictionWatch(commands)
        self.heartbeat = Heartbeat(
            self.replica,
            self._bytes,
            claims=self._claims,
            clock=clock,
            agree=agree,
            tidy=self._tidy,
            fails_unsure=rule == "fail",
        )
        self._put, self._claim, self._ask, self._commit = (
            load(f"buffer/{name}") for name in ("put", "claim", "ask", "commit")
        )
        self._backlogs, self._occupancy = load("buffer/backlogs"), load("buffer/occupancy")

    # -- Buffer

    async def put(self, entries: Sequence[BufferEntry]) -> None:
        self.replica.check_reachable()
        if not entries:
            return
        rows = [arguments.photo_row(entry) for entry in entries]
        try:
            new_ids = await self._bytes.write_new(entries)
            full_measure = await self._put_rows(rows, new_ids)
        except BufferAway:
            # The photos may arrive all the same. Those of clients are withdrawn; those of a job
            # stay, for a repeated request is to find them.
            until = self._clock() + DOUBT_S
            self._doubtful_ids.update((entry.photo.id, until) for entry in entries if not entry.job)
            raise
        if full_measure:
            await self._bytes.delete(new_ids)
            refusal = full_measure.decode()
            measure = refusal.removeprefix(SHARE_MARK)
            whose = "The buffer" if measure == refusal else "Your share of the buffer"
            raise Busy(f"{whose} is full ({measure}). Nothing was taken; come back in a second.")
        self.replica.notify_changed()

    async def _put_rows(self, rows: Sequence[arguments.PhotoRow], new_ids: Sequence[str]) -> Any:
        """What there is no room for; empty where the photos were put. Raises BufferAway, with new
        bytes as orphans."""
        try:
            return await self._run_registered(
                self._put, self.replica.name, *self._limits, *arguments.flat(rows)
            )
        except BufferAway:
            self._bytes.add_orphans(new_ids)
            raise

    async def claim(
        self, lane: BufferLane, now: float, *, most: int | None = None
    ) -> list[BufferEntry]:
        count = lane.shape.cells if most is None else most
        is_company = int(most is not None)
        rows = await self._run_registered(
            self._claim, self.replica.name, lane_key(lane), count, now, is_company
        )
        bare: list[BufferEntry] = []
        sizes: list[int] = []
        failures: list[Settlement] = []
        for photo_id, turn, meta, size in rows:
            try:
                bare.append(replace(codec.unpack_entry(meta, b""), turn=turn))
                sizes.append(int(size))
            except Unreadable as error:
                failures.append(_unreadable(photo_id.decode(errors="replace"), turn, lane, error))
        # If this fails, the heartbeat gives back the photos that are not among the claims.
        contents = await self._bytes.read(bare, sizes)
        claimed: list[BufferEntry] = []
        for entry, data in zip(bare, contents, strict=True):
            try:
                if data is None:
                    failures.append(Settlement(entry, Outcome(None, error=BufferAway(GONE))))
                    continue
                claimed.append(codec.with_payload(entry, data))
                self._claims[entry.photo.id] = (entry.turn, data)
            except Unreadable as error:
                failures.append(_unreadable(entry.photo.id, entry.turn, lane, error))
        await self._fail(failures)
        return claimed

    async def _fail(self, failures: Sequence[Settlement]) -> None:
        """Settles claimed photos that no step can take. If this fails, the heartbeat gives them
        back, and they are claimed and fail again."""
        if failures:
            with suppress(BufferAway):
                await self.commit(Commit(settlements=failures))

    async def ask(self, canvas: str, entries: Sequence[Entry]) -> list[Entry]:
        rows = arguments.call_rows(entries)
        reply = await self.replica.run(self._ask, self.replica.name, canvas, *arguments.flat(rows))
        current_ids = {photo_id.decode() for photo_id in reply}
        current: list[Entry] = []
        for entry in entries:
            if entry.photo.id in current_ids:
                current.append(entry)
            else:
                self._release(entry)
        return current

    async def commit(self, commit: Commit) -> frozenset[str]:
        ids = commit.withdrawn_ids
        for first in range(WITHDRAWN_AT_ONCE, len(ids), WITHDRAWN_AT_ONCE):
            portion = ids[first : first + WITHDRAWN_AT_ONCE]
            await self._commit_once(Commit(withdrawn_ids=portion, id=f"{commit.id}-{first}"))
        return await self._commit_once(replace(commit, withdrawn_ids=ids[:WITHDRAWN_AT_ONCE]))

    async def _commit_once(self, commit: Commit) -> frozenset[str]:
        fetched: list[BufferEntry] = []
        for entry in commit.requeues:
            if entry.photo.payload != self._payload(entry):
                fetched.append(entry)
        await self._bytes.write(fetched)
        reply = await self.replica.run_once(
            self._commit, commit.id, commit.ended_canvas, commit.hold, *arguments.lists(commit)
        )
        counted_ids = frozenset(photo_id.decode() for photo_id in reply)
        self._release_all(commit)
        fetched_ids = {entry.photo.id for entry in fetched}
        self._bytes.add_orphans(fetched_ids - counted_ids)
        settled_ids = {settlement.entry.photo.id for settlement in commit.settlements}
        await self._bytes.delete([*commit.withdrawn_ids, *(settled_ids & counted_ids)])
        return counted_ids

    def _release_all(self, commit: Commit) -> None:
        """Forgets the claims of the photos in the commit."""
        for photo_id in commit.withdrawn_ids:
            self._claims.pop(photo_id, None)
        for settlement in commit.settlements:
            self._release(settlement.entry)
        for entry in commit.requeues:
            self._release(entry)

    def _payload(self, entry: BufferEntry) -> bytes:
        """The bytes that the photo was claimed with here; empty if it was not."""
        return self._claims.get(entry.photo.id, (0, b""))[1]

    def _release(self, entry: BufferEntry) -> None:
        """Forgets the claim of this turn. A later claim stays."""
        claim = self._claims.get(entry.photo.id)
        if claim is not None and claim[0] == entry.turn:
            del self._claims[entry.photo.id]

    @asynccontextmanager
    async def serving(self, listener: BufferListener) -> AsyncIterator[None]:
        self.replica.listener = listener
        tasks = self.tasks = [
            asyncio.create_task(self.heartbeat.run()),
            asyncio.create_task(self.heartbeat.inbox.listen()),
            asyncio.create_task(self.eviction.run()),
        ]
        try:
            yield
        finally:
            await _cancel(tasks)
            self.replica.listener = None
            await self.heartbeat.leave()

    # -- Inspection

    @property
    def problem(self) -> str:
        return self.heartbeat.problem

    @property
    def replicas(self) -> int:
        return self.heartbeat.replicas

    async def backlogs(self) -> Mapping[BufferLane, Backlog]:
        lanes: dict[BufferLane, Backlog] = {}
        for key, count, oldest_at, due_at, urgent in await self.replica.run(self._backlogs):
            try:
                lanes[lane_of(key)] = Backlog(count, float(oldest_at), float(due_at), urgent)
            except Unreadable as error:  # of a later release, whose replicas serve it
                log.debug("a lane is left to other replicas: %s", error)
        return lanes

    async def occupancy(self) -> Occupancy:
        return Occupancy(*await self.replica.run(self._occupancy))

    async def dead_letters(self) -> Sequence[DeadPhoto]:
        commands = self.replica.commands
        letters = await commands.do(commands.client.lrange(keys.DEAD_LETTERS, 0, -1))
        return tuple(_dead_photos(letters))

    # -- Redis

    async def _run_registered(self, script: Script, *arguments: Any) -> Any:
        """The reply of a script for registered replicas only. A replica that is not registered
        sends a heartbeat first. Raises BufferAway."""
        reply = await self.replica.run(script, *arguments)
        if reply == UNREGISTERED.encode():
            await self.heartbeat.beat()
            reply = await self.replica.run(script, *arguments)
        if reply == UNREGISTERED.encode():
            raise BufferAway(AWAY)
        return reply

    async def _tidy(self) -> None:
        """Withdraws photos that could not be put and may have arrived, and deletes bytes of photos
        that are not in the buffer."""
        now = self._clock()
        if self._doubtful_ids:
            await self.commit(Commit(withdrawn_ids=list(self._doubtful_ids)))
            for photo_id, until in list(self._doubtful_ids.items()):
                if until <= now:
                    del self._doubtful_ids[photo_id]
        await self._bytes.delete_orphans()


def _unreadable(photo_id: str, turn: int, lane: BufferLane, error: Unreadable) -> Settlement:
    """The end of a photo whose record cannot be read: of its entry only the id and the turn are
    known, which suffice to settle it."""
    log.error("photo %s of the shared buffer cannot be read: %s", photo_id, error)
    entry = BufferEntry(RemotePhoto(photo_id, ""), "", "", lane, 0, 0, 0, 0, turn=turn)
    return Settlement(entry, Outcome(None, error=GatewayError()))


def _dead_photos(letters: Iterable[bytes]) -> Iterator[DeadPhoto]:
    """The dead letters that can be read."""
    for letter in letters:
        try:
            yield msgspec.json.decode(letter, type=DeadPhoto)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.error("a dead letter cannot be read: %s", error)


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancels the tasks until they have ended: redis-py can take a cancellation for a time-out, and
    go on."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=BEAT_S)
