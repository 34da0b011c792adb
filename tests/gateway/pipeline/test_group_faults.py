"""Group testing amid faults: refused canvases, failed calls, clients that leave, and replicas that
die."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.clock import steady
from gateway.core.errors import BadFormat, BilledUnknown, UpstreamFailed
from gateway.core.model import Entry, Lane, Way
from gateway.ledger.accounts import total
from gateway.pipeline.group_testing import GroupTester
from gateway.store.buffer import Capacity
from gateway.store.inspection import Occupancy
from gateway.store.ledger import tenant_accounts
from gateway.store.redis.buffer import RedisBuffer
from gateway.testing.listeners import BufferRecorder
from gateway.testing.pictures import photo
from gateway.testing.provider import ScriptedProvider, image_of
from gateway.testing.redis_server import RedisServer
from providers.base import Picture
from providers.detection import Detection, Task
from providers.errors import Misconfigured, NoAnswer, PictureRefused, Throttled, Unavailable
from providers.shapes import shapes_on
from tests.support.examples import examples
from tests.support.group_testing import (
    ANN,
    block_photo,
    clean_photo,
    eye,
    group_cascade,
    labels,
    moderation_route,
    run_groups,
    unsafe,
)
from tests.support.redis import patient_commands
from tests.support.redis_buffer import die, steps_at
from tests.support.waiting import wait_until
from thresholds.shape import ALONE, Shape


class TestFaults:
    async def test_a_refused_canvas_is_halved_to_its_culprit(self) -> None:
        """A canvas that is refused because of one photo is halved: that photo alone is refused, and
        the others are cleared or flagged."""

        def refuse_yellow(picture: Picture, task: Task) -> Sequence[Detection]:
            if any(shape.label == "yellow" for shape in shapes_on(image_of(picture))):
                raise PictureRefused("yellow")
            return unsafe(picture, task)

        async with run_groups(eye(refuse_yellow)) as pipeline:
            *others, refused = await pipeline.answer_each(
                block_photo(), *(clean_photo() for _ in range(7)), block_photo(colour="yellow")
            )
            assert labels(others) == [["Unsafe"]] + [[]] * 7
            assert isinstance(refused.error, BadFormat)

    async def test_a_refused_half_is_halved_too(self) -> None:
        """A half that is refused is halved too."""
        calls = 0

        def refuse_second(picture: Picture, task: Task) -> Sequence[Detection]:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise PictureRefused("not today")
            return unsafe(picture, task)

        async with run_groups(eye(refuse_second), moderation_route("2x2", "2x1")) as pipeline:
            assert labels(
                await pipeline.answer_each(
                    block_photo(), clean_photo(), clean_photo(), block_photo()
                )
            ) == [
                ["Unsafe"],
                [],
                [],
                ["Unsafe"],
            ]

    async def test_a_passing_fault_amid_halving_is_retried(self) -> None:
        """A passing fault amid halving is retried, and costs no photo its answer."""

        def script(picture: Picture, task: Task) -> Sequence[Detection]:
            if provider.calls in (2, 4):
                raise Throttled("slow down", 0.01)
            return unsafe(picture, task)

        provider = eye(script)
        async with run_groups(provider, moderation_route("2x2", "2x1")) as pipeline:
            assert labels(
                await pipeline.answer_each(
                    clean_photo(), clean_photo(), clean_photo(), block_photo()
                )
            ) == [
                [],
                [],
                [],
                ["Unsafe"],
            ]
            assert provider.calls == 6
            assert await pipeline.billed_images() == pytest.approx(4)

    async def test_a_lasting_fault_fails_only_its_calls_photos(self) -> None:
        """A lasting fault fails only the photos of its call: cleared photos stay cleared, and the
        other half goes on."""

        def fail_third(picture: Picture, task: Task) -> Sequence[Detection]:
            if provider.calls == 3:
                raise Misconfigured("no permission")
            return unsafe(picture, task)

        provider = eye(fail_third)
        async with run_groups(provider, moderation_route("2x2", "2x1")) as pipeline:
            one, two, three, four = await pipeline.answer_each(
                clean_photo(), clean_photo(), clean_photo(), block_photo()
            )
            assert labels([one, two, four]) == [[], [], ["Unsafe"]]
            assert isinstance(three.error, UpstreamFailed)
            assert [len(each.steps) for each in (three, four)] == [1, 2]
            assert await pipeline.buffer.occupancy() == Occupancy()

    async def test_released_photos_are_answered_after_a_fault(self) -> None:
        """Photos that were released are answered, whatever happens to the photos that were held."""

        def fail_third(picture: Picture, task: Task) -> Sequence[Detection]:
            if provider.calls == 3:
                raise Unavailable("gone")
            return unsafe(picture, task)

        provider = eye(fail_third)
        async with run_groups(provider, moderation_route("2x2", "2x1")) as pipeline:
            outcomes = await pipeline.answer_each(
                block_photo(), clean_photo(), clean_photo(), clean_photo()
            )
            assert labels(outcomes) == [["Unsafe"], [], [], []]

    async def test_the_rule_fail_ends_photos_of_a_lost_call(self) -> None:
        """A call without an answer may have been billed and is booked as such, and by the rule
        `fail` none of its photos is asked about again."""
        provider = eye(errors=[NoAnswer("silence")])
        async with run_groups(
            provider, moderation_route("2x2", "2x1"), billed_unknown="fail"
        ) as pipeline:
            outcomes = await pipeline.answer_each(*(clean_photo() for _ in range(4)))
            assert [type(outcome.error).__name__ for outcome in outcomes] == ["BilledUnknown"] * 4
            assert total(await tenant_accounts(pipeline.buffer.ledger)).unknown == pytest.approx(1)

    async def test_a_broken_photo_fails_alone(self) -> None:
        """A photo that cannot be drawn fails alone, and its group goes on."""
        broken_photo = photo(block_photo().data[: len(block_photo().data) // 2])
        async with run_groups(eye(), moderation_route("2x2", "2x1")) as pipeline:
            *others, failed = await pipeline.answer_each(
                clean_photo(), block_photo(), clean_photo(), broken_photo
            )
            assert labels(others) == [[], ["Unsafe"], []]
            assert isinstance(failed.error, BadFormat)

    async def test_a_photo_without_time_for_halving_goes_alone(self) -> None:
        """A photo whose client cannot wait for all the calls that may follow is asked about alone,
        beside the rest of its group."""
        provider = eye()
        async with run_groups(provider, moderation_route("2x2", "2x1")) as pipeline:
            pipeline.upstream["eye"].canvas_s = 10.0
            patient_answers = [pipeline.answer_each(clean_photo()) for _ in range(3)]
            hurried_answer = pipeline.scheduler.answer_all(
                [(block_photo(), Way(pipeline.route))], ANN, deadline_s=25
            )
            (hurried,), *patient = await asyncio.gather(hurried_answer, *patient_answers)
            assert labels([hurried]) == [["Unsafe"]]
            assert [step.photos for step in hurried.steps] == [1]
            assert labels([each for (each,) in patient]) == [[]] * 3
            assert sorted(pipeline.shapes)[0] == "1x1"

    async def test_no_call_is_made_for_clients_that_have_gone(self) -> None:
        """No tenant pays for photos whose clients have gone amid halving."""
        gate = asyncio.Event()

        provider = eye(gate=gate)
        async with run_groups(provider, moderation_route("2x2", "2x1")) as pipeline:
            calls = [asyncio.create_task(pipeline.answer_each(block_photo())) for _ in range(4)]
            await wait_until(lambda: provider.active_calls)
            for each in calls:
                each.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            await wait_until(
                lambda: (
                    not pipeline.scheduler._waiters.pending
                    and not pipeline.scheduler._background.running
                )
            )
            gate.set()
            await wait_until(lambda: not pipeline.scheduler._canvases.running)
            assert provider.calls == 1

    async def test_a_half_that_leaves_takes_nothing_from_the_other(self) -> None:
        """Clients of one half that go away take nothing from the clients of the other half, who are
        answered."""

        def leave(picture: Picture, task: Task) -> Sequence[Detection]:
            if provider.calls == 1:
                for each in calls[:2]:
                    each.cancel()
            return unsafe(picture, task)

        provider = eye(leave)
        async with run_groups(provider, moderation_route("2x2", "2x1")) as pipeline:
            calls = [
                asyncio.create_task(pipeline.answer_each(each))
                for each in (clean_photo(), clean_photo(), clean_photo(), block_photo())
            ]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert labels([outcome for (outcome,) in outcomes[2:]]) == [[], ["Unsafe"]]
            assert pipeline.shapes == ["2x2", "2x1", "1x1", "1x1"]
            assert await pipeline.buffer.occupancy() == Occupancy()

    async def test_a_lost_call_about_a_half_fails_that_half(self) -> None:
        """By the rule `fail` only the photos whose bill is unknown fail, and the other half is
        asked about with other photos."""

        def lose_second(picture: Picture, task: Task) -> Sequence[Detection]:
            if provider.calls == 2:
                raise NoAnswer("silence")
            return unsafe(picture, task)

        provider = eye(lose_second)
        async with run_groups(
            provider, moderation_route("2x2", "2x1"), billed_unknown="fail"
        ) as pipeline:
            *lost_half, three, four = await pipeline.answer_each(
                clean_photo(), clean_photo(), clean_photo(), block_photo()
            )
            assert [type(each.error).__name__ for each in lost_half] == ["BilledUnknown"] * 2
            assert labels([three, four]) == [[], ["Unsafe"]]


SIDES = st.sampled_from([0, 0, 0, 60, 80, 120])
"""The side of a photo's block, which is found at every shape; 0 is no block."""


SHAPES = ("3x3", "2x2"), ("2x2", "2x1"), ("4x3",)
"""The shapes of a cascade's groups."""


@pytest.mark.slow
class TestProperties:
    @given(
        sides=st.lists(SIDES, min_size=1, max_size=14),
        shapes=st.sampled_from(SHAPES),
    )
    @examples(25)
    def test_every_photo_has_its_own_answer(
        self, sides: list[int], shapes: tuple[str, ...]
    ) -> None:
        """Among any photos, a positive one ends with its own answer alone and a clean one with an
        empty answer, each is asked about a bounded number of times, and the parts of the bill add
        up to the bill."""
        asyncio.run(self._answer_photos(sides, shapes))

    async def _answer_photos(self, sides: list[int], shapes: tuple[str, ...]) -> None:
        provider = eye(about={"canvas_px": (160, 160)})
        route = moderation_route(cascade=group_cascade(*shapes, threshold=0.1), max_wait_s=0.002)
        async with run_groups(provider, route) as pipeline:
            outcomes = await pipeline.answer_each(
                *(block_photo(side) if side else clean_photo() for side in sides)
            )
            assert labels(outcomes) == [["Unsafe"] if side else [] for side in sides]
            for side, outcome in zip(sides, outcomes, strict=True):
                assert not side or (
                    outcome.steps[-1].shape == ALONE
                    and outcome.detections == outcome.steps[-1].detections
                )
            largest_group = Shape.parse(shapes[0]).cells
            assert provider.calls <= len(sides) * (2 + largest_group.bit_length())
            assert sum(outcome.share for outcome in outcomes) == pytest.approx(provider.calls)
            assert await pipeline.billed_images() == pytest.approx(provider.calls)
            assert await pipeline.buffer.occupancy() == Occupancy()

    @given(seed=st.integers(0, 10**9), rule=st.sampled_from(["retry", "fail"]))
    @examples(10)
    def test_faults_and_leavers_harm_no_other_photo(
        self, seed: int, rule: Literal["retry", "fail"]
    ) -> None:
        """Under any faults and with clients that leave amid halving, all other photos have their
        own answer or an error that is not their deadline's, each answer is billed once, and no
        photo leaves anything behind."""
        asyncio.run(self._answer_amid_faults(random.Random(seed), rule))

    async def _answer_amid_faults(self, rng: random.Random, rule: Literal["retry", "fail"]) -> None:
        faults = [
            Throttled("slow down", 0.001),
            *(kind("no") for kind in (Unavailable, NoAnswer, PictureRefused)),
        ]
        answers = 0

        def script(picture: Picture, task: Task) -> Sequence[Detection]:
            nonlocal answers
            if rng.random() < 0.2:
                raise rng.choice(faults)
            if rng.random() < 0.2:
                rng.choice(calls).cancel()
            answers += 1
            return unsafe(picture, task)

        route = moderation_route(
            cascade=group_cascade("3x3", "2x2", "2x1", threshold=0.1), max_wait_s=0.002
        )
        async with run_groups(
            eye(script, about={"canvas_px": (160, 160)}),
            route,
            billed_unknown=rule,
        ) as pipeline:
            sides = rng.choices([0, 60, 80], [3, 1, 1], k=rng.randint(1, 20))
            calls = [
                asyncio.create_task(
                    pipeline.answer_each(block_photo(side) if side else clean_photo())
                )
                for side in sides
            ]
            for side, result in zip(
                sides, await asyncio.gather(*calls, return_exceptions=True), strict=True
            ):
                if not isinstance(result, asyncio.CancelledError):
                    (outcome,) = result
                    own_labels = ["Unsafe"] if side else []
                    assert isinstance(outcome.error, BadFormat | BilledUnknown) or labels(
                        [outcome]
                    ) == [own_labels]
            await wait_until(
                lambda: (
                    not pipeline.scheduler._canvases.running
                    and not pipeline.scheduler._background.running
                )
            )
            assert await pipeline.billed_images() == pytest.approx(answers)
            assert await pipeline.buffer.occupancy() == Occupancy()
            assert pipeline.renderer._tiles == {}


LANE = Lane("eye", Task.MODERATION, "shared", Shape(2, 2))


@asynccontextmanager
async def replica(server: RedisServer) -> AsyncIterator[RedisBuffer]:
    """A replica's buffer on that server."""
    commands = patient_commands(server)
    try:
        yield RedisBuffer(commands, Capacity(), Capacity(), clock=steady())
    finally:
        await commands.close()


def group_tester_at(buffer: RedisBuffer, provider: ScriptedProvider) -> GroupTester:
    """The group tester of the replica with this buffer."""
    return steps_at(buffer, provider, moderation_route("2x2", "2x1")).group_tester


async def test_another_replica_answers_when_one_dies_amid_halving(server: RedisServer) -> None:
    """The photos that a replica cleared and paid for before it died stay cleared, and the photos
    that it still held are answered by another replica, so none is lost."""
    dying = asyncio.Event()

    class Mortal(ScriptedProvider):
        async def detect(
            self, picture: Picture, task: Task, extras: Sequence[str] = ()
        ) -> Sequence[Detection]:
            if self.calls == 2:
                dying.set()
                await asyncio.Event().wait()
            return await super().detect(picture, task, extras)

    recorder, mortal, other = BufferRecorder(), Mortal(unsafe, about=eye().about), eye()
    async with replica(server) as one, replica(server) as two, two.serving(recorder):
        now = time.time()
        photos = [
            replace(each, id=name)
            for name, each in zip(
                "abcd", (clean_photo(), clean_photo(), block_photo(), clean_photo()), strict=True
            )
        ]
        await two.put(
            [Entry(each, "moderation", "ann", LANE, now, now, now, now + 600) for each in photos]
        )
        halving = asyncio.create_task(
            group_tester_at(one, mortal).run(LANE, await one.claim(LANE, now + 1))
        )
        await dying.wait()
        assert set(recorder.outcomes) == {"a", "b"}
        halving.cancel()
        await asyncio.gather(halving, return_exceptions=True)
        await die(one)
        await two.heartbeat.beat()
        await group_tester_at(two, other).run(LANE, await two.claim(LANE, now + 1))
        while entries := await two.claim(LANE, now + 60):
            await group_tester_at(two, other).run(LANE, entries)
        await recorder.until(lambda: len(recorder.outcomes) == 4)
        answers = {
            name: [each.label for each in outcome.detections]
            for name, outcome in recorder.outcomes.items()
        }
        assert answers == {"a": [], "b": [], "c": ["Unsafe"], "d": []}
        account = total(await tenant_accounts(two.ledger))
        assert account.billed == pytest.approx(2 + other.calls)
        assert account.unknown == pytest.approx(1)
