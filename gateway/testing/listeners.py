"""Listeners that record what they are told."""

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
    """A listener that records events."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind, in their order."""
        return [event for event in self.events if isinstance(event, kind)]


@dataclass
class BufferRecorder:
    """A buffer's listener. Holds the outcomes by photo, the errors of losses, and two flags: `work`
    is set when photos came, `news` by every call. Tests clear them."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    losses: list[GatewayError] = field(default_factory=list)
    work: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def outcome(self, photo_id: str, outcome: Outcome) -> None:
        """Records an outcome. Raises AssertionError where the photo has one already."""
        if photo_id in self.outcomes:
            raise AssertionError(f"{photo_id} has its outcome already")
        self.outcomes[photo_id] = outcome
        self.news.set()

    def changed(self) -> None:
        self.work.set()
        self.news.set()

    def lost(self, error: GatewayError) -> None:
        self.losses.append(error)
        self.news.set()

    async def until(self, condition: Callable[[], object], within_s: float = 15) -> None:
        """Returns when the condition is true, which is checked at every call and every 50 ms.
        Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while not condition():
                self.news.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await self.news.wait()
