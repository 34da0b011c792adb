"""Watches whether Redis may delete photos to make room, which loses what was accepted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from redis.asyncio import RedisCluster

from gateway.core.errors import BufferAway
from gateway.store.redis.connection import Commands

log = logging.getLogger("imgrid")

CHECK_S = 60.0
SAFE = "noeviction"


class EvictionWatch:
    """Asks Redis for its `maxmemory-policy`. Holds the `problem` that it is, if it is one.

    `INFO` tells it, which managed services allow too; where nothing is told there is no problem.
    """

    def __init__(self, commands: Commands, check_s: float = CHECK_S) -> None:
        self.problem = ""
        self._commands = commands
        self._check_s = check_s

    async def run(self) -> None:
        """Asks at once, and then regularly, until cancelled."""
        while True:
            try:
                await self.check()
            except BufferAway:
                pass  # the heartbeat reports it
            except Exception:
                log.exception("Redis' maxmemory-policy cannot be read; it is asked again")
            await asyncio.sleep(self._check_s)

    async def check(self) -> None:
        """Asks once, and logs a change. Raises BufferAway."""
        policies = await self._policies()
        evicting = sorted(policies - {SAFE})
        problem = ""
        if evicting:
            problem = (
                f"maxmemory-policy is {', '.join(evicting)}: Redis deletes accepted photos, jobs "
                f"and bills when its memory is full; set it to {SAFE}"
            )
        if problem != self.problem:
            log.warning("redis: %s", problem or f"maxmemory-policy is {SAFE} now")
        self.problem = problem

    def notices(self) -> Mapping[str, str]:
        """The problem by its name in /readyz."""
        return {"redis": self.problem} if self.problem else {}

    async def _policies(self) -> set[str]:
        """The policies of all servers that say theirs."""
        client = self._commands.client
        nodes = {"target_nodes": "primaries"} if isinstance(client, RedisCluster) else {}
        report: Mapping[str, Any] = await self._commands.do(client.info("memory", **nodes))
        reports = [report, *(each for each in report.values() if isinstance(each, Mapping))]
        names = (each.get("maxmemory_policy") for each in reports)
        return {name for name in names if isinstance(name, str)}
