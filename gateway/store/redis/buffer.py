"""A buffer in Redis: replicas share it, fill canvases together, and take over from each other.

Each step is one Lua script, so nobody ever sees half of it; the scripts lie in lua/buffer. Needs
Redis 7 or Valkey. Photos' bytes are under keys of their own, which expire; everything else begins
with one hash tag.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import astuple, replace
from importlib import resources
from typing import Any

import msgspec

from gateway.core.clock import TOLERATED_S, Clock
from gateway.core.errors import BilledUnknown, BufferAway, Busy, DeadLetter
from gateway.core.model import BufferEntry, BufferLane, Entry, Outcome, Photo, RemotePhoto
from gateway.store import codec
from gateway.store.buffer import (
    MOST_CLAIMS,
    BufferListener,
    Capacity,
    Commit,
    Settlement,
)
from gateway.store.codec import lane_key, lane_of
from gateway.store.inspection import DeadPhoto, Occupancy, Waiting
from gateway.store.redis import arguments as rows
from gateway.store.redis.connection import AWAY, Commands, Script
from gateway.store.redis.ledger import RedisLedger

log = logging.getLogger("imgrid")

PREFIX = "{imgrid}:"
BEAT_S = 0.5
LEASE_S = 5.0
"""A replica that has not been heard of for so long is dead, and its photos are others'."""
SLACK_S = 60.0
"""How long a photo's bytes outlive its deadline."""
AT_ONCE = 200
"""Photos seen to by one script: nobody else is served meanwhile."""
PORTION_BYTES = 4 << 20
DOUBT_S = 15.0
"""How long a command that was given up may still be on its way to a Redis that was paused."""
LOST = "The shared buffer lost what it held; ask again."


def script(name: str, *before: str) -> Script:
    """A script of this package, with the parts it is made of before it."""
    folder = resources.files("gateway.store.redis").joinpath("lua", "buffer")
    jobs = resources.files("gateway.store.redis").joinpath("lua", "jobs", "settle.lua")
    files = [jobs, *(folder.joinpath(f"{part}.lua") for part in ("common", *before, name))]
    return Script.of(
        *files, at_maxmemory=name != "put"
    )  # what makes room must work where there is none


class RedisBuffer:
    """One replica's view. Holds its name, the connection, whom to tell, the bytes of what it
    claimed, photos that it could not put and that may arrive all the same, which outcomes were told
    last, and what is wrong.

    `rule` says what becomes of photos whose canvas a dead replica had asked about: retry, or fail.
    """

    def __init__(
        self,
        commands: Commands,
        room: Capacity,
        jobs: Capacity = Capacity(),
        *,
        clock: Clock,
        agree: Callable[[float], None] = lambda now: None,
        rule: str = "retry",
    ) -> None:
        """`agree` is told the time of Redis now and then: the clock is to go by it."""
        self.replica = uuid.uuid4().hex[:12]
        self.problem = ""
        self._commands = commands
        self._rooms = (*astuple(room), *astuple(jobs))
        self._clock = clock
        self._agree = agree
        self._listener: BufferListener | None = None
        self._joined = False
        self._tasks: list[asyncio.Task[None]] = []
        self._bytes: dict[str, tuple[int, bytes]] = {}
        self._doubtful: dict[str, float] = {}
        self._orphans: dict[str, float] = {}
        self._reading = asyncio.Lock()
        self._told: frozenset[bytes] = frozenset()
        self._reachable = True
        dead = DeadLetter(
            f"Every process that worked on this photo died ({MOST_CLAIMS} times); it is not tried again."
        )
        unknown = BilledUnknown(
            "The process that asked about this photo died before the answer, which may be billed."
        )
        self._last_words = (
            rule,
            *(codec.pack_outcome(Outcome(None, error=error)) for error in (dead, unknown)),
        )
        self._put, self._waiting, self._claim = script("put"), script("waiting"), script("claim")
        self._ask, self._commit = script("ask"), script("commit")
        self._beat, self._leave = script("beat", "reclaim"), script("leave", "reclaim")
        self._held = script("held")
        self._missing = script("orphans")
        self.ledger = RedisLedger(
            self._run, self.replica, commit=self._commit, accounts=script("accounts")
        )

    # -- photos

    async def put(self, entries: Sequence[BufferEntry]) -> None:
        if not self._reachable:
            raise BufferAway(AWAY)
        if not entries:
            return
        arguments = [argument for entry in entries for argument in rows.described(entry)]
        new: list[str] = []
        try:
            await self._store(entries, new)
            full = await self._registered(self._put, self.replica, *self._rooms, *arguments)
        except BufferAway:
            # What was sent may arrive all the same. Photos of clients are withdrawn; those of a job
            # stay, for whoever repeats the request is to find it; and no bytes are left behind that
            # belong to none.
            until = self._clock() + DOUBT_S
            self._doubtful.update((entry.photo.id, until) for entry in entries if not entry.job)
            self._orphans.update((photo_id, until) for photo_id in new)
            raise
        if full:
            await self._drop(new)
            raise Busy(
                f"The buffer is full ({full.decode()}). Nothing was taken; come back in a second."
            )
        if self._listener:
            self._listener.changed()

    async def waiting(self) -> Mapping[BufferLane, Waiting]:
        lanes = await self._run(self._waiting)
        return {
            lane_of(key): Waiting(count, float(oldest), float(due), bool(urgent))
            for key, count, oldest, due, urgent in lanes
        }

    async def claim(
        self, lane: BufferLane, now: float, *, most: int | None = None
    ) -> list[BufferEntry]:
        wanted = (lane.shape.cells, now, "") if most is None else (most, now, "company")
        claimed = await self._registered(self._claim, self.replica, lane_key(lane), *wanted)
        bare = [replace(codec.unpack_entry(meta, b""), turn=turn) for _, turn, meta, _ in claimed]
        sizes = [int(size) for *_, size in claimed]
        contents = await self._contents(
            bare, sizes
        )  # failing that, the heartbeat gives back what is not known to be held
        all_ = [
            codec.with_payload(entry, data or b"")
            for entry, data in zip(bare, contents, strict=True)
        ]
        taken = [entry for entry, data in zip(all_, contents, strict=True) if data is not None]
        self._bytes.update((entry.photo.id, (entry.turn, entry.photo.payload)) for entry in taken)
        if len(taken) < len(all_):
            gone = Outcome(
                None,
                error=BufferAway("The photo's bytes are gone from the shared buffer; ask again."),
            )
            ends = [Settlement(entry, gone) for entry in all_ if entry.photo.id not in self._bytes]
            with suppress(
                BufferAway
            ):  # the heartbeat gives them back, and they are found wanting again
                await self.commit(Commit(settled=ends))
        return taken

    async def ask(self, canvas: str, entries: Sequence[Entry]) -> list[Entry]:
        arguments = [
            argument for entry in entries for argument in (entry.photo.id, entry.turn, entry.tenant)
        ]
        wanted = {
            photo_id.decode()
            for photo_id in await self._run(self._ask, self.replica, canvas, *arguments)
        }
        for entry in entries:
            if entry.photo.id not in wanted and self._known(entry)[0] == entry.turn:
                del self._bytes[entry.photo.id]  # it is gone, or another's
        return [entry for entry in entries if entry.photo.id in wanted]

    async def commit(self, commit: Commit) -> frozenset[str]:
        for first in range(AT_ONCE, len(commit.gone), AT_ONCE):
            await self._commit_once(
                Commit(gone=commit.gone[first : first + AT_ONCE], id=f"{commit.id}-{first}")
            )
        return await self._commit_once(replace(commit, gone=commit.gone[:AT_ONCE]))

    async def _commit_once(self, commit: Commit) -> frozenset[str]:
        fetched = [entry for entry in commit.again if entry.photo.payload != self._known(entry)[1]]
        await self._store(fetched)
        arguments = [
            *rows.listed([rows.settled(each) for each in commit.settled]),
            *rows.listed([rows.again(entry) for entry in commit.again]),
            *rows.listed([(photo_id,) for photo_id in commit.gone]),
            *rows.listed(
                [rows.charged(tenant, account) for tenant, account in commit.charges.items()]
            ),
        ]
        counted = await self._run(self._commit, commit.id, self.replica, commit.ended, *arguments)
        ids = frozenset(photo_id.decode() for photo_id in counted)
        ended = [each.entry.photo.id for each in commit.settled]
        for photo_id in commit.gone:
            self._bytes.pop(photo_id, None)
        for entry in (*(each.entry for each in commit.settled), *commit.again):
            if self._known(entry)[0] == entry.turn:  # and not claimed again since
                del self._bytes[entry.photo.id]
        late = [entry.photo.id for entry in fetched if entry.photo.id not in ids]
        self._orphans.update((photo_id, self._clock() + DOUBT_S) for photo_id in late)
        await self._drop([*commit.gone, *(photo_id for photo_id in ended if photo_id in ids)])
        return ids

    def _known(self, entry: BufferEntry) -> tuple[int, bytes]:
        """The turn that it was claimed under here, and its bytes."""
        return self._bytes.get(entry.photo.id, (0, b""))

    async def held(self) -> Occupancy:
        return Occupancy(*await self._run(self._held))

    async def dead(self) -> Sequence[DeadPhoto]:
        letters = await self._commands.do(self._client.lrange(f"{PREFIX}dead", 0, -1))
        return tuple(msgspec.json.decode(letter, type=DeadPhoto) for letter in letters)

    # -- replicas

    @asynccontextmanager
    async def serving(self, listener: BufferListener) -> AsyncIterator[None]:
        self._listener = listener
        tasks = self._tasks = [
            asyncio.create_task(self._beats()),
            asyncio.create_task(self._hears()),
        ]
        try:
            yield
        finally:
            await _ended(tasks)
            self._listener = None
            with suppress(BufferAway):
                left = await self._run(self._leave, self.replica, 0, MOST_CLAIMS, *self._last_words)
                await self._drop([photo_id.decode() for photo_id in left])

    async def _beats(self) -> None:
        while True:
            try:
                await self._once()
            except BufferAway as error:
                self._away(error)
            except Exception:
                log.exception("a heartbeat failed; the next one is due")
            await asyncio.sleep(BEAT_S)

    async def _once(self) -> None:
        """Says that this replica lives, takes over from the dead, and looks into the inbox."""
        said = (self.replica, LEASE_S, MOST_CLAIMS, *self._last_words, *self._bytes)
        began = self._clock()
        try:
            known, left, now = await self._commands.run(self._beat, [PREFIX], *said, urgent=True)
        except BufferAway:
            self._reachable = False
            raise
        self._reachable = True
        if self._clock() - began < TOLERATED_S:  # else nobody can tell how old it is
            self._agree(float(now))
        if self._joined and not known and self._listener:
            self._listener.lost(BufferAway(LOST))
        self._joined = True
        await self._drop([photo_id.decode() for photo_id in left])
        await self._read()
        await self._tidy()
        await self._commands.do(
            self._client.set(f"{PREFIX}beat:written", 1, px=1000)
        )  # fails where Redis is full
        self.problem = ""
        if self._listener:
            self._listener.changed()

    async def _tidy(self) -> None:
        """Sees to what could not be put, and may have arrived."""
        now = self._clock()
        if self._doubtful:
            await self.commit(Commit(gone=list(self._doubtful)))
            self._doubtful = {name: until for name, until in self._doubtful.items() if until > now}
        if due := [name for name, until in self._orphans.items() if until <= now][:AT_ONCE]:
            await self._drop([name.decode() for name in await self._run(self._missing, *due)])
            for name in due:
                self._orphans.pop(name, None)

    def _away(self, error: BufferAway) -> None:
        if not self.problem:
            log.warning("the shared buffer is away: %s", error.__cause__ or error)
        self.problem = str(error.__cause__ or error) or "no answer"
        if self._listener and not self._reachable:  # what is only full still gives answers out
            self._listener.lost(BufferAway(AWAY))

    async def _hears(self) -> None:
        """Wakes whoever listens when another replica rings; between connections the heartbeat
        does."""
        while True:
            try:
                async with self._client.pubsub() as bell:
                    await bell.subscribe(f"{PREFIX}bell", f"{PREFIX}bell:{self.replica}")
                    while True:
                        message = await bell.get_message(
                            ignore_subscribe_messages=True, timeout=BEAT_S
                        )
                        if message is not None:
                            await self._rung(message["channel"])
            except Exception as error:
                log.debug("not listening: %r", error)
                await asyncio.sleep(BEAT_S)

    async def _rung(self, channel: bytes) -> None:
        if channel.decode() == f"{PREFIX}bell":
            if self._listener:
                self._listener.changed()
        else:
            await self._read()

    async def _read(self) -> None:
        """Hands on what has come for clients that wait here, and takes it out when that is done.

        One at a time: the heartbeat and the bell would both find what neither has taken out yet.
        What could not be taken out the last time is found again, and not told again.
        """
        inbox = f"{PREFIX}inbox:{self.replica}"
        async with self._reading:
            letters = _pairs(await self._commands.do(self._client.hgetall(inbox)))
            new = {
                photo_id: packed
                for photo_id, packed in letters.items()
                if photo_id not in self._told
            }
            self._told = frozenset(letters)
            self._hand_on(new)
            if letters:
                await self._commands.do(self._client.hdel(inbox, *letters))

    def _hand_on(self, letters: Mapping[bytes, bytes]) -> None:
        for photo_id, packed in letters.items():
            outcome, _ = codec.unpack_outcome(packed)
            if self._listener:
                self._listener.outcome(photo_id.decode(), outcome)

    # -- Redis

    @property
    def _client(self) -> Any:
        return self._commands.client

    async def _run(self, which: Script, *arguments: Any) -> Any:
        if not self._reachable:
            raise BufferAway(AWAY)  # the heartbeat finds out when it is back
        return await self._commands.run(which, [PREFIX], *arguments)

    async def _registered(self, which: Script, *arguments: Any) -> Any:
        """For what only a replica may do that is known to live: one that is not says so first."""
        reply = await self._run(which, *arguments)
        if reply == b"unknown":
            await self._once()
            reply = await self._run(which, *arguments)
        if reply == b"unknown":
            raise BufferAway(AWAY)
        return reply

    async def _store(self, entries: Sequence[BufferEntry], new: list[str] | None = None) -> None:
        """Writes the photos' bytes, some megabytes at a time. With `new`, those that are there
        already stay, and the names of the others are added to it."""
        for some in _portions(entries, [len(entry.photo.payload) for entry in entries]):
            pipe = self._client.pipeline(transaction=False)
            for entry in some:
                lasts_s = max(entry.deadline_at - self._clock(), 0) + SLACK_S
                pipe.set(
                    _photo_key(entry.photo),
                    entry.photo.payload,
                    px=int(1000 * lasts_s),
                    nx=new is not None,
                )
            if new is not None:  # before it is known whether they arrive
                new += [entry.photo.id for entry in some]
            written = await self._commands.do(pipe.execute())
            if new is not None:
                there = {
                    entry.photo.id for entry, done in zip(some, written, strict=True) if not done
                }
                new[:] = [photo_id for photo_id in new if photo_id not in there]

    async def _contents(
        self, entries: Sequence[BufferEntry], sizes: Sequence[int]
    ) -> list[bytes | None]:
        contents: list[bytes | None] = []
        for some in _portions(entries, sizes):
            pipe = self._client.pipeline(transaction=False)
            for entry in some:
                pipe.get(_photo_key(entry.photo))
            contents += await self._commands.do(pipe.execute())
        return contents

    async def _drop(self, photo_ids: Sequence[str]) -> None:
        """Frees the bytes; what fails here expires."""
        if photo_ids:
            pipe = self._client.pipeline(transaction=False)
            for photo_id in photo_ids:
                pipe.delete(f"imgrid:photo:{photo_id}")  # a cluster's pipeline has no unlink
                pipe.delete(f"imgrid:photo:{photo_id}:url")
            with suppress(BufferAway):
                await self._commands.do(pipe.execute())


def _pairs(reply: Any) -> Mapping[bytes, bytes]:
    """A hash, as RESP3 or RESP2 tells it."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def _portions(entries: Sequence[BufferEntry], sizes: Sequence[int]) -> Iterator[list[BufferEntry]]:
    """As many as make some megabytes: one command has only so much time."""
    some: list[BufferEntry] = []
    held = 0
    for entry, size in zip(entries, sizes, strict=True):
        some.append(entry)
        held += size
        if held > PORTION_BYTES:
            yield some
            some, held = [], 0
    if some:
        yield some


def _photo_key(photo: Photo | RemotePhoto) -> str:
    """A URL and the picture that was fetched from it never take each other's place."""
    return f"imgrid:photo:{photo.id}{':url' if isinstance(photo, RemotePhoto) else ''}"


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancels them until they have ended: redis-py can take a cancellation for a time that is over,
    and go on."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=BEAT_S)
