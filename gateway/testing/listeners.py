"""Listeners that keep what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.core.errors import GatewayError
from gateway.core.events import Event
from gateway.core.model import Outcome

E = TypeVar("E", bound=Event)


@dataclass
class EventRecorder:
    """A listener that keeps the events it is told."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind, in the order they were told."""
        return [event for event in self.events if isinstance(event, kind)]


@dataclass
class BufferRecorder:
    """Listens to a buffer, and keeps what it is told: outcomes by photo, each once, and losses."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    losses: list[GatewayError] = field(default_factory=list)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def outcome(self, photo_id: str, outcome: Outcome) -> None:
        if photo_id in self.outcomes:
            raise AssertionError(f"{photo_id} has its outcome already")
        self.outcomes[photo_id] = outcome
        self.told.set()

    def changed(self) -> None:
        self.woken.set()
        self.told.set()

    def lost(self, error: GatewayError) -> None:
        self.losses.append(error)
        self.told.set()

    async def until(self, true: Callable[[], object], within_s: float = 15) -> None:
        """Returns when it is true; looks whenever something is told, and now and then. Raises
        TimeoutError."""
        async with asyncio.timeout(within_s):
            while not true():
                self.told.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await self.told.wait()
