"""A replica's inbox in Redis: outcomes of photos whose clients wait here, settled by any
replica."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from gateway.store import codec
from gateway.store.redis import keys
from gateway.store.redis.limits import BEAT_S
from gateway.store.redis.replica import Replica

log = logging.getLogger("imgrid")


class Inbox:
    """Hands outcomes to the listener, each once. Holds the ids of the photos whose outcomes were in
    the inbox last."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._key = keys.INBOX + replica.name
        self._lock = asyncio.Lock()
        self._delivered_ids: frozenset[bytes] = frozenset()

    async def read(self) -> None:
        """Hands on the outcomes in the inbox, then removes them. One that cannot be read or handed
        on harms no other.

        One read at a time, for the heartbeat and the bell would both find an outcome that is not
        removed yet. An outcome that could not be removed is found again, and not handed on again.
        """
        commands = self._replica.commands
        async with self._lock:
            outcomes = _pairs(await commands.do(commands.client.hgetall(self._key)))
            for photo_id, packed in outcomes.items():
                if photo_id not in self._delivered_ids:
                    self._deliver(photo_id, packed)
            self._delivered_ids = frozenset(outcomes)
            if outcomes:
                await commands.do(commands.client.hdel(self._key, *outcomes))

    async def listen(self) -> None:
        """Reads the inbox and wakes the listener when another replica rings, until cancelled.
        Between connections the heartbeat does so."""
        own_bell = keys.REPLICA_BELL + self._replica.name
        while True:
            try:
                async with self._replica.commands.client.pubsub() as bells:
                    await bells.subscribe(keys.BELL, own_bell)
                    while True:
                        message = await bells.get_message(
                            ignore_subscribe_messages=True, timeout=BEAT_S
                        )
                        if message is None:
                            continue
                        if message["channel"].decode() == keys.BELL:
                            self._replica.notify_changed()
                        else:
                            await self.read()
            except Exception as error:
                log.debug("not listening: %r", error)
                await asyncio.sleep(BEAT_S)

    def _deliver(self, photo_id: bytes, packed: bytes) -> None:
        photo = photo_id.decode(errors="replace")
        outcome, _ = codec.outcome_or_error(packed, photo)
        try:
            if self._replica.listener:
                self._replica.listener.outcome(photo, outcome)
        except Exception:
            log.exception("the outcome of photo %s cannot be handed on", photo)


def _pairs(reply: Any) -> Mapping[bytes, bytes]:
    """A hash from a reply in RESP3 or RESP2."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
