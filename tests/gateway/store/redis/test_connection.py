"""A URL leads to one Redis, with or without TLS, to Sentinels or to a cluster; an invalid one is
refused."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.core.clock import steady
from gateway.core.errors import BufferAway
from gateway.core.exchange import Reply
from gateway.core.model import Entry, Lane, Outcome, Photo, Size
from gateway.store.buffer import Capacity, Commit, Settlement
from gateway.store.redis.buffer import RedisBuffer
from gateway.store.redis.connection import Commands, check_url, connect
from gateway.store.redis.replies import RedisReplies
from gateway.testing.listeners import BufferRecorder
from gateway.testing.redis_server import RedisServer, free_port
from providers.detection import Task
from tests.support.waiting import Stopwatch, block_until
from thresholds.shape import Shape

pytestmark = pytest.mark.redis

LANE = Lane("one", Task.OBJECTS, "us", Shape(2, 2))


def entry(name: str) -> Entry:
    now = time.time()
    photo = Photo(name, b"12345", "JPEG", Size(4, 3))
    return Entry(photo, "route", "ann", LANE, now, now, now, now + 60)


async def assert_serves(url: str) -> None:
    """Checks that a buffer at that URL takes photos, yields them and reports their outcomes, and
    that replies are kept there."""
    commands, recorder = Commands(connect(url)), BufferRecorder()
    try:
        buffer = RedisBuffer(commands, Capacity(), clock=steady())
        async with buffer.serving(recorder), asyncio.timeout(15):
            while True:
                try:
                    await buffer.put([entry("a"), entry("b")])
                    break
                except BufferAway:  # a cluster or a Sentinel takes a moment to know itself
                    await asyncio.sleep(0.2)
            claimed = await buffer.claim(LANE, 1e12)
            assert [each.photo.data for each in claimed] == [b"12345"] * 2
            await buffer.commit(
                Commit(settlements=[Settlement(each, Outcome(None)) for each in claimed])
            )
            await recorder.until(lambda: recorder.outcomes.keys() == {"a", "b"})
            assert (await buffer.occupancy()).photos == 0
            replies, reply = RedisReplies(commands, keep_s=60), Reply(200, b"reply", {})
            assert await replies.begin(["x", "y"], "run") in (True, reply)
            await replies.end(["x", "y"], "run", reply)
            assert await replies.begin(["y"], "other") == reply
    finally:
        await commands.close()


@contextmanager
def started(folder: Path, *options: str) -> Iterator[RedisServer]:
    server = RedisServer(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def test_redis_url_is_one_server(redis_server: RedisServer) -> None:
    """`redis://` is one server."""
    await assert_serves(redis_server.url)


async def test_the_protocol_is_resp3_unless_the_url_says_resp2(redis_server: RedisServer) -> None:
    """The protocol is RESP3 unless the URL asks for RESP2."""
    assert connect(redis_server.url).connection_pool.connection_kwargs["protocol"] == 3
    await assert_serves(f"{redis_server.url}?protocol=2")


async def test_the_url_holds_user_and_password(tmp_path: Path) -> None:
    """The URL holds the user and the password."""
    with started(tmp_path, "--requirepass", "secret") as server:
        await assert_serves(f"redis://:secret@127.0.0.1:{server.port}/1")


async def test_unix_url_is_a_local_socket(tmp_path: Path) -> None:
    """`unix://` is a socket on this machine."""
    path = tmp_path / "redis.sock"
    with started(tmp_path, "--unixsocket", str(path)):
        await assert_serves(f"unix://{path}")


async def test_rediss_url_verifies_the_certificate(tmp_path: Path) -> None:
    """`rediss://` is TLS, and the client verifies the server's certificate."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            key,
            "-out",
            certificate,
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ],
        check=True,
        capture_output=True,
    )
    port = free_port()
    options = [
        "--tls-port",
        str(port),
        "--tls-cert-file",
        str(certificate),
        "--tls-key-file",
        str(key),
        "--tls-auth-clients",
        "no",
        "--tls-ca-cert-file",
        str(certificate),
    ]
    with started(tmp_path, *options):
        await assert_serves(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}")
        commands = Commands(connect(f"rediss://127.0.0.1:{port}/0"))
        with pytest.raises(BufferAway):
            await commands.do(commands.client.ping())
        await commands.close()


class DeafClient:
    """A client whose subscriptions take the first cancellation for a timeout, as redis-py can."""

    def __init__(self, client: Any) -> None:
        self._real = client
        self.cancelled = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    @asynccontextmanager
    async def pubsub(self) -> AsyncIterator[DeafClient]:
        yield self

    async def subscribe(self, *channels: str) -> None:
        pass

    async def get_message(self, **options: Any) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled += 1
            if self.cancelled > 1:
                raise


async def test_a_buffer_stops_despite_a_swallowed_cancellation(redis_server: RedisServer) -> None:
    """A buffer stops although its client took the first cancellation for a timeout."""
    client = DeafClient(connect(redis_server.url))
    commands = Commands(client)
    async with (
        asyncio.timeout(15),
        RedisBuffer(commands, Capacity(), clock=steady()).serving(BufferRecorder()),
    ):
        await asyncio.sleep(0.1)
    assert client.cancelled == 2
    await commands.close()


async def test_sentinels_name_the_leading_server(tmp_path: Path) -> None:
    """`redis+sentinel://` asks Sentinels for the leading server of the service."""
    for name in ("leader", "sentinel"):
        (tmp_path / name).mkdir()
    with started(tmp_path / "leader") as leader:
        config = tmp_path / "sentinel" / "sentinel.conf"
        port = free_port()
        config.write_text(f"port {port}\nsentinel monitor main 127.0.0.1 {leader.port} 1\n")
        sentinel = subprocess.Popen(
            [shutil.which("redis-server") or "valkey-server", config, "--sentinel"],
            stdout=subprocess.DEVNULL,
        )
        try:
            await assert_serves(f"redis+sentinel://127.0.0.1:{port},127.0.0.1:1/main/0")
        finally:
            sentinel.kill()
            sentinel.wait()


async def test_a_cluster_keeps_script_keys_in_one_slot(tmp_path: Path) -> None:
    """`redis+cluster://` is a cluster: keys of scripts are in one slot, photos' bytes in any
    slot."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    buses = free_port(), free_port()
    options = ("--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1", "--cluster-port")
    with (
        started(tmp_path / "one", *options, str(buses[0])) as one,
        started(tmp_path / "two", *options, str(buses[1])) as two,
    ):
        join_cluster(one, two, buses[1])
        await assert_serves(f"redis+cluster://127.0.0.1:{one.port},127.0.0.1:{two.port}")


def join_cluster(one: RedisServer, two: RedisServer, bus: int) -> None:
    """Joins two nodes to a cluster, each with half of the slots."""

    def tell(server: RedisServer, *words: object) -> str:
        program = ["redis-cli", "-p", str(server.port), *map(str, words)]
        return subprocess.run(program, check=True, capture_output=True, text=True).stdout

    tell(one, "cluster", "addslotsrange", 0, 8191)
    tell(two, "cluster", "addslotsrange", 8192, 16383)
    tell(one, "cluster", "meet", "127.0.0.1", two.port, bus)
    for each in (one, two):
        block_until(lambda each=each: "cluster_state:ok" in tell(each, "cluster", "info"))


@pytest.mark.parametrize(
    "url", ["http://host", "redis:", "host:6379", "redis+sentinel://host:26379", ""]
)
def test_a_wrong_url_is_refused_with_the_valid_forms(url: str) -> None:
    """The message about an invalid Redis URL lists the valid forms."""
    with pytest.raises(ValueError, match="redis"):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    ["redis://127.0.0.1:1/0", "redis+cluster://127.0.0.1:1", "redis+sentinel://127.0.0.1:1/m"],
)
async def test_a_command_without_server_fails_in_time(url: str) -> None:
    """A command fails in time when no server answers."""
    commands = Commands(connect(url))
    with Stopwatch() as watch, pytest.raises(BufferAway):
        await RedisBuffer(commands, Capacity(), clock=steady()).put([entry("a")])
    assert watch.elapsed_s < 2
    await commands.close()
