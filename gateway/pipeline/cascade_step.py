"""One canvas, from claim to commit: compose, ask, un-grid, judge; then settle its photos, or have
them asked again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TypeVar

from PIL import Image

from gateway.core.errors import BadFormat, BilledUnknown, DeadlineExceeded, GatewayError, NotServed
from gateway.core.events import FellBack
from gateway.core.model import (
    BufferEntry,
    BufferLane,
    Entry,
    FetchEntry,
    FetchLane,
    Lane,
    Outcome,
    Photo,
    RemotePhoto,
    Route,
    Step,
)
from gateway.grid.ungrid import ungrid
from gateway.pipeline.canvas_call import AnsweredCanvas, CanvasCall
from gateway.pipeline.group_size import coarsest
from gateway.store.buffer import Commit, Settlement
from gateway.upstream.client import Abandoned
from gateway.upstream.errors import translate
from gateway.upstream.faults import fault_of
from providers.errors import NoAnswer, PictureRefused, ProviderError
from thresholds.cascade import Cascade
from thresholds.fusion.looks import Evidence, Look, PhotoFacts
from thresholds.rules.base import Verdict
from thresholds.shape import ALONE

log = logging.getLogger("imgrid")
E = TypeVar("E", bound=BufferEntry)

Fetch = Callable[[RemotePhoto], Awaitable[Photo]]
"""The photo behind a URL; raises GatewayError."""
First = Callable[[Route, str, Sequence[str]], int]
"""The stage at which a photo of the route, by a variant of it, is asked about first, whose client
asks about these labels only."""


@dataclass(frozen=True, slots=True)
class CascadeStep:
    """Sees canvases through; nothing that happens to one leaves it."""

    canvases: CanvasCall
    fetch: Fetch
    first: First = coarsest

    def lane(
        self,
        photo: Photo,
        route: Route,
        pool: str,
        variant: str,
        *,
        only_labels: Sequence[str] = (),
        stage: int = 0,
    ) -> Lane:
        """Where a photo waits for that stage; the stages of groups are one, at which its size is
        chosen."""
        cascade = route.variant(variant)
        asked = cascade.stages[
            self.first(route, variant, only_labels) if stage in cascade.groups else stage
        ]
        provider = asked.provider or route.provider
        about = self.canvases.askers[provider].provider.about
        shape = self.canvases.crowds.bound(asked.shape, about, route.task)
        return Lane(provider, route.task, pool, shape.towards(portrait=photo.size.portrait))

    async def canvas(self, lane: Lane, entries: list[Entry]) -> None:
        """Sees to claimed photos."""
        in_time = entries
        try:
            in_time = await self.in_time(lane, entries)
            if in_time:
                await self._round(lane, in_time)
        except Abandoned:  # they are gone, or another replica's
            for entry in entries:
                self.canvases.studio.drop(entry.photo.id)
        except ProviderError as error:
            await (
                self._go_on(in_time)
                if self.canvases.is_free(lane, in_time)
                else self.give_up(in_time, error)
            )
        except Exception as error:
            if not isinstance(error, GatewayError):
                log.exception("a canvas failed")
            await self.canvases.fail(in_time, translate(error))

    async def fetch_all(self, lane: FetchLane, entries: list[FetchEntry]) -> None:
        """Fetches claimed photos side by side."""
        in_time = entries
        try:
            in_time = await self.in_time(lane, entries)
            await asyncio.gather(*map(self._fetched, in_time))
        except Exception as error:
            if not isinstance(error, GatewayError):
                log.exception("a canvas failed")
            await self.canvases.fail(in_time, translate(error))

    async def in_time(self, lane: BufferLane, entries: Sequence[E]) -> list[E]:
        """Those that can still be seen to here; the others are told, or begin anew elsewhere."""
        now = self.canvases.clock()
        late = [entry for entry in entries if entry.deadline_at <= now]
        await self.canvases.fail(
            late,
            DeadlineExceeded("The photo's deadline passed before the vision service answered."),
        )
        return await self._at_home(lane, [entry for entry in entries if entry.deadline_at > now])

    def draw(self, entry: Entry, on_broken: Callable[[Entry, GatewayError], None]) -> None:
        """Has the photo drawn while it waits; one that turns out to be undecodable fails before it
        takes a cell."""
        about = self.canvases.about(entry.lane, entry.photo)
        border = self.canvases.cascade(entry).border
        image = self.canvases.studio.start(entry.photo, entry.lane.shape, about, border)
        if image is None:
            return
        loop = asyncio.get_running_loop()

        def drawn(image: Future[Image.Image]) -> None:
            """Called in the thread that drew: only a failure is worth waking the loop for."""
            if (
                not image.cancelled()
                and isinstance(error := image.exception(), BadFormat)
                and not loop.is_closed()
            ):
                loop.call_soon_threadsafe(on_broken, entry, error)

        image.add_done_callback(drawn)

    # -- what goes wrong

    async def give_up(self, entries: Sequence[Entry], error: ProviderError) -> None:
        """A fallback is asked where there is one for that. Else photos of jobs come back later
        after a passing fault; the others have no time left for that."""
        if isinstance(error, NoAnswer) and self.canvases.rules.billed_unknown == "fail":
            unknown = BilledUnknown(
                "The vision service was asked and did not answer. It may have billed the question, "
                "so it is not asked again."
            )
            await self.canvases.fail(entries, unknown)
            return
        again, ends = list[Entry](), list[Settlement]()
        for entry in entries:
            after = self.canvases.aftermath.after(entry, error, self.canvases.clock())
            if after is None:
                ends.append(self.canvases.failed(entry, translate(error)))
                continue
            again.append(after)
            if self.canvases.fell_back(after) and not self.canvases.fell_back(entry):
                self.canvases.events.tell(
                    FellBack(after, entry.lane.provider, fault_of(error).name)
                )
        await self.put_again(Commit(settled=ends, again=again))

    async def _go_on(self, entries: Sequence[Entry]) -> None:
        """To the next stage, without the companion's word: no photo fails because of what was only
        to help."""
        await self.put_again(
            Commit(again=[self._later(entry, entry.stage + 1) for entry in entries])
        )

    # -- what waited here longer than its configuration lasted

    async def _at_home(self, lane: BufferLane, entries: Sequence[E]) -> list[E]:
        """Those whose route and provider are still there. The others begin anew on today's route,
        if there is one."""
        able = isinstance(lane, FetchLane) or lane.provider in self.canvases.askers
        home = [entry for entry in entries if able and self._has_stage(entry)]
        strange = [entry for entry in entries if entry not in home]
        if strange:
            again = [(entry, self._moved(entry, lane)) for entry in strange]
            homeless = NotServed("No route serves this photo any more.")
            ends = [
                self.canvases.failed(entry, homeless) for entry, moved in again if moved is None
            ]
            await self.canvases.commit(
                Commit(settled=ends, again=[moved for _, moved in again if moved is not None])
            )
        return home

    def _has_stage(self, entry: BufferEntry) -> bool:
        route = self.canvases.routes.get(entry.route)
        return route is not None and entry.stage < len(self.canvases.cascade(entry).stages)

    def _moved(self, entry: BufferEntry, lane: BufferLane) -> BufferEntry | None:
        for route in self.canvases.routes.values():
            if route.task == lane.task and (not route.tenants or entry.tenant in route.tenants):
                to = (
                    lane
                    if not isinstance(entry, Entry)
                    else self.lane(
                        entry.photo, route, lane.pool, entry.variant, only_labels=entry.only_labels
                    )
                )
                return replace(
                    entry,
                    route=route.name,
                    lane=to,
                    due_at=self.canvases.clock(),
                    stage=0,
                    steps=(),
                )
        return None

    # -- URLs

    async def _fetched(self, entry: FetchEntry) -> None:
        """Fetches the photo and has it asked about; or it fails, and harms no other."""
        try:
            photo = await self.fetch(entry.photo)
        except GatewayError as error:
            await self.canvases.fail([entry], error)
            return
        route = self.canvases.routes[entry.route]
        lane = self.lane(
            photo, route, entry.lane.pool, entry.variant, only_labels=entry.only_labels
        )
        now = self.canvases.clock()
        due_at = now + self.canvases.rules.job_wait_s
        await self.canvases.commit(
            Commit(again=[entry.photo_entry(photo, lane, put_at=now, due_at=due_at)])
        )

    # -- one canvas

    async def _round(self, lane: Lane, entries: list[Entry]) -> None:
        """One canvas, asked about; refused as a whole, its halves are, until the culprit is
        alone."""
        try:
            looked = await self.canvases.look(lane, entries)
            if looked is not None:
                await self._judge(looked)
        except PictureRefused as error:
            if self.canvases.is_free(lane, entries):
                raise
            await self._split(lane, entries, error)

    async def refused(self, entry: Entry, error: PictureRefused) -> None:
        """The photo was looked at alone, and that was refused."""
        log.info("refused alone: %s", error)
        await self.canvases.fail([entry], BadFormat("The vision service refused this photo."))

    async def _split(self, lane: Lane, entries: list[Entry], error: PictureRefused) -> None:
        if len(entries) == 1:
            await self.refused(entries[0], error)
            return
        half = len(entries) // 2
        await asyncio.gather(self.canvas(lane, entries[:half]), self.canvas(lane, entries[half:]))

    async def _judge(self, looked: AnsweredCanvas) -> None:
        found = looked.answer.detections
        crossings = {self.canvases.cascade(entry).crossing for entry in looked.entries}
        own = {crossing: ungrid(looked.layout, found, crossing=crossing) for crossing in crossings}
        doubts = self.canvases.doubts(looked)
        ends: list[Settlement] = []
        again: list[Entry] = []
        for (index, entry), step in zip(looked.photos, self.canvases.steps(looked), strict=True):
            await asyncio.sleep(0)  # a verdict may take a millisecond, and others wait for the loop
            its = tuple(own[self.canvases.cascade(entry).crossing][index])
            after = self._concluded(entry, replace(step, detections=its), doubts.get(index, ""))
            if isinstance(after, Settlement):
                ends.append(after)
            else:
                again.append(after)
        await self.put_again(self.canvases.charged(looked, Commit(settled=ends, again=again)))

    async def put_again(self, commit: Commit) -> None:
        """Commits, and has those that wait anew drawn meanwhile."""
        counted = await self.canvases.commit(commit)
        for entry in commit.again:
            if isinstance(entry, Entry) and entry.photo.id in counted:
                self.draw(
                    entry, lambda *_: None
                )  # it is drawn again with its canvas, and fails there

    def _concluded(self, entry: Entry, step: Step, doubt: str) -> Settlement | Entry:
        """The photo's end, or how it waits for a later stage; alone, where there is a doubt that
        its answer is its own and all of it. A fallback's answer is the last: rules know only what
        their own provider says."""
        cascade = self.canvases.cascade(entry)
        stage = entry.stage if step.fallback else cascade.reached(entry.stage, step.shape.cells)
        steps = (*entry.steps, replace(step, stage=stage))
        if step.fallback:
            verdict, found = Verdict(0, "fallback"), tuple(step.detections)
        else:
            verdict, seen = cascade.conclude(stage, _seen(entry.photo, cascade, steps))
            verdict, found = self._within(verdict, entry, cascade, stage), tuple(seen)
        alone = doubt and self.canvases.has_time(entry, entry.lane.provider)
        steps = (*entry.steps, replace(step, stage=stage, reason=doubt or verdict.reason))
        if alone:
            return self.again(
                replace(entry, lane=entry.lane._replace(shape=ALONE), stage=stage, steps=steps)
            )
        if verdict.accepted:
            answer = Outcome(entry.photo, detections=found, steps=steps)
            provider = self.canvases.routes[entry.route].provider if step.free else step.provider
            return Settlement(entry, answer, self.canvases.usd(provider, entry))
        return self._later(replace(entry, steps=steps), stage + verdict.skip)

    def _later(self, entry: Entry, stage: int) -> Entry:
        """The photo as it waits for that stage."""
        route = self.canvases.routes[entry.route]
        lane = self.lane(
            entry.photo,
            route,
            entry.lane.pool,
            entry.variant,
            only_labels=entry.only_labels,
            stage=stage,
        )
        return self.again(replace(entry, lane=lane, stage=stage))

    def again(self, entry: Entry) -> Entry:
        """The photo as it begins to wait for company in its lane."""
        now = self.canvases.clock()
        wait_s = (
            self.canvases.rules.job_wait_s
            if entry.patient
            else self.canvases.routes[entry.route].max_wait_s
        )
        due_at = min(
            now + wait_s, entry.deadline_at - self.canvases.askers[entry.lane.provider].typical_s
        )
        return replace(entry, put_at=now, due_at=due_at)

    def _within(self, verdict: Verdict, entry: Entry, cascade: Cascade, stage: int) -> Verdict:
        """What becomes of a verdict where stages or time end."""
        last = len(cascade.stages) - 1
        if stage == last:
            return Verdict(0, "last stage")
        skip, reason = verdict
        later = min(stage + skip, last)
        if skip and not self.canvases.has_time(
            entry, cascade.stages[later].provider or self.canvases.routes[entry.route].provider
        ):
            return Verdict(0, f"no time to ask again: {reason}")
        return Verdict(later - stage, reason)


def _seen(photo: Photo, cascade: Cascade, steps: Sequence[Step]) -> Evidence:
    stages = cascade.stages
    looks = (
        Look(stages[step.stage].shape, step.detections, stages[step.stage].provider or "")
        for step in steps
    )
    return Evidence(PhotoFacts(*photo.size, len(photo.data)), tuple(looks))
