"""One canvas: composed, asked about and charged. What is then made of the answer is not known
here."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, NamedTuple, TypeVar

from gateway.core.clock import Clock
from gateway.core.errors import BufferAway, GatewayError
from gateway.core.events import CallFailed, CanvasAnswered, Events, Settled
from gateway.core.layout import Layout
from gateway.core.model import BufferEntry, Entry, Lane, Outcome, Photo, Route, Step
from gateway.grid.renderer import RenderedCanvas, Renderer
from gateway.ledger.accounts import billed_charges, shares, unsure_charges
from gateway.pipeline.detection_cap import DetectionCap, doubted
from gateway.pipeline.fallback import FallbackPolicy, fallen
from gateway.store.buffer import Buffer, Commit, Settlement
from gateway.upstream.client import UpstreamAnswer, UpstreamClient
from gateway.upstream.errors import translate
from gateway.upstream.faults import RetryPolicy
from providers.base import About
from providers.detection import Task
from providers.errors import NoAnswer, ProviderError
from thresholds.cascade import Cascade

T = TypeVar("T")
BilledUnknownRule = Literal["retry", "fail"]

BUFFER_PAUSE_S = 0.25


@dataclass(frozen=True, slots=True)
class PipelineRules:
    """What an operator decides, whatever the route. Seconds.

    For a canvas of which only jobs wait passing faults are retried for `job_tries_s`; then it makes
    room for others and comes back after `job_pause_s`.
    """

    billed_unknown: BilledUnknownRule = "retry"
    job_wait_s: float = 2.0
    job_deadline_s: float = 86_400.0
    job_tries_s: float = 60.0
    job_pause_s: float = 5.0
    fetch_below_bytes: int = 1 << 40
    """While the buffer holds fewer bytes, URLs are fetched."""


class AnsweredCanvas(NamedTuple):
    """A canvas that was answered, and billed unless it was `free`: its photos with their places in
    the layout, less those that could not be drawn; when it was claimed, and how long composing took
    (seconds)."""

    canvas: str
    lane: Lane
    layout: Layout
    photos: Sequence[tuple[int, Entry]]
    answer: UpstreamAnswer
    claimed_at: float
    composed_s: float
    free: bool

    @property
    def entries(self) -> list[Entry]:
        return [entry for _, entry in self.photos]


async def insist(command: Callable[[], Awaitable[T]]) -> T:
    """Asks the buffer until it answers: what was paid for is not thrown away because the buffer is
    away."""
    while True:
        try:
            return await command()
        except BufferAway:
            await asyncio.sleep(BUFFER_PAUSE_S)


@dataclass(frozen=True, slots=True)
class CanvasCall:
    """Asks about canvases. `on_trouble` hears what went wrong for a photo that is tried again."""

    routes: Mapping[str, Route]
    askers: Mapping[str, UpstreamClient]
    buffer: Buffer
    studio: Renderer
    events: Events
    clock: Clock
    rules: PipelineRules
    on_trouble: Callable[[str, GatewayError], None]
    crowds: DetectionCap = field(default_factory=DetectionCap)

    async def look(self, lane: Lane, entries: Sequence[Entry]) -> AnsweredCanvas | None:
        """Composes a canvas and asks about it; what cannot be drawn fails. None where that is all
        of them.

        Raises a ProviderError, or Unwanted.
        """
        claimed_at = self.clock()
        self.askers[lane.provider].check()
        sheet = await self._sheet(lane, entries)
        composed_s = self.clock() - claimed_at
        if sheet.broken:
            ends = [self.failed(entries[index], error) for index, error in sheet.broken.items()]
            await self.commit(Commit(settled=ends))
        if sheet.picture is None:
            return None
        canvas, free = uuid.uuid4().hex[:12], self.is_free(lane, entries)
        answer = await self._ask(canvas, lane, entries, sheet)
        self.events.tell(
            CanvasAnswered(
                canvas,
                lane,
                sheet.layout,
                sheet.picture,
                entries,
                answer.detections,
                answer.calls,
                composed_s,
                answer.asked_s,
                frozenset(sheet.broken),
                free,
            )
        )
        seen = [(index, entry) for index, entry in enumerate(entries) if index not in sheet.broken]
        self.crowds.saw(
            self.askers[lane.provider].provider.about, lane.task, answer.detections, len(seen)
        )
        return AnsweredCanvas(
            canvas, lane, sheet.layout, seen, answer, claimed_at, composed_s, free
        )

    def steps(self, looked: AnsweredCanvas) -> list[Step]:
        """What a canvas was to each of its photos; what they have of it is not told yet."""
        answer, entries, lane = looked.answer, looked.entries, looked.lane
        return [
            Step(
                entry.stage,
                lane.provider,
                looked.canvas,
                looked.layout.shape,
                len(entries),
                answer.calls,
                looked.claimed_at - entry.put_at,
                looked.composed_s,
                answer.asked_s,
                (),
                free=looked.free,
                owes=owes,
                fallback=self.fell_back(entry),
            )
            for entry, owes in zip(entries, shares(entries), strict=True)
        ]

    def doubts(self, looked: AnsweredCanvas) -> Mapping[int, str]:
        """The photos of which the canvas cannot tell, by their places, and why."""
        most = self.askers[looked.lane.provider].provider.about.most.get(looked.lane.task)
        return doubted(looked.layout, looked.lane.task, looked.answer.detections, most)

    def charged(self, looked: AnsweredCanvas, commit: Commit) -> Commit:
        """The commit that ends a canvas, with its bill."""
        if looked.free:
            return commit
        charges = billed_charges(looked.entries, self.usd(looked.lane.provider, looked.entries[0]))
        return replace(commit, ended=looked.canvas, charges=charges)

    async def commit(self, commit: Commit) -> frozenset[str]:
        """Has the buffer do it, however long that takes, and tells who was settled."""
        counted = await insist(partial(self.buffer.commit, commit))
        now = self.clock()
        for each in commit.settled:
            self.studio.drop(each.entry.photo.id)
            if each.entry.photo.id in counted:
                self.events.tell(Settled(each.entry, each.outcome, now - each.entry.accepted_at))
        return counted

    async def fail(self, entries: Sequence[BufferEntry], error: GatewayError) -> None:
        if entries:
            await self.commit(Commit(settled=[self.failed(entry, error) for entry in entries]))

    def failed(self, entry: BufferEntry, error: GatewayError) -> Settlement:
        photo = entry.photo if isinstance(entry.photo, Photo) else None
        return Settlement(entry, Outcome(photo, steps=entry.steps, error=error))

    def cascade(self, entry: BufferEntry) -> Cascade:
        return self.routes[entry.route].variant(entry.variant)

    def is_free(self, lane: Lane, entries: Sequence[Entry]) -> bool:
        """Whether it is their companion that is asked: it sees each photo on a canvas of its
        own."""
        return all(self.routes[entry.route].companion == lane.provider for entry in entries)

    def about(self, lane: Lane, photo: Photo) -> About:
        """What a lane's provider is for that task. Extras are asked of one photo in its own size,
        also where it has to be turned or encoded anew: places in them are pixels, which are handed
        on as the vendor tells them."""
        about = self.askers[lane.provider].provider.about.for_task(lane.task)
        return replace(about, canvas_px=photo.size) if lane.task == Task.EXTRAS else about

    def fell_back(self, entry: Entry) -> bool:
        """Whether its lane is its fallback's."""
        return fallen(entry, self.routes[entry.route])

    def has_time(self, entry: Entry, provider: str) -> bool:
        return self.clock() + self.askers[provider].typical_s < entry.deadline_at

    def usd(self, provider: str, entry: Entry) -> float:
        """What a picture costs there that shows the entry's photo."""
        about = self.askers[provider].provider.about
        return about.price_of(entry.lane.task, entry.extras).usd_per_image

    @property
    def aftermath(self) -> FallbackPolicy:
        retrying = RetryPolicy(billed_twice=self.rules.billed_unknown == "retry")
        return FallbackPolicy(
            self.routes, self.askers, self.crowds, retrying, self.rules.job_pause_s
        )

    async def _sheet(self, lane: Lane, entries: Sequence[Entry]) -> RenderedCanvas:
        about = self.about(lane, entries[0].photo)
        borders = [self.cascade(entry).border for entry in entries]
        photos = [entry.photo for entry in entries]
        # few are watched at a time: shown larger than clients' are in full grids, they would prove
        # nothing; and those in company are shown as their own lanes say at least
        kept = all(entry.watched for entry in entries) or any(
            entry.lane != lane for entry in entries
        )
        return await self.studio.sheet(photos, borders, lane.shape, about, kept=kept)

    async def _ask(
        self, canvas: str, lane: Lane, entries: Sequence[Entry], sheet: RenderedCanvas
    ) -> UpstreamAnswer:
        assert sheet.picture is not None
        seen = [entry for index, entry in enumerate(entries) if index not in sheet.broken]
        free = self.is_free(lane, seen)

        async def wanted() -> bool:
            return bool(await insist(partial(self.buffer.ask, "" if free else canvas, seen)))

        async def on_failure(error: ProviderError) -> None:
            self.events.tell(CallFailed(lane.provider, type(error).__name__, str(error)))
            if free:
                return
            for entry in seen:
                self.on_trouble(entry.photo.id, translate(error))
            charges = unsure_charges(seen) if isinstance(error, NoAnswer) else {}
            await insist(partial(self.buffer.commit, Commit(ended=canvas, charges=charges)))

        clients = [entry.deadline_at for entry in seen if not entry.patient]
        until = 0.0 if free else max(clients, default=self.clock() + self.rules.job_tries_s)
        asker = self.askers[lane.provider]
        return await asker.ask(
            sheet.picture,
            lane.task,
            until,
            extras=entries[0].extras,  # a photo of EXTRAS is always alone
            wanted=wanted,
            on_failure=on_failure,
            retrying=self.aftermath.retrying_of(seen),
        )
