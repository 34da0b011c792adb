"""One canvas: composed, asked about, and billed. Its caller decides what follows from the
answer."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from gateway.core.clock import Clock
from gateway.core.errors import BufferAway, GatewayError
from gateway.core.events import CallFailed, CanvasAnswered, Events
from gateway.core.layout import Layout
from gateway.core.model import Entry, Lane, Step
from gateway.core.trace_context import canvas_trace
from gateway.grid.renderer import RenderedCanvas, Renderer
from gateway.ledger.accounts import Charges, billed_charges, shares, unsure_charges
from gateway.ledger.budgets import Meters
from gateway.pipeline.budget_gate import BudgetGate
from gateway.pipeline.detection_cap import DetectionCap, doubt_reasons
from gateway.pipeline.entry_view import Routes, about_canvas, is_free, view_of
from gateway.pipeline.fallback import FallbackPolicy
from gateway.pipeline.settler import Settler, failure, retry_until_stored
from gateway.store.buffer import Commit, Settlement
from gateway.upstream.client import Abandoned, UpstreamAnswer
from gateway.upstream.registry import UpstreamRegistry
from providers.base import Picture
from providers.detection import Detection
from providers.errors import NoAnswer, PictureRefused, ProviderError

log = logging.getLogger("imgrid")


class CanvasPhoto(NamedTuple):
    """A photo on an answered canvas: the cell that it lies in, its entry, the step that the canvas
    was to it (still without its detections), and the reason to doubt its answer, else empty."""

    cell: int
    entry: Entry
    step: Step
    doubt: str

    def failure(self, error: GatewayError) -> Settlement:
        """The settlement of the photo where its answer cannot be used."""
        steps = (*self.entry.steps, replace(self.step, reason=error.code))
        return failure(replace(self.entry, steps=steps), error)


class AnsweredCanvas(NamedTuple):
    """A canvas with its answer: the photos that were drawn on it, and detections as fractions of
    the canvas. `charges` are its bill, None where it is free; `meters` is what it counts against
    budgets."""

    canvas_id: str
    lane: Lane
    layout: Layout
    detections: Sequence[Detection]
    photos: Sequence[CanvasPhoto]
    charges: Charges | None
    meters: Meters

    def commit(self, settlements: Sequence[Settlement], requeues: Sequence[Entry]) -> Commit:
        """The commit that ends the canvas and charges its bill."""
        if self.charges is None:
            return Commit(settlements=settlements, requeues=requeues)
        return Commit(
            settlements=settlements,
            requeues=requeues,
            ended_canvas=self.canvas_id,
            charges=self.charges,
            meters=self.meters,
            hold=self.canvas_id,
        )

    def failures(self, error: GatewayError) -> list[Settlement]:
        """The settlements of all photos where the answer cannot be used. Each still owes its share
        of the bill."""
        return [photo.failure(error) for photo in self.photos]


class _Call(NamedTuple):
    """A canvas on its way to the provider, and the photos that are drawn on it, by their index in
    the layout. `charges` are its bill if it is answered, None where it is free, and `meters` what
    they count against budgets. `is_noted`: the call may be billed though this process ends before
    its answer."""

    canvas_id: str
    lane: Lane
    photos: Sequence[tuple[int, Entry]]
    charges: Charges | None
    is_noted: bool
    meters: Meters = {}
    claimed_at: float = 0.0
    composed_s: float = 0.0

    @property
    def is_free(self) -> bool:
        return self.charges is None

    @property
    def entries(self) -> list[Entry]:
        return [entry for _, entry in self.photos]


@dataclass(frozen=True, slots=True)
class CanvasCall:
    """Asks providers about canvases. For a canvas of jobs only, faults are retried for
    `job_tries_s`."""

    routes: Routes
    upstream: UpstreamRegistry
    renderer: Renderer
    settler: Settler
    fallback: FallbackPolicy
    detection_cap: DetectionCap
    events: Events
    clock: Clock
    job_tries_s: float
    budget_gate: BudgetGate

    async def ask(self, lane: Lane, entries: Sequence[Entry]) -> AnsweredCanvas | None:
        """The answer about a canvas of these photos. The cell of a photo that cannot be drawn stays
        empty, and the photo fails or is asked about alone. A photo whose budget is spent fails
        before. None where no photo is left. A companion refuses a photo that cannot be drawn.

        Raises a ProviderError, or Abandoned.
        """
        canvas_id, claimed_at = uuid.uuid4().hex[:12], self.clock()
        self.upstream[lane.provider].check()
        entries = await self._within_budgets(canvas_id, lane, entries)
        answered: AnsweredCanvas | None = None
        try:
            if entries:
                answered = await self._ask(canvas_id, lane, entries, claimed_at)
        finally:
            if answered is None:  # otherwise the commit of its bill ends the hold
                with suppress(BufferAway):  # the hold ends by itself
                    await self.budget_gate.release(canvas_id)
        return answered

    async def _within_budgets(
        self, canvas_id: str, lane: Lane, entries: Sequence[Entry]
    ) -> Sequence[Entry]:
        """Those of the photos whose budgets have room for the canvas, whose price is held now; the
        others fail. With fewer photos each owes more, so budgets are looked at again."""
        if is_free(lane, entries, self.routes):
            return entries
        usd = self._usd(lane, entries)
        while entries:
            until = self._retry_until(entries)
            refusals = await retry_until_stored(
                partial(self.budget_gate.hold_canvas, canvas_id, entries, usd, until=until)
            )
            if not refusals:
                break
            failures = [failure(refusal.entry, refusal.error) for refusal in refusals]
            await self.settler.commit(Commit(settlements=failures))
            refused_ids = {refusal.entry.photo.id for refusal in refusals}
            entries = [entry for entry in entries if entry.photo.id not in refused_ids]
        return entries

    async def _ask(
        self, canvas_id: str, lane: Lane, entries: Sequence[Entry], claimed_at: float
    ) -> AnsweredCanvas | None:
        """The answer about a canvas of photos within their budgets."""
        rendered = await self._render(lane, entries)
        composed_s = self.clock() - claimed_at
        undrawn = await self._fail_undrawn(lane, entries, rendered)
        call = await self._call(canvas_id, lane, entries, rendered)
        if call is None or rendered.picture is None:
            await self._put_back(undrawn)
            return None
        call = call._replace(
            meters=self.budget_gate.meters(call.charges or {}, claimed_at),
            claimed_at=claimed_at,
            composed_s=composed_s,
        )
        try:
            answer = await self._answer(call, rendered.picture)
        except Abandoned:
            await self._put_back(undrawn)
            raise
        try:  # from here on every way out carries the bill
            await self._put_back(undrawn)
            # large photos wait for the decoder, of which others' photos foresee nothing
            decoded_s = composed_s if lane.is_large else 0.0
            self.upstream[lane.provider].record_canvas(self.clock() - claimed_at - decoded_s)
            self._tell(call, rendered, entries, answer)
            return self._answered(call, rendered.layout, answer)
        except Exception:
            log.exception("an answered canvas failed")
            await self._fail_answered(call)
            return None

    async def _call(
        self, canvas_id: str, lane: Lane, entries: Sequence[Entry], rendered: RenderedCanvas
    ) -> _Call | None:
        """The call about the photos that are drawn, without its times; None where there are none,
        or the budgets have no room for what these owe without the others."""
        drawn = [(i, entry) for i, entry in enumerate(entries) if i not in rendered.errors]
        drawn_entries = [entry for _, entry in drawn]
        if rendered.errors and not await self._affords(canvas_id, lane, drawn_entries):
            return None
        charges = self._charges(lane, drawn_entries) if drawn else None
        is_noted = charges is not None and not self.upstream.about(lane.provider).in_process
        return _Call(canvas_id, lane, drawn, charges, is_noted)

    async def _affords(self, canvas_id: str, lane: Lane, drawn: Sequence[Entry]) -> bool:
        """Whether the budgets have room for what the drawn photos owe without the others. If not,
        some fail and the others wait again: the canvas shows photos that may not be asked about."""
        affordable = await self._within_budgets(canvas_id, lane, drawn)
        if len(affordable) == len(drawn):
            return True
        await self.settler.commit(Commit(requeues=affordable))
        return False

    def _charges(self, lane: Lane, entries: Sequence[Entry]) -> Charges | None:
        """The bill of a canvas of these photos once it is answered; None where it is free."""
        if is_free(lane, entries, self.routes):
            return None
        return billed_charges(entries, self._usd(lane, entries))

    def _usd(self, lane: Lane, entries: Sequence[Entry]) -> float:
        """The price of a canvas of these photos."""
        return self.upstream.paid_usd(lane.provider, lane.task, entries[0].extras)

    async def _fail_answered(self, call: _Call) -> None:
        """Settles the photos of an answer that cannot be used, and charges its bill."""
        failures = [failure(entry, GatewayError()) for entry in call.entries]
        ended_canvas = "" if call.is_free else call.canvas_id
        charges = call.charges or {}
        await self.settler.commit(
            Commit(
                settlements=failures,
                ended_canvas=ended_canvas,
                charges=charges,
                meters=call.meters,
                hold=call.canvas_id,
            )
        )

    async def _render(self, lane: Lane, entries: Sequence[Entry]) -> RenderedCanvas:
        """The canvas of these photos, in a shape that may be smaller than the lane's."""
        photos = [entry.photo for entry in entries]
        about = about_canvas(self.upstream.about(lane.provider), lane.task, photos[0])
        borders = [view_of(entry, self.routes).cascade.border for entry in entries]
        # few photos are watched at a time: shown larger than clients' in full grids they would
        # prove nothing. Photos from coarser lanes must be shown at least as large as there.
        keeps_shape = all(entry.watched for entry in entries) or any(
            entry.lane != lane for entry in entries
        )
        return await self.renderer.render(
            photos, borders, lane.shape, about, keeps_shape=keeps_shape, owner=lane.pool
        )

    async def _fail_undrawn(
        self, lane: Lane, entries: Sequence[Entry], rendered: RenderedCanvas
    ) -> Sequence[Entry]:
        """Of the photos that could not be drawn, those to be asked about alone; the others fail.
        Raises PictureRefused for a companion, which is skipped then."""
        errors = [(entries[index], error) for index, error in rendered.errors.items()]
        if errors and is_free(lane, entries, self.routes):
            raise PictureRefused(str(errors[0][1]))
        return await self.settler.fail_undrawn(errors)

    async def _put_back(self, undrawn: Sequence[Entry]) -> None:
        """Has photos that could not be drawn wait again. Until their canvas has ended they count as
        shown on it: if it is refused or fails, they go on with the others."""
        if undrawn:
            await self.settler.commit(Commit(requeues=undrawn))

    async def _answer(self, call: _Call, picture: Picture) -> UpstreamAnswer:
        """The provider's answer. While it is awaited, failed calls are told and charged."""
        entries, sent_at = call.entries, self.clock()

        async def is_needed() -> bool:
            nonlocal sent_at
            sent_at = self.clock()
            return await self.settler.begin_call(call.canvas_id if call.is_noted else "", entries)

        async def on_failure(error: ProviderError) -> None:
            delayed = () if call.is_free else entries
            asked_s = self.clock() - sent_at
            self.events.tell(
                CallFailed(call.lane.provider, error, delayed, call.canvas_id, asked_s)
            )
            if not call.is_free:
                charges = unsure_charges(entries) if isinstance(error, NoAnswer) else {}
                await self.settler.commit(Commit(ended_canvas=call.canvas_id, charges=charges))

        trace = canvas_trace(call.canvas_id, [entry.traceparent for entry in entries])
        return await self.upstream[call.lane.provider].ask(
            replace(picture, traceparent=trace.context.traceparent) if trace else picture,
            call.lane.task,
            0.0 if call.is_free else self._retry_until(entries),
            extras=entries[0].extras,  # a photo that extras are asked of is alone
            is_needed=is_needed,
            on_failure=on_failure,
            retry=self.fallback.retry_policy(entries),
        )

    def _retry_until(self, entries: Sequence[Entry]) -> float:
        """When retries end: at the last deadline of a waiting client, or after `job_tries_s` where
        there is none."""
        deadlines = [entry.deadline_at for entry in entries if not entry.patient]
        return max(deadlines, default=self.clock() + self.job_tries_s)

    def _tell(
        self,
        call: _Call,
        rendered: RenderedCanvas,
        entries: Sequence[Entry],
        answer: UpstreamAnswer,
    ) -> None:
        """Tells the event, and counts the detections."""
        assert rendered.picture is not None
        self.events.tell(
            CanvasAnswered(
                canvas=call.canvas_id,
                lane=call.lane,
                layout=rendered.layout,
                picture=rendered.picture,
                entries=entries,
                detections=answer.detections,
                calls=answer.calls,
                composed_s=call.composed_s,
                asked_s=answer.asked_s,
                empty_cells=frozenset(rendered.errors),
                free=call.is_free,
                dropped=answer.dropped,
                usd=sum(account.paid_usd for account in (call.charges or {}).values()),
            )
        )
        about = self.upstream.about(call.lane.provider)
        self.detection_cap.record(about, call.lane.task, answer.detections, len(call.photos))

    def _steps(self, call: _Call, layout: Layout, answer: UpstreamAnswer) -> list[Step]:
        """The step that the canvas was to each photo, still without detections."""
        entries = call.entries
        return [
            Step(
                stage=entry.stage,
                provider=call.lane.provider,
                canvas=call.canvas_id,
                shape=layout.shape,
                photos=len(entries),
                calls=answer.calls,
                waited_s=call.claimed_at - entry.put_at,
                composed_s=call.composed_s,
                asked_s=answer.asked_s,
                detections=(),
                free=call.is_free,
                owes=share,
                fallback=view_of(entry, self.routes).fell_back,
            )
            for entry, share in zip(entries, shares(entries), strict=True)
        ]

    def _answered(self, call: _Call, layout: Layout, answer: UpstreamAnswer) -> AnsweredCanvas:
        """The canvas with its answer and its bill."""
        about, task = self.upstream.about(call.lane.provider), call.lane.task
        reasons = doubt_reasons(layout, task, answer.detections, about.most.get(task))
        photos = [
            CanvasPhoto(index, entry, step, reasons.get(index, ""))
            for (index, entry), step in zip(
                call.photos, self._steps(call, layout, answer), strict=True
            )
        ]
        return AnsweredCanvas(
            call.canvas_id,
            call.lane,
            layout,
            answer.detections,
            photos,
            call.charges,
            call.meters,
        )
