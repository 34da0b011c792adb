"""Photos that a canvas can only clear together: asked about as groups, and halved until those that
it is about stand alone.

ImGrid's divide and conquer (EECS-2023-182) in the order of Hwang's generalised binary splitting ("A
method for detecting all defective members in a population by group testing", JASA 67, 1972). Of a
group that shows something half is asked about. Shows that nothing, then the rest does, and is
halved without being asked about as a whole; shows it something, then nothing is known of the rest,
which goes back to wait with others. One photo left is asked about alone, and that is its answer.
What a canvas shows never is, for it may be another's photo that shows it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

from gateway.core.errors import GatewayError
from gateway.core.layout import Layout
from gateway.core.model import Entry, Lane, Outcome, Step, concerning
from gateway.grid.layout import drawn
from gateway.grid.ungrid import ungrid
from gateway.pipeline.canvas_call import AnsweredCanvas
from gateway.pipeline.cascade_step import CascadeStep
from gateway.store.buffer import Commit, Settlement
from gateway.upstream.client import Abandoned
from gateway.upstream.errors import translate
from providers.detection import Detection
from providers.errors import PictureRefused, ProviderError
from thresholds.cascade import Cascade
from thresholds.fusion.looks import Evidence, Look, PhotoFacts
from thresholds.group_testing import half
from thresholds.rules.base import Verdict
from thresholds.shape import ALONE, Shape

log = logging.getLogger("imgrid")

Hand = dict[str, Entry]
"""Photos that were claimed and not let go of, by id, with what was asked of them so far."""


@dataclass(frozen=True, slots=True)
class GroupTester:
    """Sees groups through; nothing that happens to one leaves it.

    Each canvas is committed as it is answered, bill and all: should this process die, others have
    the photos that are left, and nothing that was paid is forgotten.
    """

    rounds: CascadeStep

    async def canvas(self, lane: Lane, entries: list[Entry]) -> None:
        """Sees to claimed photos. Those that cannot be cleared together go alone, side by side."""
        try:
            ready = await self.rounds.in_time(lane, entries)
        except Exception:
            log.exception("a group failed")
            await self._fail(entries, GatewayError())
            return
        together = [entry for entry in ready if self._in_groups(lane, entry)]
        apart = [entry for entry in ready if entry not in together]
        await asyncio.gather(self._see(lane, together), self._alone(lane, apart))

    async def _alone(self, lane: Lane, entries: Sequence[Entry]) -> None:
        """Each for itself, side by side."""
        await asyncio.gather(*(self._see(lane._replace(shape=ALONE), [entry]) for entry in entries))

    def _in_groups(self, lane: Lane, entry: Entry) -> bool:
        """Whether a threshold is known for what this provider says of several photos together."""
        route = self.rounds.canvases.routes[entry.route]
        cascade = self.rounds.canvases.cascade(entry)
        stages = [cascade.stages[at].provider or route.provider for at in cascade.groups]
        return route.in_groups(entry.only_labels) and lane.provider in stages

    async def _see(self, lane: Lane, entries: Sequence[Entry]) -> None:
        """A group of which nothing is known. What goes wrong with a canvas befalls those that it
        was about."""
        hand = {entry.photo.id: entry for entry in entries}
        try:
            await self._sort(lane, hand, _ordered(entries), known=False)
        except Abandoned:  # they are gone, or another replica's
            for photo_id in hand:
                self.rounds.canvases.studio.drop(photo_id)
        except PictureRefused as error:
            await self._split(lane, list(hand.values()), error)
        except ProviderError as error:
            await self.rounds.give_up(list(hand.values()), error)
        except Exception as error:
            if not isinstance(error, GatewayError):
                log.exception("a group failed")
            await self._fail(list(hand.values()), translate(error))

    async def _fail(self, entries: Sequence[Entry], error: GatewayError) -> None:
        await self.rounds.canvases.fail(entries, error)

    async def _split(self, lane: Lane, entries: Sequence[Entry], error: PictureRefused) -> None:
        """A canvas was refused as a picture: its halves are seen to, until the culprit is alone."""
        if len(entries) == 1:
            await self.rounds.refused(entries[0], error)
        elif entries:
            middle = len(entries) // 2
            halves = entries[:middle], entries[middle:]
            await asyncio.gather(*(self._see(self._lane(lane, each), each) for each in halves))

    # -- halving

    async def _sort(self, lane: Lane, hand: Hand, group: list[Entry], *, known: bool) -> None:
        """Asks until every photo in the hand is settled, or let go. `known` is a group that shows
        something."""
        while group:
            group = await self.rounds.in_time(lane, group)
            _keep(hand, group)
            if len(group) > 1 and (
                hurried := [entry for entry in group if not self._has_time(lane, entry, len(group))]
            ):
                group = [entry for entry in group if entry not in hurried]
                _keep(hand, group)
                alone = asyncio.ensure_future(self._alone(lane, hurried))
                try:
                    await self._sort(lane, hand, group, known=known)
                finally:
                    await alone
                return
            first = group[: half(len(group))] if known else group
            rest = group[len(first) :]
            flagged, shown = await self._look(
                self._lane(lane, first) if known else lane, hand, first, rest
            )
            group, known = (flagged if shown else rest), True

    def _has_time(self, lane: Lane, entry: Entry, size: int) -> bool:
        """For all the questions that may come, one after the other."""
        canvases = self.rounds.canvases
        return (
            canvases.clock() + size.bit_length() * canvases.askers[lane.provider].typical_s
            < entry.deadline_at
        )

    async def _look(
        self, lane: Lane, hand: Hand, asked: Sequence[Entry], rest: Sequence[Entry]
    ) -> tuple[list[Entry], bool]:
        """Asks about some, and lets go of the rest where that shows something, or comes to nothing:
        those that it may concern, and whether it does."""
        canvases = self.rounds.canvases
        try:
            looked = await canvases.look(lane, asked)
        except (Abandoned, ProviderError):
            if rest:
                await self.rounds.put_again(Commit(again=[self._let_go(entry) for entry in rest]))
                _drop(hand, rest)
            raise
        if looked is None:
            _drop(hand, asked)
            return [], False
        ends: list[Settlement] = []
        flagged: list[Entry] = []
        shown, doubts = False, canvases.doubts(looked)
        for (index, entry), step in zip(looked.photos, canvases.steps(looked), strict=True):
            clean, after = self._judged(looked, index, entry, step, doubt=doubts.get(index, ""))
            shown = shown or not clean
            if isinstance(after, Settlement):
                ends.append(after)
            else:
                flagged.append(after)
        again = [self._let_go(entry) for entry in rest] if shown else []
        await self.rounds.put_again(canvases.charged(looked, Commit(settled=ends, again=again)))
        _drop(hand, [*asked, *again])
        hand.update((entry.photo.id, entry) for entry in flagged)
        return flagged, shown

    def _judged(
        self, looked: AnsweredCanvas, index: int, entry: Entry, step: Step, *, doubt: str
    ) -> tuple[bool, Settlement | Entry]:
        """Whether nothing was seen that concerns the photo; and its end, or the photo as it is
        asked about again. In `doubt` it is not cleared: what is missing may be what is looked for.

        Seen alone, it is settled with what was seen of it. Whether that accounts for what its group
        showed is told by the finest threshold that there is for groups.
        """
        cascade = self.rounds.canvases.cascade(entry)
        if looked.layout.shape == ALONE:
            (own,) = ungrid(looked.layout, looked.answer.detections)
            step = replace(
                step, stage=len(cascade.stages) - 1, detections=tuple(own), reason="last stage"
            )
            clean = not cascade.groups or _verdict(cascade, cascade.groups[-1], entry, own).accepted
            return clean, self._end(entry, step, own)
        stage = shown_as(cascade, entry, looked.layout, index, self._canvas_px(looked.lane))
        verdict = (
            _verdict(cascade, stage, entry, looked.answer.detections)
            if stage is not None
            else UNKNOWN
        )
        verdict = Verdict(1, doubt) if doubt else verdict
        at = cascade.groups[0] if stage is None else stage
        step = replace(step, stage=at, reason="clean" if verdict.accepted else verdict.reason)
        if verdict.accepted:
            return True, self._end(entry, step, ())
        now = self.rounds.canvases.clock()
        return False, replace(entry, put_at=now, steps=(*entry.steps, step))

    def _end(self, entry: Entry, step: Step, found: Sequence[Detection]) -> Settlement:
        usd = self.rounds.canvases.usd(step.provider, entry)
        return Settlement(entry, Outcome(entry.photo, tuple(found), (*entry.steps, step)), usd)

    def _let_go(self, entry: Entry) -> Entry:
        """The photo as it waits for company again."""
        canvases = self.rounds.canvases
        stage = canvases.cascade(entry).groups[0]
        route = canvases.routes[entry.route]
        lane = self.rounds.lane(
            entry.photo,
            route,
            entry.lane.pool,
            entry.variant,
            only_labels=entry.only_labels,
            stage=stage,
        )
        return self.rounds.again(replace(entry, lane=lane, stage=stage))

    def _lane(self, lane: Lane, asked: Sequence[Entry]) -> Lane:
        """The claimed lane, at the finest shape of its cascade that holds so many."""
        if len(asked) == 1:
            return lane._replace(shape=ALONE)
        cascade = self.rounds.canvases.cascade(asked[0])
        shapes = [
            cascade.stages[at].shape
            for at in cascade.groups
            if cascade.stages[at].shape.cells >= len(asked)
        ]
        finest = min(shapes, key=lambda shape: shape.cells, default=lane.shape)
        if finest.cells >= lane.shape.cells:
            return lane
        portraits = sum(entry.photo.size.portrait for entry in asked)
        return lane._replace(shape=finest.towards(portrait=2 * portraits > len(asked)))

    def _canvas_px(self, lane: Lane) -> tuple[int, int]:
        return (
            self.rounds.canvases.askers[lane.provider].provider.about.for_task(lane.task).canvas_px
        )


UNKNOWN = Verdict(1, "shown smaller than any threshold is for")


def shown_as(
    cascade: Cascade, entry: Entry, layout: Layout, index: int, canvas_px: tuple[int, int]
) -> int | None:
    """The finest stage for groups that shows the photo no larger than it lies on this canvas, and
    whose threshold is meant for it then; None where all show it larger."""
    size, place = entry.photo.size, layout.photos[index]

    def fits(shape: Shape) -> bool:
        least = drawn(size, shape.towards(portrait=size.portrait), canvas_px)
        return least.width_px <= place.width + 1 and least.height_px <= place.height + 1

    return max((at for at in cascade.groups if fits(cascade.stages[at].shape)), default=None)


def _verdict(cascade: Cascade, stage: int, entry: Entry, found: Sequence[Detection]) -> Verdict:
    asked, photo = cascade.stages[stage], entry.photo
    look = Look(asked.shape, concerning(found, entry.only_labels), asked.provider or "")
    return asked.rule.judge(Evidence(PhotoFacts(*photo.size, len(photo.data)), (look,)))


def _ordered(entries: Sequence[Entry]) -> list[Entry]:
    """Those that were let go of before, the oldest first: the first of a group is settled whatever
    is seen, so nobody is let go of for ever. Then those of which a companion says the most, and
    else those of one orientation, which halves then show larger."""

    def place(entry: Entry) -> tuple[float, float, bool]:
        since = entry.accepted_at if any(not step.free for step in entry.steps) else inf
        return since, -_told(entry), entry.photo.size.portrait

    return sorted(entries, key=place)


def _told(entry: Entry) -> float:
    """The highest score of what a companion saw that concerns the photo."""
    found = (
        each
        for step in entry.steps
        if step.free
        for each in concerning(step.detections, entry.only_labels)
    )
    return max((each.score for each in found), default=0.0)


def _keep(hand: Hand, entries: Sequence[Entry]) -> None:
    """Lets go of what was settled elsewhere, or goes another way."""
    kept = {entry.photo.id for entry in entries}
    for photo_id in hand.keys() - kept:
        del hand[photo_id]


def _drop(hand: Hand, entries: Sequence[Entry]) -> None:
    for entry in entries:
        hand.pop(entry.photo.id, None)
