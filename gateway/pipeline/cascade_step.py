"""One step of a cascade: asks about a canvas, un-grids the answer and judges each photo, which is
then settled or waits for a later stage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError
from gateway.core.events import StageSkipped
from gateway.core.model import Entry, Lane, Outcome, Step
from gateway.grid.ungrid import ungrid
from gateway.pipeline.canvas_call import AnsweredCanvas, CanvasCall
from gateway.pipeline.entry_view import (
    EntryView,
    Routes,
    evidence_of,
    is_free,
    view_of,
)
from gateway.pipeline.lane_chooser import LaneChooser
from gateway.pipeline.recovery import Recovery
from gateway.pipeline.settler import Settler
from gateway.pipeline.wait_forecast import WaitForecast
from gateway.store.buffer import Commit, Settlement
from gateway.upstream.client import Abandoned
from gateway.upstream.errors import translate
from gateway.upstream.registry import UpstreamRegistry
from providers.errors import PictureRefused, ProviderError
from thresholds.cascade import Cascade
from thresholds.rules.base import Verdict
from thresholds.shape import ALONE

log = logging.getLogger("imgrid")

LATER_STAGE_SHARE = 0.5
"""Photos are asked about again while the wait foreseen is within this share of the time they have
left, so that second questions never fill the queue in which first ones wait."""


@dataclass(frozen=True, slots=True)
class CascadeStep:
    """Takes claimed photos one stage further."""

    routes: Routes
    upstream: UpstreamRegistry
    canvas_call: CanvasCall
    lanes: LaneChooser
    settler: Settler
    recovery: Recovery
    clock: Clock
    forecast: WaitForecast

    async def run(self, lane: Lane, entries: Sequence[Entry]) -> None:
        """One canvas of claimed photos, to its end. Raises nothing: what goes wrong becomes the
        photos' outcome."""
        claimed_ids = [entry.photo.id for entry in entries]
        try:
            entries = await self.recovery.drop_stale(lane, entries)
            if entries:
                await self._ask(lane, entries)
        except Abandoned:  # withdrawn, or lost to another replica
            self.settler.drop_tiles(claimed_ids)
        except ProviderError as error:
            if is_free(lane, entries, self.routes) and all(map(self._has_next_stage, entries)):
                await self._skip_companion(entries)
            else:
                await self.recovery.give_up(entries, error)
        except Exception as error:
            if not isinstance(error, GatewayError):
                log.exception("a canvas failed")
            await self.settler.fail(entries, translate(error))

    async def _ask(self, lane: Lane, entries: Sequence[Entry]) -> None:
        """Asks about one canvas and judges its photos. A canvas that is refused is split."""
        try:
            answered = await self.canvas_call.ask(lane, entries)
        except PictureRefused as error:
            if is_free(lane, entries, self.routes):
                raise
            await self._split(lane, entries, error)
            return
        if answered is not None:
            await self._judge(answered)

    async def _split(self, lane: Lane, entries: Sequence[Entry], error: PictureRefused) -> None:
        """After a canvas was refused: asks about its halves, until the culprit is alone."""
        if len(entries) == 1:
            await self.recovery.refuse(entries[0], error)
            return
        half = len(entries) // 2
        await asyncio.gather(self.run(lane, entries[:half]), self.run(lane, entries[half:]))

    async def _skip_companion(self, entries: Sequence[Entry]) -> None:
        """Sends photos to the next stage without the companion's answer, which was only to help."""
        requeues = [self.lanes.at_stage(entry, entry.stage + 1, self.clock()) for entry in entries]
        await self.settler.commit_and_draw(Commit(requeues=requeues))

    def _has_next_stage(self, entry: Entry) -> bool:
        return entry.stage + 1 < len(view_of(entry, self.routes).cascade.stages)

    async def _judge(self, answered: AnsweredCanvas) -> None:
        """Gives each photo its detections, and settles it or puts it to a later stage. Photos fail
        whose answer cannot be judged; the bill of the canvas is charged in any case."""
        try:
            settlements, requeues = await self._conclude_all(answered)
        except Exception:
            log.exception("an answered canvas failed")
            settlements, requeues = answered.failures(GatewayError()), []
        try:
            await self.settler.commit_and_draw(answered.commit(settlements, requeues))
        finally:
            self.forecast.forget(photo.entry for photo in answered.photos)

    async def _conclude_all(self, answered: AnsweredCanvas) -> tuple[list[Settlement], list[Entry]]:
        """The settlements of a canvas, and the entries of photos that wait again."""
        cascades: list[Cascade] = []
        for photo in answered.photos:
            cascades.append(view_of(photo.entry, self.routes).cascade)
        crossings = {cascade.crossing for cascade in cascades}
        by_crossing = {
            crossing: ungrid(answered.layout, answered.detections, crossing=crossing)
            for crossing in crossings
        }
        settlements: list[Settlement] = []
        requeues: list[Entry] = []
        for photo, cascade in zip(answered.photos, cascades, strict=True):
            await asyncio.sleep(0)  # a verdict may take a millisecond, and others wait for the loop
            detections = tuple(by_crossing[cascade.crossing][photo.cell])
            step = replace(photo.step, detections=detections)
            try:
                result = self._conclude(photo.entry, step, photo.doubt)
            except Exception:
                log.exception("the answer of photo %s cannot be judged", photo.entry.photo.id)
                result = photo.failure(GatewayError())
            if isinstance(result, Settlement):
                settlements.append(result)
            else:
                requeues.append(result)
        return settlements, requeues

    def _conclude(self, entry: Entry, step: Step, doubt: str) -> Settlement | Entry:
        """The photo's settlement, or its entry as it waits for a later stage.

        A photo with a doubtful answer waits to be asked about alone. A fallback's answer is the
        last, because rules know only the answers of their own provider.
        """
        view = view_of(entry, self.routes)
        cascade = view.cascade
        is_reusable = False
        if step.fallback:
            stage = entry.stage
            verdict, detections = Verdict(0, "fallback"), step.detections
        else:
            stage = cascade.reached(entry.stage, step.shape.cells)
            steps = (*entry.steps, replace(step, stage=stage))
            verdict, fused = cascade.conclude(stage, evidence_of(entry.photo, cascade, steps))
            answered_view = view_of(replace(entry, steps=steps), self.routes)
            is_reusable = not doubt and _is_complete(answered_view, stage, verdict)
            verdict, detections = self._bounded(verdict, answered_view, stage), tuple(fused)
        steps = (*entry.steps, replace(step, stage=stage, reason=doubt or verdict.reason))
        now = self.clock()
        if doubt:
            lane = entry.lane._replace(shape=ALONE)
            alone = self.lanes.waiting(replace(entry, lane=lane, stage=stage, steps=steps), now)
            if self._has_time(alone):
                return alone
        if verdict.accepted:
            outcome = Outcome(entry.photo, detections=detections, steps=steps)
            provider = view.route.provider if step.free else step.provider
            usd = self.upstream.alone_usd(provider, entry.lane.task, entry.extras)
            return Settlement(entry, outcome, usd, is_reusable)
        return self.lanes.at_stage(replace(entry, steps=steps), stage + verdict.skip, now)

    def _bounded(self, verdict: Verdict, view: EntryView, stage: int) -> Verdict:
        """The verdict within the stages that there are and the time that is left, on a photo with
        its steps so far. Before groups there is no answer yet that a photo could end with."""
        last_stage = len(view.cascade.stages) - 1
        if stage == last_stage:
            return Verdict(0, "last stage")
        skip, reason = verdict
        next_stage = min(stage + skip, last_stage)
        may_end = skip > 0 and not view.cascade.groups
        if may_end and not self._has_time(
            self.lanes.at_stage(view.entry, next_stage, self.clock())
        ):
            self.settler.events.tell(StageSkipped(view.entry))
            return Verdict(0, f"no time to ask again: {reason}")
        return Verdict(next_stage - stage, reason)

    def _has_time(self, entry: Entry) -> bool:
        """Whether a photo that has an answer may be asked about again.

        An answer of the companion alone is only a help, so the photo may use all the time it has.
        """
        is_first = all(step.free for step in entry.steps)
        return self.forecast.has_time(entry, share=1.0 if is_first else LATER_STAGE_SHARE)


def _is_complete(view: EntryView, stage: int, verdict: Verdict) -> bool:
    """Whether a photo with its steps so far was asked all that its cascade would ask: the rule
    accepts the answer or there is no later stage, and the companion, if there is one, saw it."""
    stages = view.cascade.stages
    has_companion = bool(view.route.companion) and stages[0].provider == view.route.companion
    was_seen = any(step.free for step in view.entry.steps)
    is_end = verdict.accepted or stage == len(stages) - 1
    return is_end and (was_seen or not has_companion)
