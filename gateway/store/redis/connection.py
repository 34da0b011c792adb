"""The connection to Redis: its URL, its time limits, and its failures as errors of the gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from gateway.core.errors import BufferAway
from gateway.store.redis.scripts import Script

T = TypeVar("T")

SOCKET_S = 1.0
"""The time limit of connecting, and of one command."""
COMMAND_S = 1.5
"""How long a caller waits for one command, with the wait for a connection: so its client is
answered within two seconds."""
DEFAULT_PORT = 6379
CONNECTIONS = 64
"""The most commands under way at a time."""
AWAY = "The shared buffer is out of reach; come back in a second."
KINDS = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)


def check_url(url: str) -> None:
    """Raises ValueError, with what is expected, for a string that is no URL of Redis."""
    parts = urlsplit(url)
    if parts.scheme not in KINDS or not (parts.netloc or parts.path):
        raise ValueError(
            "write redis://host:6379/0, rediss://…, "
            "redis+sentinel://host:26379,host:26379/service/0 or "
            "redis+cluster://host:6379,host:6379"
        )
    if "sentinel" in parts.scheme and not parts.path.strip("/"):
        raise ValueError("name the service after the hosts: redis+sentinel://host:26379/service/0")


def connect(url: str) -> Redis | RedisCluster:
    """A client, not yet connected. All of its sockets have time limits.

    Sentinels and cluster nodes are separated by commas. User, password and TLS are for Redis
    itself. Options such as `ssl_ca_certs` are in the query. RESP3 unless the URL says `protocol=2`.
    """
    check_url(url)
    parts = urlsplit(url)
    options: dict[str, Any] = {
        "socket_timeout": SOCKET_S,
        "socket_connect_timeout": SOCKET_S,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 3,
    }
    scheme, _, topology = parts.scheme.partition("+")
    if not topology:
        return Redis.from_url(url, **options)  # options in the URL come first
    options |= {
        name: int(value) if value.isdigit() else value for name, value in parse_qsl(parts.query)
    }
    options |= {"username": parts.username, "password": parts.password, "ssl": scheme == "rediss"}
    hosts = _hosts(parts.netloc)
    if topology == "cluster":
        nodes = [ClusterNode(host, port) for host, port in hosts]
        return RedisCluster(startup_nodes=nodes, **options)
    service, _, db = parts.path.strip("/").partition("/")
    limits = {"socket_timeout": SOCKET_S, "socket_connect_timeout": SOCKET_S}
    # redis-py leaves it untyped.
    sentinel = Sentinel(hosts, sentinel_kwargs=limits, **options)  # type: ignore[no-untyped-call]
    client: Redis = sentinel.master_for(service, db=int(db or 0))
    return client


def _hosts(netloc: str) -> list[tuple[str, int]]:
    """The hosts of a URL with their ports, without user and password."""
    hosts: list[tuple[str, int]] = []
    for address in netloc.rpartition("@")[2].split(","):
        host, colon, port = address.rpartition(":")
        hosts.append((host, int(port or DEFAULT_PORT)) if colon else (address, DEFAULT_PORT))
    return hosts


class Commands:
    """Sends commands and scripts. Holds the client and the commands under way.

    A command is never cancelled. Its caller may leave, but its reply is read all the same, or it
    would be taken for the reply to the next command (redis-py #2624, #2665).
    """

    def __init__(self, client: Redis | RedisCluster, *, command_s: float = COMMAND_S) -> None:
        self.client: Any = client  # its commands are typed as sync or async, which no await takes
        self.command_s = command_s
        self._under_way: set[asyncio.Task[Any]] = set()
        self._connections = asyncio.Semaphore(CONNECTIONS)

    async def do(self, command: Coroutine[Any, Any, T], *, urgent: bool = False) -> T:
        """The reply to a command. Raises BufferAway if it fails or takes too long; a command that
        got no connection in time is not sent. An `urgent` command does not wait for one."""
        until = time.monotonic() + self.command_s
        if not urgent:
            try:
                async with asyncio.timeout(self.command_s):
                    await self._connections.acquire()
            except BaseException as error:
                command.close()
                raise BufferAway(AWAY) if isinstance(error, TimeoutError) else error from None
        task = asyncio.create_task(command)
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        if not urgent:
            task.add_done_callback(lambda _: self._connections.release())
        await asyncio.wait([task], timeout=until - time.monotonic())
        if not task.done():
            raise BufferAway(AWAY)
        try:
            return task.result()
        except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
            raise BufferAway(AWAY) from error

    async def run(
        self, script: Script, keys: Sequence[str], *arguments: Any, urgent: bool = False
    ) -> Any:
        """The reply to a script. Its text is sent if the server does not know it yet."""
        return await self.do(self._run(script, keys, arguments), urgent=urgent)

    async def _run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        try:
            return await self.client.evalsha(script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.client.eval(script.text, len(keys), *keys, *arguments)

    async def drop_idle(self) -> None:
        """Closes the connections that no command uses: after an outage they are dead, and the next
        command that took one would fail."""
        pool = getattr(self.client, "connection_pool", None)
        if pool is not None:
            with suppress(RedisError, OSError):
                await pool.disconnect(inuse_connections=False)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved here, for the caller may have left

    async def close(self) -> None:
        """Waits for the commands under way, and closes the client."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=2 * self.command_s)
        await self.client.aclose()
        pool = getattr(self.client, "connection_pool", None)
        for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
            await sentinel.aclose()
