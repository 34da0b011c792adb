"""This process as one of the replicas that share what lies in Redis."""

from __future__ import annotations

import uuid
from typing import Any

from gateway.core.errors import BufferAway
from gateway.store.buffer import BufferListener
from gateway.store.redis.connection import AWAY, Commands
from gateway.store.redis.keys import PREFIX
from gateway.store.redis.scripts import Script


class Replica:
    """Holds the replica's name, the commands to Redis, the listener that it notifies, and whether
    Redis answered the last heartbeat."""

    def __init__(self, commands: Commands) -> None:
        self.name = uuid.uuid4().hex[:12]
        self.commands = commands
        self.listener: BufferListener | None = None
        self.is_reachable = True

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
