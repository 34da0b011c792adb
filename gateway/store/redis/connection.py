"""Redis: how it is found, how long it may take, and what its failures are called here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
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
"""How long Redis may take to connect, and to answer one command."""
COMMAND_S = 1.5
"""How long a caller waits for one command, a connection included: its client is answered within two
seconds."""
CONNECTIONS = 64
"""Commands under way at the same time; more take turns."""
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
    """Raises ValueError, saying what is expected, where it is no URL of a Redis."""
    parts = urlsplit(url)
    if parts.scheme not in KINDS or not (parts.netloc or parts.path):
        raise ValueError(
            "write redis://host:6379/0, rediss://…, "
            "redis+sentinel://host:26379,host:26379/service/0 or redis+cluster://host:6379,host:6379"
        )
    if "sentinel" in parts.scheme and not parts.path.strip("/"):
        raise ValueError("name the service after the hosts: redis+sentinel://host:26379/service/0")


def connect(url: str) -> Redis | RedisCluster:
    """A client, not yet connected, whose every socket has its time limits.

    Sentinels and cluster nodes are listed with commas; user, password and TLS are for Redis itself,
    options such as `ssl_ca_certs` follow as a query. RESP3 unless the URL says `protocol=2`.
    """
    check_url(url)
    parts = urlsplit(url)
    options: dict[str, Any] = {
        "socket_timeout": SOCKET_S,
        "socket_connect_timeout": SOCKET_S,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 3,
    }
    kind, _, how = parts.scheme.partition("+")
    if not how:
        return Redis.from_url(url, **options)  # what the URL says comes first
    options |= {
        name: int(value) if value.isdigit() else value for name, value in parse_qsl(parts.query)
    }
    options |= {"username": parts.username, "password": parts.password, "ssl": kind == "rediss"}
    hosts = [(host, int(port or 6379)) for host, _, port in _hosts(parts.netloc)]
    if how == "cluster":
        nodes = [ClusterNode(host, port) for host, port in hosts]
        return RedisCluster(startup_nodes=nodes, **options)
    service, _, db = parts.path.strip("/").partition("/")
    watch = {"socket_timeout": SOCKET_S, "socket_connect_timeout": SOCKET_S}
    sentinel = Sentinel(hosts, sentinel_kwargs=watch, **options)  # type: ignore[no-untyped-call]
    found: Redis = sentinel.master_for(service, db=int(db or 0))
    return found


def _hosts(netloc: str) -> list[tuple[str, str, str]]:
    return [
        host.rpartition(":") if ":" in host else (host, "", "")
        for host in netloc.rpartition("@")[2].split(",")
    ]


class Commands:
    """Sends commands and scripts. Holds the client and what is under way.

    A command is never cancelled: whoever waited for it may leave, but its reply is read all the
    same, or it would be taken for the reply to the next one's (redis-py #2624, #2665).
    """

    def __init__(self, client: Redis | RedisCluster, *, command_s: float = COMMAND_S) -> None:
        self.client: Any = client  # its commands are typed as sync or async, which no await takes
        self.command_s = command_s
        self._under_way: set[asyncio.Task[Any]] = set()
        self._connections = asyncio.Semaphore(CONNECTIONS)

    async def do(self, command: Coroutine[Any, Any, T], *, urgent: bool = False) -> T:
        """The command's reply. Raises BufferAway where it fails or takes too long; one whose turn
        did not come is not sent. An `urgent` one takes no turn."""
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
        task.add_done_callback(self._ended)
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
        """The script's reply; it is sent along where the server does not know it yet."""
        return await self.do(self._run(script, keys, arguments), urgent=urgent)

    async def _run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        try:
            return await self.client.evalsha(script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.client.eval(script.text, len(keys), *keys, *arguments)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: whoever asked may have left

    async def close(self) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=2 * self.command_s)
        await self.client.aclose()
        pool = getattr(self.client, "connection_pool", None)
        for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
            await sentinel.aclose()
