"""One canvas, from claim to commit: compose, ask, un-grid, judge; then settle its photos, or have them asked again."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, NamedTuple, TypeVar

from PIL import Image

from gateway.asking import Answer, Asker, Unwanted, translate
from gateway.buffer.base import Buffer, Commit, Settlement
from gateway.clock import Clock
from gateway.crowding import Crowds, doubted
from gateway.errors import BadFormat, BilledUnknown, BufferAway, DeadlineExceeded, GatewayError, NotServed
from gateway.events import Asked, CallFailed, Events, FellBack, Settled
from gateway.fallback import Aftermath, fallen
from gateway.faults import Retrying, fault_of
from gateway.grid.studio import Sheet, Studio
from gateway.grid.ungrid import ungrid
from gateway.ledger import billed, shares, unknown
from gateway.model import FETCHING, Entry, Lane, Outcome, Photo, Route, Step
from providers.base import NoAnswer, PictureRefused, ProviderError, Task
from thresholds.cascade import Cascade, Crossing
from thresholds.rules import Verdict
from thresholds.seen import Facts, Look, Seen
from thresholds.shape import ALONE

log = logging.getLogger("imgrid")

T = TypeVar("T")
BilledUnknownRule = Literal["retry", "fail"]
Fetch = Callable[[Photo], Awaitable[Photo]]
"""The photo behind a URL; raises GatewayError."""

BUFFER_PAUSE_S = 0.25


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator decides, whatever the route. Seconds.

    For a canvas of which only jobs wait passing faults are retried for `job_tries_s`; then it makes room for others and
    comes back after `job_pause_s`.
    """

    billed_unknown: BilledUnknownRule = "retry"
    job_wait_s: float = 2.0
    job_deadline_s: float = 86_400.0
    job_tries_s: float = 60.0
    job_pause_s: float = 5.0
    fetch_below_bytes: int = 1 << 40
    """While the buffer holds fewer bytes, URLs are fetched."""


class Times(NamedTuple):
    """When a canvas was claimed (the clock's time), and how long composing took (seconds)."""

    claimed_at: float
    composed_s: float


async def insist(command: Callable[[], Awaitable[T]]) -> T:
    """Asks the buffer until it answers: what was paid for is not thrown away because the buffer is away."""
    while True:
        try:
            return await command()
        except BufferAway:
            await asyncio.sleep(BUFFER_PAUSE_S)


@dataclass(frozen=True, slots=True)
class Rounds:
    """Sees canvases through; nothing that happens to one leaves it. `on_trouble` hears what went wrong for a photo that
    is tried again."""

    routes: Mapping[str, Route]
    askers: Mapping[str, Asker]
    buffer: Buffer
    studio: Studio
    events: Events
    clock: Clock
    rules: Rules
    fetch: Fetch
    on_trouble: Callable[[str, GatewayError], None]
    crowds: Crowds = field(default_factory=Crowds)

    def lane(self, photo: Photo, route: Route, pool: str, variant: str, *, stage: int = 0) -> Lane:
        asked = route.variant(variant).stages[stage]
        provider = asked.provider or route.provider
        shape = self.crowds.bound(asked.shape, self.askers[provider].provider.about, route.task)
        return Lane(provider, route.task, pool, shape.towards(portrait=photo.size.portrait))

    async def canvas(self, lane: Lane, entries: list[Entry]) -> None:
        """Sees to claimed photos."""
        now = self.clock()
        late = [entry for entry in entries if entry.deadline_at <= now]
        in_time = [entry for entry in entries if entry.deadline_at > now]
        try:
            await self._fail(late, DeadlineExceeded("The photo's deadline passed before the vision service answered."))
            in_time = await self._at_home(lane, in_time)
            if in_time and lane.provider == FETCHING:
                await asyncio.gather(*map(self._fetched, in_time))
            elif in_time:
                await self._round(lane, in_time)
        except Unwanted:  # they are gone, or another replica's
            for entry in entries:
                self.studio.drop(entry.photo.id)
        except ProviderError as error:
            await (self._go_on(in_time) if self._is_free(lane, in_time) else self._give_up(in_time, error))
        except Exception as error:
            if not isinstance(error, GatewayError):
                log.exception("a canvas failed")
            await self._fail(in_time, translate(error))

    async def commit(self, commit: Commit) -> frozenset[str]:
        """Has the buffer do it, however long that takes, and tells who was settled."""
        counted = await insist(partial(self.buffer.commit, commit))
        now = self.clock()
        for each in commit.settled:
            self.studio.drop(each.entry.photo.id)
            if each.entry.photo.id in counted:
                self.events.tell(Settled(each.entry, each.outcome, now - each.entry.accepted_at))
        return counted

    def draw(self, entry: Entry, on_broken: Callable[[Entry, GatewayError], None]) -> None:
        """Has the photo drawn while it waits; one that turns out to be undecodable fails before it takes a cell."""
        if entry.lane.provider == FETCHING:
            return
        about = self.askers[entry.lane.provider].provider.about.for_task(entry.lane.task)
        border = self._cascade(entry).border
        image = self.studio.start(entry.photo, entry.lane.shape, about, border)
        if image is None:
            return
        loop = asyncio.get_running_loop()

        def drawn(image: Future[Image.Image]) -> None:
            """Called in the thread that drew: only a failure is worth waking the loop for."""
            if not image.cancelled() and isinstance(error := image.exception(), BadFormat) and not loop.is_closed():
                loop.call_soon_threadsafe(on_broken, entry, error)

        image.add_done_callback(drawn)

    def _cascade(self, entry: Entry) -> Cascade:
        return self.routes[entry.route].variant(entry.variant)

    def _is_free(self, lane: Lane, entries: Sequence[Entry]) -> bool:
        """Whether it is their companion that is asked: it sees each photo on a canvas of its own."""
        return all(self.routes[entry.route].companion == lane.provider for entry in entries)

    # -- what goes wrong

    async def _fail(self, entries: Sequence[Entry], error: GatewayError) -> None:
        if entries:
            await self.commit(Commit(settled=[self._failed(entry, error) for entry in entries]))

    def _failed(self, entry: Entry, error: GatewayError) -> Settlement:
        return Settlement(entry, Outcome(entry.photo, steps=entry.steps, error=error))

    async def _give_up(self, entries: Sequence[Entry], error: ProviderError) -> None:
        """A fallback is asked where there is one for that. Else photos of jobs come back later after a passing fault;
        the others have no time left for that."""
        if isinstance(error, NoAnswer) and self.rules.billed_unknown == "fail":
            await self._fail(entries, BilledUnknown("The vision service was asked and did not answer. It may have "
                                                    "billed the question, so it is not asked again."))  # fmt: skip
            return
        again, ends = list[Entry](), list[Settlement]()
        for entry in entries:
            after = self._aftermath.after(entry, error, self.clock())
            if after is None:
                ends.append(self._failed(entry, translate(error)))
                continue
            again.append(after)
            if after.lane.provider != entry.lane.provider:
                self.events.tell(FellBack(after, entry.lane.provider, fault_of(error).name))
        await self._put_again(Commit(settled=ends, again=again))

    async def _go_on(self, entries: Sequence[Entry]) -> None:
        """To the next stage, without the companion's word: no photo fails because of what was only to help."""
        await self._put_again(Commit(again=[self._later(entry, entry.stage + 1) for entry in entries]))

    @property
    def _aftermath(self) -> Aftermath:
        retrying = Retrying(billed_twice=self.rules.billed_unknown == "retry")
        return Aftermath(self.routes, self.askers, self.crowds, retrying, self.rules.job_pause_s)

    # -- what waited here longer than its configuration lasted

    async def _at_home(self, lane: Lane, entries: Sequence[Entry]) -> list[Entry]:
        """Those whose route and provider are still there. The others begin anew on today's route, if there is one."""
        able = lane.provider == FETCHING or lane.provider in self.askers
        home = [entry for entry in entries if able and self._has_stage(entry)]
        strange = [entry for entry in entries if entry not in home]
        if strange:
            again = [(entry, self._moved(entry, lane)) for entry in strange]
            homeless = NotServed("No route serves this photo any more.")
            ends = [self._failed(entry, homeless) for entry, moved in again if moved is None]
            await self.commit(Commit(settled=ends, again=[moved for _, moved in again if moved is not None]))
        return home

    def _has_stage(self, entry: Entry) -> bool:
        route = self.routes.get(entry.route)
        return route is not None and entry.stage < len(self._cascade(entry).stages)

    def _moved(self, entry: Entry, lane: Lane) -> Entry | None:
        for route in self.routes.values():
            if route.task == lane.task and (not route.tenants or entry.tenant in route.tenants):
                fetching = lane.provider == FETCHING
                to = lane if fetching else self.lane(entry.photo, route, lane.pool, entry.variant)
                return replace(entry, route=route.name, lane=to, due_at=self.clock(), stage=0, steps=())
        return None

    # -- URLs

    async def _fetched(self, entry: Entry) -> None:
        """Fetches the photo and has it asked about; or it fails, and harms no other."""
        try:
            photo = await self.fetch(entry.photo)
        except GatewayError as error:
            await self._fail([entry], error)
            return
        lane = self.lane(photo, self.routes[entry.route], entry.lane.pool, entry.variant)
        now = self.clock()
        due_at = now + self.rules.job_wait_s
        await self.commit(Commit(again=[replace(entry, photo=photo, lane=lane, put_at=now, due_at=due_at)]))

    # -- one canvas

    async def _round(self, lane: Lane, entries: list[Entry]) -> None:
        """One canvas, asked about; refused as a whole, its halves are, until the culprit is alone."""
        claimed_at = self.clock()
        self.askers[lane.provider].check()
        try:
            sheet = await self._sheet(lane, entries)
            times = Times(claimed_at, self.clock() - claimed_at)
            if sheet.broken:
                ends = [self._failed(entries[index], error) for index, error in sheet.broken.items()]
                await self.commit(Commit(settled=ends))
            if sheet.picture is not None:
                canvas = uuid.uuid4().hex[:12]
                answer = await self._ask(canvas, lane, entries, sheet)
                await self._judge(canvas, lane, entries, sheet=sheet, answer=answer, times=times)
        except PictureRefused as error:
            if self._is_free(lane, entries):
                raise
            await self._split(lane, entries, error)

    async def _split(self, lane: Lane, entries: list[Entry], error: PictureRefused) -> None:
        if len(entries) == 1:
            log.info("refused alone: %s", error)
            await self._fail(entries, BadFormat("The vision service refused this photo."))
            return
        half = len(entries) // 2
        await asyncio.gather(self.canvas(lane, entries[:half]), self.canvas(lane, entries[half:]))

    async def _sheet(self, lane: Lane, entries: Sequence[Entry]) -> Sheet:
        about = self.askers[lane.provider].provider.about.for_task(lane.task)
        borders = [self._cascade(entry).border for entry in entries]
        photos = [entry.photo for entry in entries]
        # few are watched at a time: shown larger than clients' are in full grids, they would prove nothing; and those
        # in company are shown as their own lanes say at least
        kept = all(entry.watched for entry in entries) or any(entry.lane != lane for entry in entries)
        return await self.studio.sheet(photos, borders, lane.shape, about, kept=kept)

    async def _ask(self, canvas: str, lane: Lane, entries: Sequence[Entry], sheet: Sheet) -> Answer:
        assert sheet.picture is not None  # noqa: S101  for the type checker: the caller has looked
        seen = [entry for index, entry in enumerate(entries) if index not in sheet.broken]
        free = self._is_free(lane, seen)

        async def wanted() -> bool:
            return bool(await insist(partial(self.buffer.ask, "" if free else canvas, seen)))

        async def failed(error: ProviderError) -> None:
            self.events.tell(CallFailed(lane.provider, type(error).__name__, str(error)))
            if free:
                return
            for entry in seen:
                self.on_trouble(entry.photo.id, translate(error))
            charges = unknown(seen) if isinstance(error, NoAnswer) else {}
            await insist(partial(self.buffer.commit, Commit(ended=canvas, charges=charges)))

        clients = [entry.deadline_at for entry in seen if not entry.patient]
        until = 0.0 if free else max(clients, default=self.clock() + self.rules.job_tries_s)
        asker = self.askers[lane.provider]
        extras = entries[0].wanted if lane.task == Task.EXTRAS else ()  # they are always alone
        return await asker.ask(sheet.picture, lane.task, until, extras=extras, wanted=wanted, on_failure=failed,
                               retrying=self._aftermath.retrying_of(seen))  # fmt: skip

    async def _judge(
        self, canvas: str, lane: Lane, entries: Sequence[Entry], *, sheet: Sheet, answer: Answer, times: Times
    ) -> None:
        assert sheet.picture is not None  # noqa: S101  for the type checker: the caller has looked
        layout, seen = sheet.layout, [index for index in range(len(entries)) if index not in sheet.broken]
        free = self._is_free(lane, entries)
        self.events.tell(Asked(canvas, lane, layout, sheet.picture, entries, answer.found, answer.calls,
                               times.composed_s, answer.asked_s, frozenset(sheet.broken), free))  # fmt: skip
        own = {crossing: ungrid(layout, answer.found, crossing=crossing) for crossing in self._crossings(entries)}
        about = self.askers[lane.provider].provider.about
        self.crowds.saw(about, lane.task, answer.found, len(seen))
        doubts = doubted(layout, lane.task, answer.found, about.most.get(lane.task))
        ends: list[Settlement] = []
        again: list[Entry] = []
        owed = shares([entries[index] for index in seen])
        for index, owes in zip(seen, owed, strict=True):
            await asyncio.sleep(0)  # a verdict may take a millisecond, and others wait for the loop
            entry = entries[index]
            found = tuple(own[self._cascade(entry).crossing][index])
            step = Step(entry.stage, lane.provider, canvas, layout.shape, len(seen), answer.calls,
                        times.claimed_at - entry.put_at, times.composed_s, answer.asked_s, found,
                        free=free, owes=owes, fallback=fallen(entry, self.routes[entry.route]))  # fmt: skip
            after = self._concluded(entry, step, doubts.get(index, ""))
            if isinstance(after, Settlement):
                ends.append(after)
            else:
                again.append(after)
        charges = {} if free else billed([entries[index] for index in seen], self._usd(lane.provider, entries[0]))
        await self._put_again(Commit(settled=ends, again=again, ended="" if free else canvas, charges=charges))

    async def _put_again(self, commit: Commit) -> None:
        """Commits, and has those that wait anew drawn meanwhile."""
        counted = await self.commit(commit)
        for entry in commit.again:
            if entry.photo.id in counted:
                self.draw(entry, lambda *_: None)  # it is drawn again with its canvas, and fails there

    def _crossings(self, entries: Sequence[Entry]) -> set[Crossing]:
        return {self._cascade(entry).crossing for entry in entries}

    def _concluded(self, entry: Entry, step: Step, doubt: str) -> Settlement | Entry:
        """The photo's end, or how it waits for a later stage; alone, where there is a doubt that its answer is its own
        and all of it. A fallback's answer is the last: rules know only what their own provider says."""
        cascade = self._cascade(entry)
        stage = entry.stage if step.fallback else cascade.reached(entry.stage, step.shape.cells)
        steps = (*entry.steps, replace(step, stage=stage))
        if step.fallback:
            verdict, found = Verdict(0, "fallback"), tuple(step.found)
        else:
            verdict, seen = cascade.conclude(stage, _seen(entry.photo, cascade, steps))
            verdict, found = self._within(verdict, entry, cascade, stage), tuple(seen)
        alone = doubt and self._has_time(entry, entry.lane.provider)
        steps = (*entry.steps, replace(step, stage=stage, reason=doubt or verdict.reason))
        if alone:
            return self._again(replace(entry, lane=entry.lane._replace(shape=ALONE), stage=stage, steps=steps))
        if verdict.accepted:
            answer = Outcome(entry.photo, found=found, steps=steps)
            provider = self.routes[entry.route].provider if step.free else step.provider
            return Settlement(entry, answer, self._usd(provider, entry))
        return self._later(replace(entry, steps=steps), stage + verdict.skip)

    def _later(self, entry: Entry, stage: int) -> Entry:
        """The photo as it waits for that stage."""
        lane = self.lane(entry.photo, self.routes[entry.route], entry.lane.pool, entry.variant, stage=stage)
        return self._again(replace(entry, lane=lane, stage=stage))

    def _again(self, entry: Entry) -> Entry:
        now = self.clock()
        wait_s = self.rules.job_wait_s if entry.patient else self.routes[entry.route].max_wait_s
        due_at = min(now + wait_s, entry.deadline_at - self.askers[entry.lane.provider].typical_s)
        return replace(entry, put_at=now, due_at=due_at)

    def _within(self, verdict: Verdict, entry: Entry, cascade: Cascade, stage: int) -> Verdict:
        """What becomes of a verdict where stages or time end."""
        last = len(cascade.stages) - 1
        if stage == last:
            return Verdict(0, "last stage")
        skip, reason = verdict
        later = min(stage + skip, last)
        if skip and not self._has_time(entry, cascade.stages[later].provider or self.routes[entry.route].provider):
            return Verdict(0, f"no time to ask again: {reason}")
        return Verdict(later - stage, reason)

    def _has_time(self, entry: Entry, provider: str) -> bool:
        return self.clock() + self.askers[provider].typical_s < entry.deadline_at

    def _usd(self, provider: str, entry: Entry) -> float:
        """What a picture costs there that shows the entry's photo."""
        about = self.askers[provider].provider.about
        return about.price_of(entry.lane.task, entry.wanted).usd_per_image


def _seen(photo: Photo, cascade: Cascade, steps: Sequence[Step]) -> Seen:
    stages = cascade.stages
    looks = (Look(stages[step.stage].shape, step.found, stages[step.stage].provider or "") for step in steps)
    return Seen(Facts(*photo.size, len(photo.data)), tuple(looks))
