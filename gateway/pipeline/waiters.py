"""The clients that wait in this process, from the moment their photos are put into the buffer until
each has its outcome, its deadline passes, or the client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future

from PIL import Image

from gateway.core.clock import Clock
from gateway.core.errors import BadFormat, BufferAway, Busy, DeadlineExceeded, GatewayError
from gateway.core.events import CallFailed, Event, Events, PhotoAbandoned, Settled
from gateway.core.model import Entry, Outcome
from gateway.pipeline.background import BackgroundTasks
from gateway.pipeline.settler import Settler
from gateway.store.buffer import Buffer
from gateway.upstream.errors import translate


class Waiters:
    """Holds a future for each photo that a client waits for here, and the last error of its calls.

    It listens to failed calls, so that a late photo fails with their error.
    """

    def __init__(
        self,
        buffer: Buffer,
        settler: Settler,
        events: Events,
        *,
        clock: Clock,
        background: BackgroundTasks,
    ) -> None:
        self._buffer = buffer
        self._settler = settler
        self._events = events
        self._clock = clock
        self._background = background
        self._futures: dict[str, asyncio.Future[Outcome]] = {}
        self._last_errors: dict[str, GatewayError] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, CallFailed):
            for entry in event.entries:
                if entry.photo.id in self._futures:
                    self._last_errors[entry.photo.id] = translate(event.error)

    @property
    def pending(self) -> list[asyncio.Future[Outcome]]:
        """The futures of all photos that a client waits for."""
        return list(self._futures.values())

    async def answer(self, entries: Sequence[Entry]) -> list[Outcome]:
        """Puts the photos into the buffer and waits: the outcome of each, in order.

        Raises Busy or BufferAway where the buffer takes none of them. When this is cancelled, the
        photos leave the buffer.
        """
        self._futures.update((entry.photo.id, asyncio.Future()) for entry in entries)
        putting = asyncio.ensure_future(self._buffer.put(entries))
        try:
            await asyncio.shield(putting)
            ended_ids = [
                entry.photo.id for entry in entries if self._futures[entry.photo.id].done()
            ]
            if ended_ids:  # the buffer was lost and found again while they were put
                self._background.start(self._settler.withdraw(ended_ids))
            for entry in entries:
                self._draw(entry)
            return await asyncio.gather(*map(self._outcome, entries))
        finally:
            self._leave([entry for entry in entries if entry.photo.id in self._futures], putting)

    def deliver(self, photo_id: str, outcome: Outcome) -> None:
        """Gives a photo's outcome to its client, if the client waits here."""
        future = self._futures.get(photo_id)
        if future is not None and not future.done():
            future.set_result(outcome)

    def fail_all(self, error: GatewayError) -> None:
        """Ends all waiting because the buffer was lost. If it still holds the photos when it is
        back, they are withdrawn, so that nobody pays for them."""
        waiting_ids = [photo_id for photo_id, future in self._futures.items() if not future.done()]
        for photo_id in waiting_ids:
            self._futures[photo_id].set_result(Outcome(None, error=error))
        if waiting_ids:
            self._background.start(self._settler.withdraw(waiting_ids))

    def _draw(self, entry: Entry) -> None:
        """Has a photo drawn while it waits. One that cannot be decoded fails before it takes a
        cell, unless it is still to be asked about in its own bytes."""
        image = self._settler.draw_ahead(entry)
        if image is None or self._settler.goes_undrawn(entry):
            return
        loop = asyncio.get_running_loop()

        def on_drawn(image: Future[Image.Image]) -> None:  # in the thread that drew
            error = None if image.cancelled() else image.exception()
            if isinstance(error, BadFormat) and not loop.is_closed():
                loop.call_soon_threadsafe(self._fail, entry, error)

        image.add_done_callback(on_drawn)

    def _fail(self, entry: Entry, error: GatewayError) -> None:
        self._background.start(self._settler.fail([entry], error))

    async def _outcome(self, entry: Entry) -> Outcome:
        """The photo's outcome, or its last error at the deadline."""
        future = self._futures[entry.photo.id]
        await asyncio.wait([future], timeout=entry.deadline_at - self._clock())
        if not future.done():
            return self._late_outcome(entry)
        self._forget(entry)
        outcome = future.result()
        if outcome.photo is None:  # a shared buffer returns outcomes without photos
            return Outcome(entry.photo, outcome.detections, outcome.steps, outcome.error)
        return outcome

    def _late_outcome(self, entry: Entry) -> Outcome:
        late = DeadlineExceeded("The photo's deadline passed before the vision service answered.")
        outcome = Outcome(entry.photo, error=self._last_errors.get(entry.photo.id, late))
        self._forget(entry)
        self._background.start(self._settler.withdraw([entry.photo.id]))
        self._events.tell(Settled(entry, outcome, self._clock() - entry.accepted_at))
        return outcome

    def _leave(self, entries: Sequence[Entry], putting: asyncio.Future[None]) -> None:
        """The client went away, or the buffer took no photos: removes them here and there."""
        was_put = putting.done() and not putting.cancelled() and putting.exception() is None
        for entry in entries:
            self._forget(entry)
            if was_put:
                self._events.tell(PhotoAbandoned(entry))
        if entries:
            photo_ids = [entry.photo.id for entry in entries]
            self._background.start(self._withdraw(photo_ids, putting))

    async def _withdraw(self, photo_ids: Sequence[str], putting: asyncio.Future[None]) -> None:
        """Withdraws photos once they have been put. After Busy and BufferAway the buffer itself
        removes the photos that were put."""
        await asyncio.wait([putting])
        if not isinstance(putting.exception(), Busy | BufferAway):
            await self._settler.withdraw(photo_ids)

    def _forget(self, entry: Entry) -> None:
        """Drops all that is held here of a photo. A canvas that shows it goes on without it."""
        self._futures.pop(entry.photo.id, None)
        self._last_errors.pop(entry.photo.id, None)
        self._settler.drop_tiles([entry.photo.id])
