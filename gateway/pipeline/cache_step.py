"""The step before the first stage: a photo is looked up in the cache, and gets an answer that is
there at once and for nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.core.clock import Clock
from gateway.core.errors import BufferAway, Busy, DeadlineExceeded, GatewayError
from gateway.core.events import CacheLookedUp, Events, LookupResult
from gateway.core.model import Entry, Lane, Outcome
from gateway.pipeline.answer_cache import AnswerCache, CachedAnswer
from gateway.pipeline.entry_view import Routes
from gateway.pipeline.lane_chooser import LaneChooser
from gateway.pipeline.overload import OverloadControl
from gateway.pipeline.recovery import Recovery
from gateway.pipeline.settler import Settler
from gateway.store.buffer import Commit, Settlement
from gateway.upstream.errors import translate
from gateway.upstream.registry import UpstreamRegistry

log = logging.getLogger("imgrid")

REASONS = {LookupResult.HIT: "repeat", LookupResult.NEAR: "near repeat"}
"""What a photo's trail says, by the result of its lookup."""


@dataclass(frozen=True, slots=True)
class CacheStep:
    """Looks up claimed photos."""

    routes: Routes
    upstream: UpstreamRegistry
    cache: AnswerCache
    lanes: LaneChooser
    settler: Settler
    recovery: Recovery
    overload: OverloadControl
    events: Events
    clock: Clock

    async def run(self, lane: Lane, entries: Sequence[Entry]) -> None:
        """Settles the photos that the cache answers, and has the others wait for their first stage.
        Raises nothing: what goes wrong becomes the photos' outcome."""
        try:
            entries = await self.recovery.drop_stale(lane, entries)
            await asyncio.gather(*map(self._look_up, entries))
        except Exception as error:
            if not isinstance(error, GatewayError):
                log.exception("a lookup failed")
            await self.settler.fail(entries, translate(error))

    async def _look_up(self, entry: Entry) -> None:
        answer = await self._answer(entry)
        if not entry.watched:
            result = answer.result if answer else LookupResult.MISS
            self.events.tell(CacheLookedUp(entry, result))
        if answer is None:
            await self._pass_on(entry)
        else:
            await self.settler.commit(Commit(settlements=[self._settlement(entry, answer)]))

    async def _answer(self, entry: Entry) -> CachedAnswer | None:
        """The cached answer. Where the cache fails, the photo is asked about."""
        try:
            return await self.cache.look_up(entry)
        except BufferAway as error:
            log.debug("no answers of the cache: %s", error)
        except Exception:
            log.exception("photo %s cannot be looked up", entry.photo.id)
        return None

    async def _pass_on(self, entry: Entry) -> None:
        """Has the photo wait for its first stage. That of a client is refused where it would wait
        too long."""
        waiting = self.lanes.at_stage(entry, 0, self.clock())
        try:
            if not entry.patient:
                (waiting,) = self.overload.admit([waiting])
        except (Busy, DeadlineExceeded) as error:
            await self.settler.fail([entry], error)
            return
        await self.settler.commit_and_draw(Commit(requeues=[waiting]))

    def _settlement(self, entry: Entry, answer: CachedAnswer) -> Settlement:
        """The end of a photo with the answer of an earlier one. It owes nothing, and would have
        cost one image alone."""
        (last_step,) = answer.outcome.steps
        step = replace(
            last_step,
            canvas="",
            photos=1,
            calls=0,
            waited_s=self.clock() - entry.put_at,
            composed_s=0.0,
            asked_s=0.0,
            reason=REASONS[answer.result],
            owes=0.0,
        )
        outcome = Outcome(entry.photo, answer.outcome.detections, (step,))
        provider = self.routes[entry.route].provider if step.free else step.provider
        usd = self.upstream.alone_usd(provider, entry.lane.task, entry.extras)
        return Settlement(entry, outcome, usd)
