"""Which plans are made, and which photos go by them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from gateway.core.events import PlanLearned
from gateway.learning.lessons import FIRST_PHOTOS, LearningTerms, Phase, plan_name
from gateway.learning.plans import LearnedPlan, LearningGoal
from gateway.store.learning import LearningStore, Tally
from tests.support.learning import (
    CASCADE,
    GRIDS,
    PRESS,
    ROUTE,
    SHOP,
    TERMS,
    Bench,
    Desk,
    settled,
    stores,
)
from tests.support.waiting import wait_until
from thresholds.cascade import Cascade, Stage
from thresholds.shape import Shape
from thresholds.variants import TARGET

NAME = plan_name("shop", Desk().cascade)


class TestPlans:
    """As soon as there are observations enough, a plan is made, and photos go by it."""

    async def test_new_photos_go_by_the_plan(self, store: LearningStore) -> None:
        """Before the plan photos go alone; after it by its cascade. The event says what it
        saves."""
        bench = Bench(store)
        await bench.learn(photos=FIRST_PHOTOS - 1)
        assert bench.current() is bench.routes["objects"]
        await bench.learn(photos=1)
        route = bench.current()
        assert (route.cascade, route.plan, route.title) == (CASCADE, NAME, "objects/shop")
        state = bench.lessons.state(route, "shop")
        assert state is not None
        assert state.phase == Phase.SAVING
        (told,) = bench.recorder.of(PlanLearned)
        assert (told.pool, told.is_saving, told.images) == ("shop", True, 0.25)

    async def test_photos_under_way_stay_with_their_plan(self, store: LearningStore) -> None:
        """A photo that came by an earlier plan is judged by that one's cascade."""
        bench = Bench(store)
        await bench.learn()
        earlier = bench.current()
        bench.desk.cascade = Cascade(stages=(Stage(shape=Shape(3, 3)),)).model_dump_json()
        await bench.learn()
        assert bench.current().plan == plan_name("shop", bench.desk.cascade) != NAME
        assert bench.routes["objects"].at(NAME) is earlier

    async def test_another_plan_of_the_same_number_is_another_plan(
        self, store: LearningStore
    ) -> None:
        """Where another replica replaced the plan, as for another goal, and it is made anew, photos
        go by the new cascade, and those under way by the one that they came by."""
        bench = Bench(store)
        await bench.learn()
        key = bench.lessons.key("objects", "shop")
        await store.publish(key, msgspec.json.encode(LearnedPlan(1, LearningGoal(save=0.5), 240)))
        bench.desk.cascade = Cascade(stages=(Stage(shape=Shape(3, 3)),)).model_dump_json()
        await bench.learn()
        assert [request.number for request in bench.desk.requests] == [1, 1]
        assert bench.current().cascade.shapes == "3x3"
        assert bench.routes["objects"].at(NAME).cascade == CASCADE

    async def test_a_plan_is_decoded_once(self, store: LearningStore) -> None:
        """While the plan stays as it is, only the account is taken over: a cascade is large."""
        bench = Bench(store)
        await bench.learn()
        first = bench.lessons.state(ROUTE, "shop")
        await store.add(bench.lessons.key("objects", "shop"), Tally(photos=7))
        await bench.learner.read()
        second = bench.lessons.state(ROUTE, "shop")
        assert first is not None
        assert second is not None
        assert second.plan is first.plan
        assert second.lesson.tally.photos == 7

    async def test_a_plan_that_certifies_nothing_changes_nothing(
        self, store: LearningStore
    ) -> None:
        """Where nothing is certified photos go on alone, and more are observed."""
        bench = Bench(store, desk=Desk(cascade=""))
        await bench.learn()
        assert bench.current().plan == ""
        state = bench.lessons.state(ROUTE, "shop")
        assert state is not None
        assert (state.phase, state.next_photos) == (Phase.LEARNING, 1.5 * FIRST_PHOTOS)

    async def test_pools_learn_apart(self, store: LearningStore) -> None:
        """Photos of one pool teach nothing about those of another."""
        bench = Bench(store)
        await bench.learn(SHOP)
        assert bench.current(PRESS).plan == ""
        await bench.learn(PRESS)
        assert (bench.current(SHOP).plan, bench.current(PRESS).plan) == (
            NAME,
            NAME.replace("shop", "press"),
        )

    async def test_a_route_that_does_not_plan_itself_is_left_alone(
        self, store: LearningStore
    ) -> None:
        """Other routes have no lesson, and no plan."""
        bench = Bench(store)
        await bench.learn()
        assert bench.lessons.current(bench.routes["faces"], "shop") is bench.routes["faces"]
        assert bench.lessons.state(bench.routes["faces"], "shop") is None

    async def test_the_plan_before_is_in_the_request(self, store: LearningStore) -> None:
        """Each plan is made with the one before it, so that it counts and may keep that."""
        bench = Bench(store)
        await bench.learn()
        await bench.learn()
        first, second = bench.desk.requests
        assert (first.number, first.earlier) == (1, None)
        assert second.number == 2
        assert second.earlier is not None
        assert second.earlier.number == 1


class TestProcesses:
    """What was learned is shared, and survives."""

    async def test_a_new_process_goes_by_the_plan_at_once(self, tmp_path: Path) -> None:
        """After a restart photos go by what was learned before."""
        async with stores(tmp_path) as (store,):
            await Bench(store).learn()
        async with stores(tmp_path) as (store,):
            bench = Bench(store)
            await bench.learner.read()
            assert (bench.current().cascade, bench.desk.requests) == (CASCADE, [])

    @pytest.mark.parametrize("turn", range(5))
    async def test_one_of_two_processes_makes_the_plan(self, tmp_path: Path, turn: int) -> None:
        """Replicas learn together: the observations of both count, one plans, and both go by the
        plan."""
        async with stores(tmp_path, 2) as both:
            here, there = (Bench(store) for store in both)
            key = here.lessons.key("objects", "shop")
            for bench in (here, there):
                await bench.store.add(key, Tally(), [b"observation"] * (FIRST_PHOTOS // 2))
            await asyncio.gather(here.learner.update(), there.learner.update())
            await asyncio.gather(here.learner.read(), there.learner.read())
            assert len(here.desk.requests) + len(there.desk.requests) == 1
            assert here.current().plan == there.current().plan == NAME

    @pytest.mark.parametrize(
        "terms",
        [
            replace(TERMS, goal=LearningGoal(max_drop=0.05)),
            replace(TERMS, origin="another model"),
        ],
        ids=["another goal", "another provider"],
    )
    async def test_a_plan_for_something_else_is_not_used(
        self, tmp_path: Path, terms: LearningTerms
    ) -> None:
        """After a change of the goal or of the provider photos go alone until there is a plan for
        it."""
        async with stores(tmp_path) as (store,):
            await Bench(store).learn()
            bench = Bench(store, terms)
            await bench.learner.read()
            assert bench.current().plan == ""

    @pytest.mark.parametrize("cascade", ["no JSON", '{"stages": [], "kind": "of later"}'])
    async def test_a_plan_that_cannot_be_read_is_not_used(
        self, store: LearningStore, cascade: str
    ) -> None:
        """Photos go alone where another release wrote the plan in a form that this one does not
        know."""
        bench = Bench(store, desk=Desk(cascade=cascade))
        await bench.learn()
        await bench.learner.update()
        assert bench.current().plan == ""
        assert len(bench.desk.requests) == 1

    async def test_replicas_of_other_goals_do_not_plan_in_turns(self, tmp_path: Path) -> None:
        """While a change of the goal is rolled out, each replica makes one plan of what there is,
        and no more until there is more to learn from."""
        async with stores(tmp_path, 2) as both:
            goals = LearningGoal(max_drop=0.02), LearningGoal(max_drop=0.05)
            here, there = (
                Bench(store, replace(TERMS, goal=goal))
                for store, goal in zip(both, goals, strict=True)
            )
            await here.learn()
            for _ in range(3):
                await there.learner.update()
                await here.learner.update()
            assert (len(here.desk.requests), len(there.desk.requests)) == (1, 1)

    async def test_what_was_counted_is_written_in_the_end(self, store: LearningStore) -> None:
        """A process that ends writes its account."""
        bench = Bench(store, replace(TERMS, images=0))
        running = asyncio.create_task(bench.learner.run())
        await asyncio.sleep(0)
        bench.tell(settled(), settled())
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        lessons = await wait_until(store.lessons)
        assert [lesson.tally.photos for lesson in lessons.values()] == [2]


def test_a_plan_is_named_by_its_pool_and_its_cascade() -> None:
    """The name is the pool and the beginning of the cascade's SHA-256."""
    assert plan_name("shop", "x") == "shop#2d711642"


def test_a_photo_goes_by_a_variant_of_its_plan() -> None:
    """The variants of a learned route are those of its cascade, and each look is one too."""
    route = replace(ROUTE, cascade=CASCADE, plan=NAME)
    assert route.variant(TARGET) is CASCADE
    shapes: Sequence[str] = [route.variant(f"look {shape}").shapes for shape in GRIDS]
    assert shapes == ["2x1", "2x2"]
