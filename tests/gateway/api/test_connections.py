"""Connections of strangers that say nothing or half of it: they are closed in time, and keep nobody
out that has a key."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.api.connection_register import ConnectionLimits, ConnectionRegister
from gateway.core.events import ConnectionDropped, ConnectionsExhausted, Event, Events
from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded
from tests.support.configs import SHAPES
from tests.support.waiting import PATIENCE_S, block_until

PHOTO = encoded(drawn((200, 200), Block("red", 40, 40, 160, 160)))
TENANTS = [{"name": "shop", "keys": [{"dialect": "native", "key": "key-shop"}]}]
KEY = {"X-Api-Key": "key-shop"}
HALF_HEAD = b"POST /v1/detect HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Api"
WHOLE_HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
SHORT = {"header_timeout_ms": 200}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """`serve(limits=..., **config)`: the address of a gateway that finds coloured shapes."""
    with ExitStack() as stack:

        def start(**config: Any) -> str:
            content = {
                **SHAPES,
                **config,
            }
            return stack.enter_context(serving(parts_of(tmp_path, content)))

        yield start


def connect(address: str, data: bytes = b"") -> socket.socket:
    """A connection on which these bytes were sent."""
    parts = urlsplit(address)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S)
    connection.sendall(data)
    return connection


def is_closed(connection: socket.socket) -> bool:
    """Waits until the other side has closed the connection; False where it stays open."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def samples(address: str, name: str) -> dict[str, float]:
    """The samples of a metric with one label, by its value."""
    text = httpx.get(f"{address}/metrics").text
    return {
        next(iter(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


class TestTimeLimit:
    @pytest.mark.parametrize("data", [b"", HALF_HEAD], ids=["silent", "half a head"])
    def test_a_connection_without_a_whole_head_is_closed(
        self, serve: Callable[..., str], data: bytes
    ) -> None:
        """A connection that sends no whole head of a request in time is closed, and counted."""
        address = serve(limits=SHORT)
        with connect(address, data) as connection:
            assert is_closed(connection)
        assert samples(address, "imgrid_connections_dropped_total") == {"slow_header": 1}

    def test_half_a_head_after_an_answer_is_closed(self, serve: Callable[..., str]) -> None:
        """The time limit holds for every request of a connection."""
        with connect(serve(limits=SHORT), WHOLE_HEAD) as connection:
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            connection.sendall(HALF_HEAD)
            assert is_closed(connection)

    def test_a_head_that_drips_is_closed(self, serve: Callable[..., str]) -> None:
        """Single bytes do not prolong the time."""
        with connect(serve(limits=SHORT)) as connection, suppress(ConnectionError):
            connection.settimeout(0.02)
            for byte in HALF_HEAD * 100:
                connection.sendall(bytes([byte]))
                with suppress(TimeoutError):
                    if not connection.recv(1):
                        return
            pytest.fail("it stayed open")

    def test_a_kept_connection_stays(self, serve: Callable[..., str]) -> None:
        """A connection that is silent between requests stays open for longer than a head may
        take."""
        with connect(serve(limits=SHORT), WHOLE_HEAD) as connection:
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            connection.settimeout(1)
            assert not is_closed(connection)

    def test_a_body_that_is_refused_early_may_still_end(self, serve: Callable[..., str]) -> None:
        """A request that is answered before its body has ended may send the rest, and the
        connection serves on."""
        head = b"POST /v1/detect HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n"
        with connect(serve(tenants=TENANTS, limits=SHORT), head + b"12345") as connection:
            assert connection.recv(65536).startswith(b"HTTP/1.1 401")
            connection.sendall(b"67890" + WHOLE_HEAD)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")


class TestPlaces:
    def test_strangers_do_not_keep_out_clients_with_a_key(self, serve: Callable[..., str]) -> None:
        """However many silent connections strangers open, a client with a key gets in and keeps
        its connection."""
        address = serve(tenants=TENANTS, limits={"max_connections": 8})
        with ExitStack() as stack:
            client = stack.enter_context(httpx.Client(base_url=address, headers=KEY, timeout=30))
            assert client.post("/v1/detect", content=PHOTO).status_code == 200
            for _ in range(40):
                stack.enter_context(connect(address, HALF_HEAD))
            assert client.get("/v1/usage").json()["photos"] == 1
            with httpx.Client(base_url=address, headers=KEY, timeout=30) as another:
                assert another.post("/v1/detect", content=PHOTO).status_code == 200
            assert samples(address, "imgrid_connections_dropped_total")["evicted"] >= 34
            assert samples(address, "imgrid_connections_exhausted_total") == {"connections": 1}
            counts = samples(address, "imgrid_connections")
            assert counts["known"] >= 1
            assert counts["stranger"] <= 6

    def test_closed_connections_give_their_places_back(self, serve: Callable[..., str]) -> None:
        """Connections that have ended count no more."""
        address = serve(limits={"max_connections": 8})
        for _ in range(40):
            connect(address, WHOLE_HEAD).close()
        # the one that asks
        block_until(lambda: sum(samples(address, "imgrid_connections").values()) == 1)
        assert "refused" not in samples(address, "imgrid_connections_dropped_total")


class FakeConnection:
    """A connection of a register. Holds whether it was closed."""

    def __init__(self) -> None:
        self.is_dropped = False

    def drop(self) -> None:
        self.is_dropped = True

    def identify(self) -> None:
        pass


class TestRegister:
    """Without a server: 8 places, of which strangers get 6."""

    @pytest.fixture
    def told(self) -> list[Event]:
        return []

    @pytest.fixture
    def register(self, told: list[Event]) -> ConnectionRegister:
        return ConnectionRegister(ConnectionLimits(8), Events([told.append]), clock=lambda: 0.0)

    def entered(self, register: ConnectionRegister, count: int) -> list[FakeConnection]:
        connections = [FakeConnection() for _ in range(count)]
        assert all(register.enter(connection) for connection in connections)
        return connections

    def test_the_longest_silent_stranger_makes_room(
        self, register: ConnectionRegister, told: list[Event]
    ) -> None:
        """The stranger that has been silent longest makes room, and it is told."""
        first, second, *_ = self.entered(register, 6)
        register.begin_request(first)
        register.end_request(first)
        self.entered(register, 1)
        assert (first.is_dropped, second.is_dropped) == (False, True)
        assert told == [ConnectionsExhausted("connections", 8), ConnectionDropped("evicted")]

    def test_a_stranger_whose_request_is_under_way_goes_last(
        self, register: ConnectionRegister
    ) -> None:
        """A stranger's request under way is ended only where no stranger is silent."""
        first, *others = self.entered(register, 6)
        for connection in (first, *others[:4]):
            register.begin_request(connection)
        (new,) = self.entered(register, 1)
        register.begin_request(new)
        assert (first.is_dropped, others[4].is_dropped) == (False, True)
        self.entered(register, 1)
        assert first.is_dropped

    def test_a_client_with_a_key_keeps_its_place(self, register: ConnectionRegister) -> None:
        """Clients with keys are never closed for others, and have places of their own."""
        known = self.entered(register, 5)
        for connection in known:
            register.identify(connection)
        self.entered(register, 20)
        assert register.counts() == {"stranger": 3, "known": 5}
        assert not any(connection.is_dropped for connection in known)

    def test_a_register_full_of_clients_refuses(
        self, register: ConnectionRegister, told: list[Event]
    ) -> None:
        """Where clients with keys have taken all places, a new connection is refused."""
        for connection in self.entered(register, 6):
            register.identify(connection)
        for connection in self.entered(register, 2):
            register.identify(connection)
        assert not register.enter(FakeConnection())
        assert told[-1] == ConnectionDropped("refused")

    def test_few_descriptors_are_few_places(self, register: ConnectionRegister) -> None:
        """The HTTP port takes half of the process's descriptors at most."""
        register.fit(6)
        assert register.max_connections == 3
        register.fit(100_000)
        assert register.max_connections == 8

    def test_exhaustion_is_told_once_a_minute(self, told: list[Event]) -> None:
        """Exhaustion is told once a minute, for each resource."""
        times = iter([0.0, 1.0, 59.0, 60.0])
        register = ConnectionRegister(
            ConnectionLimits(), Events([told.append]), clock=lambda: next(times)
        )
        for _ in range(4):
            register.tell_exhausted("descriptors", 1024)
        assert told == [ConnectionsExhausted("descriptors", 1024)] * 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of descriptors")
def test_the_limit_of_descriptors_is_raised_and_its_end_is_seen() -> None:
    """The gateway raises its own limit of open files as far as it may, and sees when all are
    open."""
    program = """
import os, resource
from gateway.api.descriptors import are_descriptors_exhausted, raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
assert raise_descriptor_limit() == 128 == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
assert not are_descriptors_exhausted()
opened = []
try:
    while True:
        opened.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    assert are_descriptors_exhausted()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE_S)
