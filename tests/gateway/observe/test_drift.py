"""Watching: a share of the photos is asked about alone as well, and a route that breaks its promise
tightens by itself.

Photos are 320 pixels wide, as is the canvas. The eye overlooks what is under 12 pixels wide on a
picture: a block of 24 is found alone and in a 1x2 grid, and is lost in a 3x3 one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.app import running
from gateway.core.errors import Busy, UpstreamFailed
from gateway.core.events import (
    CanvasAnswered,
    ComparisonSkipped,
    Events,
    LevelChanged,
    PhotoCompared,
    Settled,
)
from gateway.core.model import Entry, Lane, Outcome, Route, Step, Tenant, Way
from gateway.ledger.accounts import Account
from gateway.observe.drift import AT_ONCE, WAITING, DriftMonitor, DriftTerms
from gateway.testing.gateway import parts_of
from gateway.testing.listeners import EventRecorder
from gateway.testing.pictures import Block, drawn, encoded, photo
from gateway.testing.provider import ScriptedProvider, about, see_shapes
from providers.detection import Box, Detection, Task
from providers.errors import Unavailable
from providers.prices import Price
from tests.support.waiting import wait_until
from thresholds.cascade import Cascade, Promise, Stage
from thresholds.shape import ALONE, Shape

LEAST_PX = 12
CONTENT = {"kind": "imgrid", "area": {"mean": 0}}
"""Content with anything, be it nothing: a rule that was made from large objects."""
STAGES = [{"shape": "3x3", "rule": CONTENT}, {"shape": "2x2", "rule": CONTENT}, {"shape": "1x1"}]
ANN = Tenant("ann", "ann")
ORDINARY = encoded(drawn((320, 320), Block("red", 80, 80, 240, 240)))
TINY = encoded(drawn((320, 320), Block("red", 100, 100, 124, 124)))
DARK = encoded(drawn((320, 320), Block("blue", 150, 40, 170, 280)))


def short_sighted(picture, task):
    return [
        d for d in see_shapes(picture, task) if (d.box.x1 - d.box.x0) * picture.width_px >= LEAST_PX
    ]


def ordinary():
    """A photo whose object is seen in any grid."""
    return photo(ORDINARY)


def tiny():
    """One whose object is seen only alone."""
    return photo(TINY)


def dark():
    """One that is as good as black where it is small: nothing is told from its paper but alone."""
    return photo(DARK)


class World:
    """A gateway with one route of 3x3, 2x2 and 1x1; all its photos are compared, unless `share`
    says otherwise."""

    def __init__(self, folder, provider=None, **watch):
        self.told = EventRecorder()
        self.eye = provider or ScriptedProvider(short_sighted, about=about("eye", price=Price(1.0)))
        route = {
            "task": "objects",
            "provider": "eye",
            "stages": STAGES,
            "max_wait_ms": 10_000,
            "watch": {"share": 1, "agreement": 0.9, **watch},
        }
        config = {
            "providers": {"eye": {"kind": "shapes"}},
            "routes": [route],
            "jobs": {"max_wait_ms": 0},
            "threads": 1,
        }
        self.parts = parts_of(folder, config, {"eye": self.eye})
        self.parts.events.listeners.append(self.told)

    @property
    def route(self):
        return self.parts.routes["objects"]

    @property
    def level(self):
        return self.parts.pipeline.drift_monitor.level("objects")

    async def grid(self, kind, photos=None):
        """Photos of a kind at the same time, as the route's clients would ask, so many that they
        fill grids; when all are compared."""
        photos = photos or (8 if self.level == "finer" else 9)
        before = len(self.compared)
        flow = self.parts.pipeline.scheduler
        asked = [flow.answer([kind()], self.route, ANN, variant=self.level) for _ in range(photos)]
        outcomes = [outcome for (outcome,) in await asyncio.gather(*asked)]
        await wait_until(lambda: len(self.compared) >= before + photos)
        return outcomes

    async def holds(self, photos):
        while (await self.parts.stores.inspection.occupancy()).photos < photos:
            await asyncio.sleep(0)

    @property
    def compared(self):
        return self.told.of(PhotoCompared) + self.told.of(ComparisonSkipped)

    async def until(self, level, kind, *, grids):
        """Grids of that kind of photos until the route has that level. It fails where that takes
        more than so many."""
        for _ in range(grids):
            if self.level == level:
                return
            await self.grid(kind)
        assert self.level == level

    @property
    def way(self):
        return [changed.after for changed in self.told.of(LevelChanged)]


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., Any]:
    """`async with world(provider, **watch) as each`: a world that runs."""

    @asynccontextmanager
    async def entered(provider=None, **watch):
        each = World(tmp_path, provider, **watch)
        async with asyncio.timeout(60), running(each.parts):
            yield each

    return entered


@pytest.mark.slow
class TestDrift:
    async def test_a_route_keeps_its_level_while_photos_stay_the_same(
        self, world: Callable[..., Any]
    ) -> None:
        """A route keeps its level while the photos stay the same."""
        async with world() as each:
            for _ in range(20):
                await each.grid(ordinary)
            assert (each.level, each.way) == ("target", [])
            interval = each.parts.pipeline.drift_monitor.records["objects"].overall.interval
            assert interval.mean == 1
            assert interval.low > 0.9

    @pytest.mark.parametrize("kind", [tiny, dark])
    async def test_a_route_tightens_and_recovers_step_by_step(
        self, world: Callable[..., Any], kind: Callable[..., Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Photos that grids cannot show tighten the route step by step until each photo is asked
        alone and nothing is lost; ordinary photos make it recover step by step."""
        async with world(agreement=0.5) as each:
            for _ in range(3):
                await each.grid(ordinary)
            assert not any(outcome.detections for outcome in await each.grid(kind))
            await each.until("exact", kind, grids=12)
            assert each.way == ["strict", "finer", "exact"]
            assert all(len(outcome.detections) == 1 for outcome in await each.grid(kind, photos=2))
            await each.until("target", ordinary, grids=40)
            assert each.way == ["strict", "finer", "exact", "finer", "strict", "target"]
        told = [record.message for record in caplog.records if record.levelno == logging.WARNING]
        assert len(told) == 6
        began = (
            "route objects goes by {}, no longer by {}: its agreement with photos alone has {} "
            "the promised 0.500; "
        )
        assert told[0].startswith(began.format("strict", "target", "fallen below"))
        assert told[-1].startswith(began.format("target", "strict", "risen above"))

    async def test_a_few_strange_photos_change_nothing(self, world: Callable[..., Any]) -> None:
        """A few strange photos among many ordinary ones change nothing while the mean is as
        promised."""
        async with world(agreement=0.7) as each:
            for _ in range(15):
                await each.grid(ordinary)
                kinds = iter([tiny, *[ordinary] * 8])
                await each.grid(lambda kinds=kinds: next(kinds)())
            assert each.way == []

    async def test_a_route_without_a_promise_never_tightens(
        self, world: Callable[..., Any]
    ) -> None:
        """Without a promise the agreement is recorded, and the route never tightens."""
        async with world(agreement=None) as each:
            for _ in range(5):
                await each.grid(tiny)
            record = each.parts.pipeline.drift_monitor.records["objects"]
            assert (record.overall.interval.mean, record.overall.count) == (0, 45)
            assert each.way == []

    async def test_settings_override_the_promise_of_the_cascade(self, tmp_path: Path) -> None:
        """The route must keep the promise of its cascade's plan, unless the settings override
        it."""
        cascade = Cascade(
            stages=STAGES,
            promise=Promise(metric="ap50", max_drop=0.1, delta=0.1, photos=9, agreement=0.6),
        )
        (tmp_path / "cascade.json").write_text(cascade.model_dump_json())
        route = {"task": "objects", "provider": "eye", "cascade": "cascade.json"}
        for watch, promised in (
            ({}, 0.6),
            ({"watch": {"agreement": 0.8}}, 0.8),
            ({"watch": {"agreement": 0.0}}, 0.0),
        ):
            parts = parts_of(
                tmp_path, {"providers": {"eye": {"kind": "shapes"}}, "routes": [{**route, **watch}]}
            )
            assert parts.pipeline.drift_monitor.records["objects"].promised == promised
            parts.pipeline.renderer.close()


class TestBill:
    async def test_watching_is_billed_to_the_photos_tenant(self, world: Callable[..., Any]) -> None:
        """The ledger bills a watched photo to the photo's tenant, and does not count it as one of
        the tenant's photos."""
        async with world() as each:
            await each.grid(ordinary)
            account = (await each.parts.stores.ledger.accounts())["ann"]
            assert account == Account(
                photos=9, answered=9, billed=10.0, paid_usd=10.0, alone_usd=9.0
            )

    async def test_metrics_count_watching_apart(self, world: Callable[..., Any]) -> None:
        """Metrics count the images billed for watching apart, and no photos for it."""
        async with world() as each:
            await each.grid(ordinary)
            value = each.parts.metrics.registry.get_sample_value
            assert value("imgrid_watched_images_total", {"route": "objects"}) == 9
            assert (
                value("imgrid_photos_total", {"tenant": "ann", "task": "objects", "outcome": "ok"})
                == 9
            )
            assert value("imgrid_photo_seconds_count", {"route": "objects"}) == 9
            assert value("imgrid_saved_images", {"tenant": "ann"}) == pytest.approx(-1)


CAT, OWL = (Detection(label, 0.9, Box(0.1, 0.1, 0.6, 0.6)) for label in ("cat", "owl"))
ROUTE = Route("objects", Task.OBJECTS, "eye", Cascade(stages=STAGES))
TEXT = replace(ROUTE, name="text", task=Task.TEXT)
PLAIN = replace(ROUTE, name="plain", cascade=Cascade(stages=[Stage(shape=ALONE)]))


def step(shape="3x3", provider="eye", found=()):
    return Step(0, provider, "c", Shape.parse(shape), 9, 1, 0, 0, 0, tuple(found))


def settled(*found, route=ROUTE, variant="target", steps=(), error=None, **changes):
    """A photo was answered."""
    lane = Lane("eye", route.task, "pool", Shape(3, 3))
    entry = Entry(ordinary(), route.name, "ann", lane, 0, 0, 0, 60, variant=variant, **changes)
    return Settled(
        entry, Outcome(entry.photo, found, tuple(steps) or (step(found=found),), error), 0.1
    )


class Bench:
    """A watcher that asks a script: `asked` are the variants, `answer` what is said of any
    photo."""

    def __init__(self, answer=lambda variant: [CAT], promised=0.5, share=1.0, chance=0.5):
        self.told, self.asked, self.now = EventRecorder(), [], 5.0
        self.photos = []
        terms = {route.name: DriftTerms(share, 0.05, promised) for route in (ROUTE, TEXT, PLAIN)}
        self.answer = answer
        self.watcher = DriftMonitor(
            {route.name: route for route in (ROUTE, TEXT, PLAIN)},
            terms,
            self.ask,
            Events([self.told]),
            clock=lambda: self.now,
            rng=Always(chance),
        )

    async def ask(self, photo, way, tenant):
        variant = way.variant
        self.asked.append(variant)
        self.photos.append((photo, tenant))
        found = self.answer(variant)
        return (
            Outcome(photo, found)
            if not isinstance(found, Exception)
            else Outcome(photo, error=found)
        )

    async def sees(self, *events):
        """All of it is told, and what is to be asked is asked."""
        for event in events:
            self.watcher(event)
        working = asyncio.create_task(self.watcher.run())
        await wait_until(self.watcher._waiting.empty)
        for _ in range(5):
            await asyncio.sleep(0)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    def mean(self, label=None, route="objects"):
        record = self.watcher.records[route]
        mean = record.labels.get(label) if label else record.overall
        return mean and mean.interval and round(mean.interval.mean, 3)


class Always:
    """Chance that always says the same."""

    def __init__(self, chance):
        self.chance = chance

    def random(self):
        return self.chance


class TestCompared:
    async def test_a_cascades_answer_is_compared_with_one_alone(self) -> None:
        """A cascade's answer is compared with one for the same photo alone, under another id, with
        its tenant and pool."""
        bench = Bench()
        event = settled(CAT, OWL)
        await bench.sees(event)
        assert bench.asked == ["exact"]
        ((photo, tenant),) = bench.photos
        assert (photo.data, tenant) == (event.entry.photo.data, Tenant("ann", "pool"))
        assert photo.id != event.entry.photo.id
        assert bench.mean() == 0.667

    async def test_each_label_is_compared_except_texts(self) -> None:
        """Each label of either answer is compared as well, except for texts, where everything is a
        label."""
        bench = Bench()
        await bench.sees(settled(CAT, OWL), settled(CAT), settled(CAT, route=TEXT))
        assert (bench.mean("cat"), bench.mean("owl"), bench.mean("dog")) == (1, 0, None)
        assert bench.mean(route="text") == 1
        assert bench.watcher.records["text"].labels == {}

    async def test_a_photo_already_asked_alone_is_not_asked_again(self) -> None:
        """A photo that its cascade asked alone is not asked alone again."""
        bench = Bench()
        await bench.sees(settled(CAT, steps=[step(), step("1x1", found=[CAT])]))
        assert (bench.asked, bench.mean()) == ([], 1)

    async def test_a_fallbacks_answer_is_not_compared(self) -> None:
        """The answer of a fallback provider is not compared."""
        bench = Bench()
        await bench.sees(settled(CAT, steps=[replace(step("3x3", "two", [CAT]), fallback=True)]))
        assert (bench.asked, bench.mean()) == ([], None)

    async def test_an_answer_alone_from_another_provider_does_not_count(self) -> None:
        """An answer alone from another provider is not what the promise refers to."""
        bench = Bench()
        await bench.sees(settled(OWL, steps=[step("1x1", "det", [OWL]), step("3x3", found=[OWL])]))
        assert (bench.asked, bench.mean()) == (["exact"], 0)

    async def test_a_tightened_route_still_compares_the_target(self) -> None:
        """A tightened route still compares the target, which is asked as well; the photo is asked
        alone only if that answer is not known."""
        bench = Bench(lambda variant: [OWL] if variant == "target" else [CAT])
        await bench.sees(settled(CAT, variant="strict"))
        assert (bench.asked, bench.mean()) == (["exact", "target"], 0)
        await bench.sees(settled(CAT, variant="finer", steps=[step("1x1", found=[CAT])]))
        assert bench.asked == ["exact", "target", "target"]

    @pytest.mark.parametrize(
        "event",
        [
            settled(CAT, variant="cheapest"),
            settled(CAT, variant="exact"),
            settled(CAT, watched=True),
            settled(error=UpstreamFailed("no")),
            settled(CAT, route=PLAIN),
            settled(CAT, route=replace(ROUTE, name="gone")),
        ],
    )
    async def test_photos_without_a_target_answer_are_not_compared(self, event: Settled) -> None:
        """Photos are not compared if their client asked for another quality, if they are watched or
        failed, or if their route asks each photo alone or no longer exists."""
        bench = Bench()
        await bench.sees(event)
        assert (bench.asked, bench.told.events) == ([], [])

    @pytest.mark.parametrize(
        ("share", "chance", "count"), [(0.01, 0.009, 1), (0.01, 0.01, 0), (0, 0.0, 0), (1, 0.99, 1)]
    )
    async def test_a_random_share_of_photos_is_compared(
        self, share: float, chance: float, count: int
    ) -> None:
        """The configured share of the photos is compared, at random."""
        bench = Bench(share=share, chance=chance)
        await bench.sees(settled(CAT))
        assert len(bench.asked) == count

    async def test_a_new_level_begins_a_new_record(self) -> None:
        """A new level begins a new record at that time."""
        bench = Bench(promised=0.9)
        bench.now = 77.0
        await bench.sees(*(settled(OWL) for _ in range(5)))
        record = bench.watcher.records["objects"]
        assert (bench.watcher.level("objects"), record.since, record.level) == ("strict", 77.0, 1)
        (changed,) = bench.told.of(LevelChanged)
        assert (changed.before, changed.after, changed.level) == ("target", "strict", 1)


class TestHarmless:
    async def test_a_full_queue_overlooks_further_photos(self) -> None:
        """Only a few photos wait to be compared; further ones are overlooked and reported as
        such."""
        bench = Bench()
        for _ in range(WAITING + 3):
            bench.watcher(settled(CAT))
        assert len(bench.told.of(ComparisonSkipped)) == 3

    @pytest.mark.parametrize("error", [UpstreamFailed("no"), Busy("full")])
    async def test_a_failed_comparison_does_not_stop_the_next(
        self, error: Busy | UpstreamFailed
    ) -> None:
        """A photo without an answer is overlooked, and the next one is compared."""
        answers = iter([error])
        bench = Bench(lambda variant: next(answers, [CAT]))
        await bench.sees(settled(CAT), settled(CAT))
        assert (len(bench.told.of(ComparisonSkipped)), len(bench.told.of(PhotoCompared))) == (1, 1)

    async def test_clients_are_answered_while_watching_fails(
        self, world: Callable[..., Any]
    ) -> None:
        """Clients are answered even if the provider fails for the drift monitor alone."""
        calls = iter([None, *[Unavailable("down")] * 100])

        def once(picture, task):
            if error := next(calls):
                raise error
            return short_sighted(picture, task)

        eye = ScriptedProvider(once, about=about("eye"))
        async with world(eye, share=1) as each:
            asked = [
                each.parts.pipeline.scheduler.answer([ordinary()], each.route, ANN)
                for _ in range(9)
            ]
            assert all(outcome.detections for (outcome,) in await asyncio.gather(*asked))

    async def test_watched_photos_wait_for_clients_photos(self, world: Callable[..., Any]) -> None:
        """A watched photo waits until no client's photo waits."""
        gate = asyncio.Event()
        eye = ScriptedProvider(short_sighted, about=about("eye", concurrency=1), gate=gate)
        async with world(eye) as each:
            flow = each.parts.pipeline.scheduler
            first = asyncio.create_task(flow.answer([ordinary()], each.route, ANN, variant="exact"))
            await wait_until(lambda: eye.calls)
            watched = asyncio.create_task(flow.watch(tiny(), Way(each.route, "exact"), ANN))
            await each.holds(2)
            second = asyncio.create_task(
                flow.answer([ordinary()], each.route, ANN, variant="exact")
            )
            await each.holds(3)
            gate.set()
            await asyncio.gather(first, watched, second)
            settled = [event.entry.watched for event in each.told.of(Settled)]
            assert settled == [False, False, True]

    async def test_a_watched_photo_keeps_the_full_grids_shape(
        self, world: Callable[..., Any]
    ) -> None:
        """A watched photo is as small as in its route's full grids, even if few photos are watched
        at a time."""
        async with world() as each:
            outcome = await each.parts.pipeline.scheduler.watch(tiny(), Way(each.route), ANN)
            assert outcome.detections == ()
            assert [str(asked.layout.shape) for asked in each.told.of(CanvasAnswered)] == ["3x3"]

    async def test_a_stopping_process_does_not_wait_for_watched_photos(
        self, world: Callable[..., Any]
    ) -> None:
        """A stopping process does not wait for watched photos."""
        gate = asyncio.Event()
        eye = ScriptedProvider(short_sighted, about=about("eye"), gate=gate)
        async with world(eye) as each:
            for _ in range(AT_ONCE):
                each.parts.pipeline.drift_monitor(settled(CAT, route=each.route))
            await wait_until(lambda: eye.calls == AT_ONCE)
            began = asyncio.get_running_loop().time()
            asyncio.get_running_loop().call_later(0.3, gate.set)
        assert asyncio.get_running_loop().time() - began < 5
        assert each.told.of(PhotoCompared) == []
