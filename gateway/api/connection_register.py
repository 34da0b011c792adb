"""Which connections of the HTTP port stay open when there are too many, and which lose their
place."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from starlette.requests import Request

from gateway.core.events import ConnectionDropped, ConnectionsExhausted, Events

CONNECTION = "connection"
"""The connection's name in the state of a request's scope."""
RESERVED_SHARE = 0.25
"""The share of the places that only clients get that have shown a key."""
TELL_EVERY_S = 60.0
"""How often it is told that places or descriptors are exhausted."""

DropReason = Literal["slow_header", "evicted", "refused"]


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Connections at a time, the time for a request's head, and the time for the rest of a body
    whose request was answered before its end, both in seconds."""

    max_connections: int = 4096
    header_s: float = 10.0
    body_s: float = 30.0


class Connection(Protocol):
    """One open connection."""

    def drop(self) -> None:
        """Closes it at once."""
        ...

    def identify(self) -> None:
        """Notes that its client has shown a valid key."""
        ...


def identify(request: Request) -> None:
    """Notes that the client of the request's connection has shown a valid key."""
    connection: Connection | None = request.scope.get("state", {}).get(CONNECTION)
    if connection is not None:
        connection.identify()


class ConnectionRegister:
    """The open connections. A stranger's is one on which no key was shown yet.

    Strangers get a share of the places. Where that is used up, the stranger that has been silent
    longest makes room for a new one, or else the one whose request has been under way longest. So
    a client with a key gets its connection, and keeps it.

    Holds the connections: of strangers that are silent and whose request is under way, each the
    oldest first, and of clients that have shown a key.
    """

    def __init__(
        self, limits: ConnectionLimits, events: Events, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits = limits
        self.max_connections = limits.max_connections
        self._events = events
        self._clock = clock
        self._silent: dict[Connection, None] = {}
        self._asking: dict[Connection, None] = {}
        self._known: set[Connection] = set()
        self._told_at: dict[str, float] = {}

    def fit(self, max_descriptors: int) -> None:
        """Lowers the number of places to half of what the process can open. The gRPC port gets a
        quarter of it, and everything else as much."""
        self.max_connections = min(self.limits.max_connections, max_descriptors // 2)

    def counts(self) -> Mapping[str, int]:
        """The open connections, of strangers and of clients that have shown a key."""
        strangers = len(self._silent) + len(self._asking)
        return {"stranger": strangers, "known": len(self._known)}

    def enter(self, connection: Connection) -> bool:
        """Whether a new connection has a place. It may take the place of another one."""
        if not self._has_room():
            self.tell_exhausted("connections", self.max_connections)
            oldest = next(iter([*self._silent, *self._asking][:1]), None)
            if oldest is None:
                self.tell_dropped("refused")
                return False
            self.leave(oldest)
            self.tell_dropped("evicted")
            oldest.drop()
        self._silent[connection] = None
        return True

    def begin_request(self, connection: Connection) -> None:
        """A request's head is complete."""
        if connection in self._silent:
            del self._silent[connection]
            self._asking[connection] = None

    def end_request(self, connection: Connection) -> None:
        """The request is answered."""
        if connection in self._asking:
            del self._asking[connection]
            self._silent[connection] = None

    def identify(self, connection: Connection) -> None:
        """The connection's client has shown a valid key."""
        if connection in self._silent or connection in self._asking:
            self.leave(connection)
            self._known.add(connection)

    def leave(self, connection: Connection) -> None:
        """The connection is closed, or will be. May be called again."""
        self._silent.pop(connection, None)
        self._asking.pop(connection, None)
        self._known.discard(connection)

    def tell_dropped(self, reason: DropReason) -> None:
        """Tells that a connection was closed from here."""
        self._events.tell(ConnectionDropped(reason))

    def tell_exhausted(self, resource: Literal["connections", "descriptors"], limit: int) -> None:
        """Tells once a minute that all places or descriptors are taken."""
        now = self._clock()
        if now - self._told_at.get(resource, -TELL_EVERY_S) >= TELL_EVERY_S:
            self._told_at[resource] = now
            self._events.tell(ConnectionsExhausted(resource, limit))

    def _has_room(self) -> bool:
        strangers = len(self._silent) + len(self._asking)
        max_strangers = max(int(self.max_connections * (1 - RESERVED_SHARE)), 1)
        is_below = strangers + len(self._known) < self.max_connections
        return is_below and strangers < max_strangers
