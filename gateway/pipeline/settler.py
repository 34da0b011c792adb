"""Writes the results of canvases to the buffer: settlements, failures, and photos that wait
again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from PIL import Image

from gateway.core.clock import Clock
from gateway.core.errors import BufferAway, GatewayError, PhotoError
from gateway.core.events import Events, Settled
from gateway.core.model import BufferEntry, Entry, Outcome, Photo
from gateway.grid.compose import original_picture
from gateway.grid.renderer import Renderer
from gateway.pipeline.entry_view import Routes, about_canvas, view_of
from gateway.store.buffer import Buffer, Commit, Settlement
from gateway.upstream.registry import UpstreamRegistry
from thresholds.shape import ALONE

T = TypeVar("T")

BUFFER_PAUSE_S = 0.25
"""Between two tries to reach the buffer."""


async def retry_until_stored(command: Callable[[], Awaitable[T]]) -> T:
    """The buffer's reply to a command, which is repeated while the buffer cannot be reached: an
    answer that was paid for is not thrown away."""
    while True:
        try:
            return await command()
        except BufferAway:
            await asyncio.sleep(BUFFER_PAUSE_S)


def failure(entry: BufferEntry, error: GatewayError) -> Settlement:
    """The settlement of a photo that fails."""
    photo = entry.photo if isinstance(entry.photo, Photo) else None
    return Settlement(entry, Outcome(photo, steps=entry.steps, error=error))


@dataclass(frozen=True, slots=True)
class Settler:
    """Commits to the buffer, tells the events that follow, and has photos drawn while they
    wait."""

    routes: Routes
    upstream: UpstreamRegistry
    buffer: Buffer
    renderer: Renderer
    events: Events
    clock: Clock

    async def commit(self, commit: Commit) -> frozenset[str]:
        """Commits, however long the buffer cannot be reached. Returns the ids of the photos whose
        settlement or new wait counted: the others were lost to another replica, or withdrawn."""
        counted_ids = await retry_until_stored(partial(self.buffer.commit, commit))
        now = self.clock()
        for settlement in commit.settlements:
            entry = settlement.entry
            self.renderer.drop(entry.photo.id)
            if entry.photo.id in counted_ids:
                total_s = now - entry.accepted_at
                self.events.tell(
                    Settled(entry, settlement.outcome, total_s, settlement.is_reusable)
                )
        return counted_ids

    async def fail(self, entries: Sequence[BufferEntry], error: GatewayError) -> None:
        """Settles photos with an error."""
        if entries:
            await self.commit(Commit(settlements=[failure(entry, error) for entry in entries]))

    async def fail_undrawn(self, undrawn: Sequence[tuple[Entry, GatewayError]]) -> list[Entry]:
        """Of the photos that cannot be drawn, those to be asked about in their own bytes, as they
        wait for it; the others fail with their errors."""
        entries: list[Entry] = []
        failures: list[Settlement] = []
        for entry, error in undrawn:
            if isinstance(error, PhotoError) and self.goes_undrawn(entry):
                lane, now = entry.lane._replace(shape=ALONE), self.clock()
                entries.append(replace(entry, lane=lane, put_at=now, due_at=now))
            else:
                failures.append(failure(entry, error))
        if failures:
            await self.commit(Commit(settlements=failures))
        return entries

    def goes_undrawn(self, entry: Entry) -> bool:
        """Whether the photo, if it cannot be drawn for its grid, can still be asked about alone:
        its provider takes its own bytes, and decides."""
        about = about_canvas(self.upstream.about(entry.lane.provider), entry.lane.task, entry.photo)
        return entry.lane.shape != ALONE and original_picture(entry.photo, about) is not None

    async def commit_and_draw(self, commit: Commit) -> None:
        """Commits, and has the photos that wait again drawn meanwhile. One that cannot be drawn
        fails with its next canvas."""
        counted_ids = await self.commit(commit)
        for entry in commit.requeues:
            if isinstance(entry, Entry) and entry.photo.id in counted_ids:
                self.draw_ahead(entry)

    async def withdraw(self, photo_ids: Sequence[str]) -> None:
        """Takes photos out of the buffer. Their tiles are dropped after that: a photo that waited
        again until then was drawn again."""
        await self.commit(Commit(withdrawn_ids=photo_ids))
        self.drop_tiles(photo_ids)

    async def begin_call(self, canvas_id: str, entries: Sequence[Entry]) -> bool:
        """Notes in the buffer that the canvas is asked about now. Returns whether any of its photos
        is still needed. For a call that nobody is billed for later the id is empty, and nothing is
        noted."""
        needed = await retry_until_stored(partial(self.buffer.ask, canvas_id, entries))
        return bool(needed)

    def draw_ahead(self, entry: Entry) -> Future[Image.Image] | None:
        """Begins to draw a photo while it waits; None where there is nothing to draw."""
        lane, photo = entry.lane, entry.photo
        if lane.is_lookup:
            return None
        about = about_canvas(self.upstream.about(lane.provider), lane.task, photo)
        border = view_of(entry, self.routes).cascade.border
        return self.renderer.start(photo, lane.shape, about, border, owner=entry.tenant)

    def drop_tiles(self, photo_ids: Iterable[str]) -> None:
        """Frees what was drawn of the photos."""
        for photo_id in photo_ids:
            self.renderer.drop(photo_id)
