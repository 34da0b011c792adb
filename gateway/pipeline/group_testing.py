"""Group testing: photos that a canvas can only clear together are asked about in groups, which are
halved until the flagged photos stand alone.

ImGrid's divide and conquer (EECS-2023-182) in the order of Hwang's generalised binary splitting ("A
method for detecting all defective members in a population by group testing", JASA 67, 1972). Half
of a flagged group is asked about. If that half is clear, the rest is flagged, and is halved without
a question about all of it. If that half is flagged, nothing is known of the rest, which goes back
to wait with others. A photo that is left over is asked about alone, and that is its answer. The
answer about a canvas of several is never a photo's answer: another photo may be the cause.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError
from gateway.core.model import Entry, Lane, Outcome, Step
from gateway.grid.ungrid import ungrid
from gateway.pipeline.canvas_call import AnsweredCanvas, CanvasCall, CanvasPhoto
from gateway.pipeline.entry_view import Routes, provider_of, view_of
from gateway.pipeline.group_verdict import TOO_SMALL, group_verdict, in_order, stage_of_size
from gateway.pipeline.lane_chooser import LaneChooser
from gateway.pipeline.recovery import Recovery
from gateway.pipeline.settler import Settler
from gateway.store.buffer import Commit, Settlement
from gateway.upstream.client import Abandoned
from gateway.upstream.errors import translate
from gateway.upstream.registry import UpstreamRegistry
from providers.errors import PictureRefused, ProviderError
from thresholds.group_testing import first_half
from thresholds.rules.base import Verdict
from thresholds.shape import ALONE

log = logging.getLogger("imgrid")

Hand = dict[str, Entry]
"""The claimed photos that are neither settled nor put back yet, by id, with their steps so far."""


@dataclass(frozen=True, slots=True)
class GroupTester:
    """Tests claimed groups.

    Each canvas is committed with its bill as soon as it is answered: if this process dies, another
    replica goes on with the photos that are left, and nothing that was paid is forgotten.
    """

    routes: Routes
    upstream: UpstreamRegistry
    canvas_call: CanvasCall
    lanes: LaneChooser
    settler: Settler
    recovery: Recovery
    clock: Clock

    async def run(self, lane: Lane, entries: Sequence[Entry]) -> None:
        """Claimed photos, to the end of their groups. Photos that no group can clear are asked
        about alone, side by side. Raises nothing: what goes wrong becomes the photos' outcome."""
        try:
            entries = await self.recovery.drop_stale(lane, entries)
        except Exception:
            log.exception("a group failed")
            await self.settler.fail(entries, GatewayError())
            return
        group = [entry for entry in entries if self._in_groups(lane, entry)]
        singles = [entry for entry in entries if entry not in group]
        await asyncio.gather(self._test(lane, group), self._test_alone(lane, singles))

    def _in_groups(self, lane: Lane, entry: Entry) -> bool:
        """Whether the cascade has a threshold for canvases of several photos of this provider."""
        view = view_of(entry, self.routes)
        providers = [provider_of(view.route, view.cascade, stage) for stage in view.cascade.groups]
        return view.route.in_groups(entry.only_labels) and lane.provider in providers

    async def _test_alone(self, lane: Lane, entries: Sequence[Entry]) -> None:
        alone = lane._replace(shape=ALONE)
        await asyncio.gather(*(self._test(alone, [entry]) for entry in entries))

    async def _test(self, lane: Lane, entries: Sequence[Entry]) -> None:
        """A group of which nothing is known, to its end. An error concerns the photos that are
        still in the hand."""
        hand = {entry.photo.id: entry for entry in entries}
        try:
            await self._halve(lane, hand, in_order(entries, self.routes), is_flagged=False)
        except Abandoned:  # withdrawn, or lost to another replica
            self.settler.drop_tiles(hand)
        except PictureRefused as error:
            await self._split(lane, list(hand.values()), error)
        except ProviderError as error:
            await self.recovery.give_up(list(hand.values()), error)
        except Exception as error:
            if not isinstance(error, GatewayError):
                log.exception("a group failed")
            await self.settler.fail(list(hand.values()), translate(error))

    async def _split(self, lane: Lane, entries: Sequence[Entry], error: PictureRefused) -> None:
        """After a canvas was refused as a picture: tests its halves, until the culprit is alone."""
        if len(entries) == 1:
            await self.recovery.refuse(entries[0], error)
        elif entries:
            middle = len(entries) // 2
            halves = entries[:middle], entries[middle:]
            await asyncio.gather(*(self._test(self._lane(lane, part), part) for part in halves))

    # -- halving

    async def _halve(self, lane: Lane, hand: Hand, group: list[Entry], *, is_flagged: bool) -> None:
        """Asks until no photo is left in the hand. `is_flagged`: a canvas of this group showed
        something."""
        while group:
            group = await self.recovery.drop_stale(lane, group)
            _keep(hand, group)
            hurried = self._hurried(lane, group)
            if hurried:
                await self._halve_beside(lane, hand, group, hurried, is_flagged=is_flagged)
                return
            part = group[: first_half(len(group))] if is_flagged else group
            rest = group[len(part) :]
            part_lane = self._lane(lane, part) if is_flagged else lane
            flagged, shows_something = await self._ask(part_lane, hand, part, rest)
            group, is_flagged = (flagged if shows_something else rest), True

    async def _halve_beside(
        self,
        lane: Lane,
        hand: Hand,
        group: list[Entry],
        hurried: Sequence[Entry],
        *,
        is_flagged: bool,
    ) -> None:
        """Halves the group without the hurried photos, which are asked about alone meanwhile."""
        group = [entry for entry in group if entry not in hurried]
        _keep(hand, group)
        singles = asyncio.ensure_future(self._test_alone(lane, hurried))
        try:
            await self._halve(lane, hand, group, is_flagged=is_flagged)
        finally:
            await singles

    def _hurried(self, lane: Lane, group: Sequence[Entry]) -> list[Entry]:
        """The photos of a group that have no time for all the questions about it that may follow,
        one after the other."""
        if len(group) == 1:
            return []
        now = self.clock()
        answers_s = len(group).bit_length() * self.upstream.typical_s(lane.provider)
        return [
            entry for entry in group if not view_of(entry, self.routes).has_time(now, answers_s)
        ]

    async def _ask(
        self, lane: Lane, hand: Hand, part: Sequence[Entry], rest: Sequence[Entry]
    ) -> tuple[list[Entry], bool]:
        """Asks about a part of a group: its flagged photos, and whether the canvas shows something.
        If it does, or if it is not answered, the rest goes back to wait."""
        try:
            answered = await self.canvas_call.ask(lane, part)
        except (Abandoned, ProviderError):
            if rest:
                requeues = [self._put_back(entry) for entry in rest]
                await self.settler.commit_and_draw(Commit(requeues=requeues))
                _drop(hand, rest)
            raise
        if answered is None:
            _drop(hand, part)
            return [], False
        try:
            settlements, flagged, shows_something = self._judge_all(answered)
        except Exception:  # the bill of the canvas is charged all the same
            log.exception("an answered group failed")
            settlements, flagged, shows_something = answered.failures(GatewayError()), [], True
        requeues = [self._put_back(entry) for entry in rest] if shows_something else []
        await self.settler.commit_and_draw(answered.commit(settlements, requeues))
        _drop(hand, [*part, *requeues])
        hand.update((entry.photo.id, entry) for entry in flagged)
        return flagged, shows_something

    def _judge_all(self, answered: AnsweredCanvas) -> tuple[list[Settlement], list[Entry], bool]:
        """The settlements of a canvas, the entries of its flagged photos, and whether it shows
        something."""
        settlements: list[Settlement] = []
        flagged: list[Entry] = []
        shows_something = False
        for photo in answered.photos:
            is_clear, result = self._judge(answered, photo)
            shows_something = shows_something or not is_clear
            if isinstance(result, Settlement):
                settlements.append(result)
            else:
                flagged.append(result)
        return settlements, flagged, shows_something

    def _judge(
        self, answered: AnsweredCanvas, photo: CanvasPhoto
    ) -> tuple[bool, Settlement | Entry]:
        """Whether the canvas clears the photo; and its settlement, or its entry as it is asked
        about again. A doubtful answer clears no photo: it may lack the label in question."""
        if answered.layout.shape == ALONE:
            return self._judge_alone(answered, photo)
        entry = photo.entry
        cascade = view_of(entry, self.routes).cascade
        about = self.upstream.about(answered.lane.provider).for_task(answered.lane.task)
        place = answered.layout.photos[photo.cell]
        stage = stage_of_size(cascade, entry.photo.size, place, about.canvas_px)
        if photo.doubt:
            verdict = Verdict(1, photo.doubt)
        elif stage is None:
            verdict = TOO_SMALL
        else:
            verdict = group_verdict(cascade, stage, entry, answered.detections)
        step = replace(
            photo.step,
            stage=cascade.groups[0] if stage is None else stage,
            reason="clean" if verdict.accepted else verdict.reason,
        )
        if verdict.accepted:
            return True, self._settlement(entry, step)
        return False, replace(entry, put_at=self.clock(), steps=(*entry.steps, step))

    def _judge_alone(
        self, answered: AnsweredCanvas, photo: CanvasPhoto
    ) -> tuple[bool, Settlement | Entry]:
        """A photo alone is settled with its own answer. Whether that explains what its group showed
        is judged by the threshold of the finest group."""
        entry = photo.entry
        cascade = view_of(entry, self.routes).cascade
        (detections,) = ungrid(answered.layout, answered.detections)
        step = replace(
            photo.step,
            stage=len(cascade.stages) - 1,
            detections=tuple(detections),
            reason="last stage",
        )
        if not cascade.groups:
            return True, self._settlement(entry, step)
        verdict = group_verdict(cascade, cascade.groups[-1], entry, detections)
        return verdict.accepted, self._settlement(entry, step)

    def _settlement(self, entry: Entry, step: Step) -> Settlement:
        outcome = Outcome(entry.photo, step.detections, (*entry.steps, step))
        usd = self.upstream.alone_usd(step.provider, entry.lane.task, entry.extras)
        return Settlement(entry, outcome, usd, is_reusable=True)

    def _put_back(self, entry: Entry) -> Entry:
        """The photo as it waits for a group again."""
        stage = view_of(entry, self.routes).cascade.groups[0]
        return self.lanes.at_stage(entry, stage, self.clock())

    def _lane(self, lane: Lane, entries: Sequence[Entry]) -> Lane:
        """The claimed lane, with the finest shape of the cascade that holds these photos."""
        if len(entries) == 1:
            return lane._replace(shape=ALONE)
        cascade = view_of(entries[0], self.routes).cascade
        shapes = [cascade.stages[stage].shape for stage in cascade.groups]
        large_enough = [shape for shape in shapes if shape.cells >= len(entries)]
        finest = min(large_enough, key=lambda shape: shape.cells, default=lane.shape)
        if finest.cells >= lane.shape.cells:
            return lane
        portraits = sum(entry.photo.size.portrait for entry in entries)
        return lane._replace(shape=finest.towards(portrait=2 * portraits > len(entries)))


def _keep(hand: Hand, entries: Sequence[Entry]) -> None:
    """Takes all other photos out of the hand."""
    kept_ids = {entry.photo.id for entry in entries}
    for photo_id in hand.keys() - kept_ids:
        del hand[photo_id]


def _drop(hand: Hand, entries: Sequence[Entry]) -> None:
    """Takes the photos out of the hand."""
    for entry in entries:
        hand.pop(entry.photo.id, None)
