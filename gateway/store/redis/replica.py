"""This process as one of the replicas that share what lies in Redis."""

from __future__ import annotations

import uuid
from typing import Any

from gateway.core.errors import BufferAway
from gateway.store.buffer import BufferListener
from gateway.store.redis.connection import AWAY, Commands
from gateway.store.redis.keys import PREFIX
from gateway.store.redis.limits import REPLIES_AT_ONCE
from gateway.store.redis.scripts import Script


class Replica:
    """Holds the replica's name, the commands to Redis, the listener that it notifies, whether Redis
    answered the last heartbeat, and the commits whose replies came and that Redis still
    remembers."""

    def __init__(self, commands: Commands) -> None:
        self.name = uuid.uuid4().hex[:12]
        self.commands = commands
        self.listener: BufferListener | None = None
        self.is_reachable = True
        self._replied_commits: dict[str, bool] = {}

    async def run_once(self, script: Script, commit_id: str, *arguments: Any) -> Any:
        """The reply of a script that does what it does once, by the id: a caller that got no reply
        may repeat the call, however much later. Raises BufferAway."""
        replied = [name for name in self._replied_commits if name != commit_id][:REPLIES_AT_ONCE]
        reply = await self.run(script, commit_id, self.name, len(replied), *replied, *arguments)
        for name in replied:
            self._replied_commits.pop(name, None)
        self._replied_commits[commit_id] = True
        return reply

    async def run(self, script: Script, *arguments: Any) -> Any:
        """The script's reply. Raises BufferAway: at once while Redis is known to be away, until a
        heartbeat is answered."""
        self.check_reachable()
        return await self.commands.run(script, [PREFIX], *arguments)

    def check_reachable(self) -> None:
        """Raises BufferAway if Redis did not answer the last heartbeat."""
        if not self.is_reachable:
            raise BufferAway(AWAY)

    def notify_changed(self) -> None:
        """Tells the listener, if there is one, that a lane may be due."""
        if self.listener:
            self.listener.changed()
