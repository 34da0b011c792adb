"""The heartbeat of a replica: it keeps its lease, takes over from dead replicas, and finds out
whether Redis is there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Any

from gateway.core.clock import TOLERANCE_S, Clock
from gateway.core.errors import BilledUnknown, BufferAway, DeadLetter, GatewayError
from gateway.core.model import Outcome
from gateway.store import codec
from gateway.store.buffer import MOST_CLAIMS
from gateway.store.redis import keys
from gateway.store.redis.connection import AWAY
from gateway.store.redis.inbox import Inbox
from gateway.store.redis.limits import BEAT_S
from gateway.store.redis.photo_bytes import PhotoBytes
from gateway.store.redis.replica import Replica
from gateway.store.redis.scripts import load

log = logging.getLogger("imgrid")

LOST = "The shared buffer lost what it held; ask again."


class Heartbeat:
    """Holds whether the replica has registered, how many have, and what is wrong with Redis.

    `fails_unsure` decides about photos whose call a dead replica had begun: they fail, or are asked
    about again.
    """

    def __init__(
        self,
        replica: Replica,
        photo_bytes: PhotoBytes,
        *,
        claims: Collection[str],
        clock: Clock,
        agree: Callable[[float], None],
        tidy: Callable[[], Awaitable[None]],
        fails_unsure: bool,
    ) -> None:
        """`claims` are the ids of the photos that this replica holds; `agree` is called with the
        time of Redis, and `tidy` after each beat."""
        self.problem = ""
        self.has_registered = False
        self.replicas = 1
        self.inbox = Inbox(replica)
        self._replica = replica
        self._bytes = photo_bytes
        self._claims = claims
        self._clock = clock
        self._agree = agree
        self._tidy = tidy
        dead_letter = DeadLetter(
            f"Every process that worked on this photo died ({MOST_CLAIMS} times); "
            "it is not tried again."
        )
        unsure = BilledUnknown(
            "The process that asked about this photo died before the answer, which may be billed."
        )
        self._reclaim_arguments = (
            replica.name,
            int(fails_unsure),
            _packed_error(dead_letter),
            _packed_error(unsure),
        )
        self._beat, self._leave = load("buffer/beat"), load("buffer/leave")

    async def run(self) -> None:
        """Beats until cancelled."""
        while True:
            try:
                await self.beat()
            except BufferAway as error:
                self._report(error)
            except Exception:
                log.exception("a heartbeat failed; the next one is due")
            await asyncio.sleep(BEAT_S)

    async def beat(self) -> None:
        """Registers the replica for another lease and does what is due: takes over from dead
        replicas, reads the inbox, tidies. Raises BufferAway."""
        was_registered, removed_ids = await self._register()
        if self.has_registered and not was_registered and self._replica.listener:
            self._replica.listener.lost(BufferAway(LOST))
        self.has_registered = True
        await self._bytes.delete([photo_id.decode() for photo_id in removed_ids])
        await self.inbox.read()
        await self._tidy()
        await self._probe_write()
        if self.problem:
            log.warning("the shared buffer is there again")
        self.problem = ""
        self._replica.notify_changed()

    async def leave(self) -> None:
        """Gives back at once what the replica holds. Does nothing where Redis is away."""
        with suppress(BufferAway):
            removed_ids = await self._replica.run(self._leave, *self._reclaim_arguments)
            await self._bytes.delete([photo_id.decode() for photo_id in removed_ids])

    async def _register(self) -> tuple[bool, list[bytes]]:
        """Whether the replica was registered before, and the ids of photos that left the buffer.
        Raises BufferAway."""
        began = self._clock()
        try:
            was_registered, removed_ids, redis_time, self.replicas = await self._run_beat()
        except BufferAway:
            self._replica.is_reachable = False
            await self._replica.commands.drop_idle()
            raise
        self._replica.is_reachable = True
        if self._clock() - began < TOLERANCE_S:  # the time in a slow reply may be of any age
            self._agree(float(redis_time))
        return bool(was_registered), removed_ids

    async def _run_beat(self) -> Any:
        arguments = (*self._reclaim_arguments, *self._claims)
        return await self._replica.commands.run(self._beat, [keys.PREFIX], *arguments, urgent=True)

    async def _probe_write(self) -> None:
        """Raises BufferAway where Redis has no memory left."""
        commands = self._replica.commands
        await commands.do(commands.client.set(keys.WRITE_PROBE, 1, px=1000))

    def _report(self, error: BufferAway) -> None:
        """Notes what is wrong. Waiting clients lose their photos only if Redis is away: where it
        has no memory left it still hands out outcomes."""
        if not self.problem:
            log.warning("the shared buffer is away: %s", error.__cause__ or error)
        self.problem = str(error.__cause__ or error) or "no answer"
        if self._replica.listener and not self._replica.is_reachable:
            self._replica.listener.lost(BufferAway(AWAY))


def _packed_error(error: GatewayError) -> bytes:
    return codec.pack_outcome(Outcome(None, error=error))
