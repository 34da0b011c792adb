"""A share of the photos is also asked alone, and a route that breaks its promise tightens by
itself.

Photos are 320 pixels wide, as is the canvas. The eye overlooks objects under 12 pixels wide on a
picture: a block of 24 is found alone and in a 1x2 grid, and is lost in a 3x3 one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.app import running
from gateway.core.errors import Busy, GatewayError, UpstreamFailed
from gateway.core.events import (
    CanvasAnswered,
    ComparisonSkipped,
    Events,
    LevelChanged,
    PhotoCompared,
    Settled,
)
from gateway.core.model import Entry, Lane, Outcome, Photo, Route, Step, Tenant, Way
from gateway.ledger.accounts import Account
from gateway.observe.drift import (
    ALERT_COMPARISONS,
    AT_ONCE,
    WAITING,
    DriftMonitor,
    DriftTerms,
)
from gateway.store.ledger import tenant_accounts
from gateway.testing.gateway import parts_of
from gateway.testing.listeners import EventRecorder
from gateway.testing.pictures import Block, drawn, encoded, photo
from gateway.testing.provider import ScriptedProvider, about, see_shapes
from providers.base import Picture
from providers.detection import Box, Detection, Task
from providers.errors import Unavailable
from providers.prices import Price
from tests.support.waiting import wait_until
from thresholds.cascade import Cascade, Promise, Stage
from thresholds.shape import ALONE, Shape
from thresholds.shift import BASELINE

LEAST_PX = 12
CONTENT = {"kind": "imgrid", "area": {"mean": 0}}
"""Content with anything, be it nothing: a rule that was made from large objects."""
STAGES = [{"shape": "3x3", "rule": CONTENT}, {"shape": "2x2", "rule": CONTENT}, {"shape": "1x1"}]
ANN = Tenant("ann", "ann")
ORDINARY = encoded(drawn((320, 320), Block("red", 80, 80, 240, 240)))
TINY = encoded(drawn((320, 320), Block("red", 100, 100, 124, 124)))
DARK = encoded(drawn((320, 320), Block("blue", 150, 40, 170, 280)))


Kind = Callable[[], Photo]
"""A maker of photos of one kind."""


def short_sighted(picture: Picture, task: Task) -> list[Detection]:
    """The detections of an eye that overlooks narrow objects."""
    return [
        detection
        for detection in see_shapes(picture, task)
        if (detection.box.x1 - detection.box.x0) * picture.width_px >= LEAST_PX
    ]


def ordinary() -> Photo:
    """A photo whose object is seen in any grid."""
    return photo(ORDINARY)


def tiny() -> Photo:
    """A photo whose object is seen only alone."""
    return photo(TINY)


def dark() -> Photo:
    """A photo that is as good as black where it is small: its object is told from the paper only
    alone."""
    return photo(DARK)


class DriftHarness:
    """A gateway with one route of 3x3, 2x2 and 1x1. All its photos are compared unless `share` says
    otherwise."""

    def __init__(
        self, folder: Path, provider: ScriptedProvider | None = None, **watch: Any
    ) -> None:
        self.events = EventRecorder()
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
        self.parts.events.listeners.append(self.events)

    @property
    def route(self) -> Route:
        return self.parts.routes["objects"]

    @property
    def level(self) -> str:
        return self.parts.pipeline.drift_monitor.level(self.route)

    @property
    def comparisons(self) -> list[Any]:
        """The events of photos that were compared, or overlooked."""
        return self.events.of(PhotoCompared) + self.events.of(ComparisonSkipped)

    @property
    def level_changes(self) -> list[str]:
        """The levels that the route changed to."""
        return [change.after for change in self.events.of(LevelChanged)]

    async def grid(self, kind: Kind, photos: int | None = None) -> list[Outcome]:
        """The outcomes of photos of a kind that clients send at the same time, as many as fill
        grids, once all are compared."""
        photos = photos or (8 if self.level == "finer" else 9)
        before = len(self.comparisons)
        scheduler = self.parts.pipeline.scheduler
        calls = [
            scheduler.answer([kind()], self.route, ANN, variant=self.level) for _ in range(photos)
        ]
        outcomes = [outcome for (outcome,) in await asyncio.gather(*calls)]
        await wait_until(lambda: len(self.comparisons) >= before + photos)
        return outcomes

    async def holds(self, photos: int) -> None:
        """Returns once the buffer holds so many photos."""
        while (await self.parts.stores.inspection.occupancy()).photos < photos:
            await asyncio.sleep(0)

    async def until(self, level: str, kind: Kind, *, grids: int) -> None:
        """Sends grids of that kind of photos until the route has that level. Fails if that takes
        more than so many grids."""
        for _ in range(grids):
            if self.level == level:
                return
            await self.grid(kind)
        assert self.level == level


OpenGateway = Callable[..., AbstractAsyncContextManager[DriftHarness]]


@pytest.fixture
def open_gateway(tmp_path: Path) -> OpenGateway:
    """`async with open_gateway(provider, **watch) as harness`: a gateway that runs."""

    @asynccontextmanager
    async def opened(
        provider: ScriptedProvider | None = None, **watch: Any
    ) -> AsyncIterator[DriftHarness]:
        harness = DriftHarness(tmp_path, provider, **watch)
        async with asyncio.timeout(60), running(harness.parts):
            yield harness

    return opened


@pytest.mark.slow
class TestDrift:
    async def test_a_route_keeps_its_level_while_photos_stay_the_same(
        self, open_gateway: OpenGateway
    ) -> None:
        """A route keeps its level while the photos stay the same."""
        async with open_gateway() as harness:
            for _ in range(20):
                await harness.grid(ordinary)
            assert (harness.level, harness.level_changes) == ("target", [])
            interval = harness.parts.pipeline.drift_monitor.record(harness.route).overall.interval
            assert interval.mean == 1
            assert interval.low > 0.9

    @pytest.mark.parametrize("kind", [tiny, dark])
    async def test_a_route_tightens_and_recovers_step_by_step(
        self, open_gateway: OpenGateway, kind: Kind, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Photos that grids cannot show tighten the route step by step until each photo is asked
        alone and nothing is lost; ordinary photos make it recover step by step."""
        async with open_gateway(agreement=0.5) as harness:
            for _ in range(3):
                await harness.grid(ordinary)
            assert not any(outcome.detections for outcome in await harness.grid(kind))
            await harness.until("exact", kind, grids=12)
            assert harness.level_changes == ["strict", "finer", "exact"]
            assert all(
                len(outcome.detections) == 1 for outcome in await harness.grid(kind, photos=2)
            )
            await harness.until("target", ordinary, grids=40)
            assert harness.level_changes == [
                "strict",
                "finer",
                "exact",
                "finer",
                "strict",
                "target",
            ]
        warnings = [
            record.message for record in caplog.records if record.levelno == logging.WARNING
        ]
        assert len(warnings) == 6
        opening = (
            "route objects goes by {}, no longer by {}: its agreement with photos alone has {} "
            "the promised 0.500; "
        )
        assert warnings[0].startswith(opening.format("strict", "target", "fallen below"))
        assert warnings[-1].startswith(opening.format("target", "strict", "risen above"))

    async def test_a_few_strange_photos_change_nothing(self, open_gateway: OpenGateway) -> None:
        """A few strange photos among many ordinary ones change nothing while the mean is as
        promised."""
        async with open_gateway(agreement=0.7) as harness:
            for _ in range(15):
                await harness.grid(ordinary)
                kinds = iter([tiny, *[ordinary] * 8])
                await harness.grid(lambda kinds=kinds: next(kinds)())
            assert harness.level_changes == []

    async def test_a_route_without_a_promise_never_tightens(
        self, open_gateway: OpenGateway
    ) -> None:
        """Without a promise the agreement is recorded, and the route never tightens."""
        async with open_gateway(agreement=None) as harness:
            for _ in range(5):
                await harness.grid(tiny)
            record = harness.parts.pipeline.drift_monitor.record(harness.route)
            assert (record.overall.interval.mean, record.overall.count) == (0, 45)
            assert harness.level_changes == []

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
            assert parts.pipeline.drift_monitor.record(parts.routes["objects"]).promised == promised
            parts.pipeline.renderer.close()


class TestBill:
    async def test_watching_is_billed_to_the_photos_tenant(self, open_gateway: OpenGateway) -> None:
        """The ledger bills a watched photo to the photo's tenant, and does not count it as one of
        the tenant's photos."""
        async with open_gateway() as harness:
            await harness.grid(ordinary)
            account = (await tenant_accounts(harness.parts.stores.ledger))["ann"]
            assert account == Account(9, 9, billed=10.0, paid_usd=10.0, alone_usd=9.0, watching=9.0)

    async def test_metrics_count_watching_apart(self, open_gateway: OpenGateway) -> None:
        """Metrics count the images billed for watching apart, and no photos for it."""
        async with open_gateway() as harness:
            await harness.grid(ordinary)
            value = harness.parts.metrics.registry.get_sample_value
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
LABELS = replace(
    ROUTE,
    name="labels",
    cascade=Cascade(
        stages=STAGES,
        promise=Promise(
            metric="labels",
            max_drop=0.05,
            delta=0.1,
            photos=99,
            agreement=0.8,
            floor=0.85,
            min_score=0.7,
        ),
    ),
)


def step(shape: str = "3x3", provider: str = "eye", detections: Sequence[Detection] = ()) -> Step:
    return Step(0, provider, "c", Shape.parse(shape), 9, 1, 0, 0, 0, tuple(detections))


def settled(
    *detections: Detection,
    route: Route = ROUTE,
    variant: str = "target",
    steps: Sequence[Step] = (),
    error: GatewayError | None = None,
    **fields: Any,
) -> Settled:
    """The event of an answered photo."""
    lane = Lane("eye", route.task, "pool", Shape(3, 3))
    entry = Entry(ordinary(), route.name, "ann", lane, 0, 0, 0, 60, variant=variant, **fields)
    steps = tuple(steps) or (step(detections=detections),)
    return Settled(entry, Outcome(entry.photo, detections, steps, error), 0.1)


class MonitorBench:
    """A drift monitor that asks a script, which gives the answer or the error for a variant. Holds
    the variants, photos and tenants of its questions, and the events."""

    def __init__(
        self,
        answer: Callable[[str], Any] = lambda variant: [CAT],
        promised: float = 0.5,
        share: float = 1.0,
        chance: float = 0.5,
    ) -> None:
        self.events, self.now = EventRecorder(), 5.0
        self.variants: list[str] = []
        self.photos: list[tuple[Photo, Tenant]] = []
        self._answer = answer
        self.chance = ConstantChance(chance)
        routes = {route.name: route for route in (ROUTE, TEXT, PLAIN, LABELS)}
        self.monitor = DriftMonitor(
            routes,
            dict.fromkeys(routes, DriftTerms(share, 0.05, promised)),
            self.ask,
            Events([self.events]),
            clock=lambda: self.now,
            rng=self.chance,
        )

    async def ask(self, photo: Photo, way: Way, tenant: Tenant) -> Outcome:
        self.variants.append(way.variant)
        self.photos.append((photo, tenant))
        answer = self._answer(way.variant)
        if isinstance(answer, GatewayError):
            return Outcome(photo, error=answer)
        return Outcome(photo, answer)

    async def handle(self, *events: Settled) -> None:
        """Gives the monitor these events, and returns once it has asked all its questions."""
        for event in events:
            self.monitor(event)
        run = asyncio.create_task(self.monitor.run())
        await wait_until(self.monitor._waiting.empty)
        for _ in range(5):
            await asyncio.sleep(0)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)

    def mean(self, label: str | None = None, route: Route = ROUTE) -> float | None:
        """The mean agreement of a route, of all labels or of one."""
        record = self.monitor.record(route)
        mean = record.labels.get(label) if label else record.overall
        return mean and mean.interval and round(mean.interval.mean, 3)


class ConstantChance:
    """A source of chance that always gives the same number."""

    def __init__(self, chance: float) -> None:
        self.chance = chance

    def random(self) -> float:
        return self.chance


class TestCompared:
    async def test_a_cascades_answer_is_compared_with_one_alone(self) -> None:
        """A cascade's answer is compared with one for the same photo alone, under another id, with
        its tenant and pool."""
        bench = MonitorBench()
        event = settled(CAT, OWL)
        await bench.handle(event)
        assert bench.variants == ["exact"]
        ((photo, tenant),) = bench.photos
        assert (photo.data, tenant) == (event.entry.photo.data, Tenant("ann", "pool"))
        assert photo.id != event.entry.photo.id
        assert bench.mean() == 0.667

    async def test_each_label_is_compared_except_texts(self) -> None:
        """Each label of either answer is compared as well, except for texts, where everything is a
        label."""
        bench = MonitorBench()
        await bench.handle(settled(CAT, OWL), settled(CAT), settled(CAT, route=TEXT))
        assert (bench.mean("cat"), bench.mean("owl"), bench.mean("dog")) == (1, 0, None)
        assert bench.mean(route=TEXT) == 1
        assert bench.monitor.record(TEXT).labels == {}

    async def test_a_promise_about_labels_is_watched_by_sets_of_labels(self) -> None:
        """Where the promise is about labels, the sets of labels at its threshold are compared,
        wherever their boxes lie."""
        moved = replace(CAT, box=Box(0.7, 0.7, 0.9, 0.9))
        doubtful = replace(OWL, score=0.6)
        bench = MonitorBench()
        await bench.handle(settled(moved, doubtful, route=LABELS), settled(moved))
        assert (bench.mean(route=LABELS), bench.mean()) == (1, 0)
        await bench.handle(settled(moved, OWL, route=LABELS))
        assert bench.mean(route=LABELS) == pytest.approx((1 + 2 / 3) / 2, abs=1e-3)

    async def test_a_photo_already_asked_alone_is_not_asked_again(self) -> None:
        """A photo that its cascade asked alone is not asked alone again."""
        bench = MonitorBench()
        await bench.handle(settled(CAT, steps=[step(), step("1x1", detections=[CAT])]))
        assert (bench.variants, bench.mean()) == ([], 1)

    async def test_a_fallbacks_answer_is_not_compared(self) -> None:
        """The answer of a fallback provider is not compared."""
        bench = MonitorBench()
        await bench.handle(settled(CAT, steps=[replace(step("3x3", "two", [CAT]), fallback=True)]))
        assert (bench.variants, bench.mean()) == ([], None)

    async def test_an_answer_alone_from_another_provider_does_not_count(self) -> None:
        """An answer alone from another provider is not what the promise refers to."""
        bench = MonitorBench()
        await bench.handle(
            settled(OWL, steps=[step("1x1", "det", [OWL]), step("3x3", detections=[OWL])])
        )
        assert (bench.variants, bench.mean()) == (["exact"], 0)

    async def test_a_tightened_route_still_compares_the_target(self) -> None:
        """A tightened route still compares the target, which is asked as well; the photo is asked
        alone only if that answer is not known."""
        bench = MonitorBench(lambda variant: [OWL] if variant == "target" else [CAT])
        await bench.handle(settled(CAT, variant="strict"))
        assert (bench.variants, bench.mean()) == (["exact", "target"], 0)
        await bench.handle(settled(CAT, variant="finer", steps=[step("1x1", detections=[CAT])]))
        assert bench.variants == ["exact", "target", "target"]

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
        bench = MonitorBench()
        await bench.handle(event)
        assert (bench.variants, bench.events.events) == ([], [])

    @pytest.mark.parametrize(
        ("share", "chance", "count"), [(0.01, 0.009, 1), (0.01, 0.01, 0), (0, 0.0, 0), (1, 0.99, 1)]
    )
    async def test_a_random_share_of_photos_is_compared(
        self, share: float, chance: float, count: int
    ) -> None:
        """The configured share of the photos is compared, at random."""
        bench = MonitorBench(share=share, chance=chance)
        await bench.handle(settled(CAT))
        assert len(bench.variants) == count

    async def test_more_photos_are_compared_after_a_shift(self) -> None:
        """When the answers show that the photos have changed, ten times as many are compared, until
        a hundred were."""
        bench = MonitorBench(share=0.05, chance=0.3)
        await bench.handle(*(settled(CAT) for _ in range(BASELINE)))
        assert bench.mean() is None
        strange = replace(CAT, box=Box(0.4, 0.4, 0.42, 0.42), score=0.99)
        await bench.handle(*(settled(strange, OWL) for _ in range(60)))
        record = bench.monitor.record(ROUTE)
        assert 0 < record.overall.count < 60
        for _ in range(2 * ALERT_COMPARISONS // WAITING):
            await bench.handle(*(settled(strange, OWL) for _ in range(WAITING)))
        compared = len(bench.events.of(PhotoCompared))
        assert compared >= ALERT_COMPARISONS
        await bench.handle(settled(strange, OWL))
        assert len(bench.events.of(PhotoCompared)) == compared

    async def test_more_photos_are_compared_after_a_change_of_level(self) -> None:
        """When a route tightens, ten times as many photos are compared, so that it tightens further
        or recovers soon."""
        bench = MonitorBench(share=0.05, chance=0.04, promised=0.9)
        await bench.handle(*(settled(OWL) for _ in range(5)))
        assert bench.monitor.level(ROUTE) == "strict"
        bench.chance.chance = 0.3
        before = len(bench.events.of(PhotoCompared))
        await bench.handle(settled(CAT, variant="strict"))
        assert len(bench.events.of(PhotoCompared)) == before + 1

    async def test_a_new_level_begins_a_new_record(self) -> None:
        """A new level begins a new record at that time."""
        bench = MonitorBench(promised=0.9)
        bench.now = 77.0
        await bench.handle(*(settled(OWL) for _ in range(5)))
        record = bench.monitor.record(ROUTE)
        assert (bench.monitor.level(ROUTE), record.since, record.level) == ("strict", 77.0, 1)
        (change,) = bench.events.of(LevelChanged)
        assert (change.before, change.after, change.level) == ("target", "strict", 1)

    async def test_the_cause_of_a_level_is_the_record_before_it(self) -> None:
        """The monitor keeps the record for which the level last changed; before there is none."""
        bench = MonitorBench(promised=0.9)
        assert bench.monitor.cause(ROUTE) is None
        await bench.handle(*(settled(OWL) for _ in range(5)))
        (change,) = bench.events.of(LevelChanged)
        assert bench.monitor.cause(ROUTE) == change.record


class TestHarmless:
    async def test_a_full_queue_overlooks_further_photos(self) -> None:
        """Only a few photos wait to be compared; further ones are overlooked and reported as
        such."""
        bench = MonitorBench()
        for _ in range(WAITING + 3):
            bench.monitor(settled(CAT))
        assert len(bench.events.of(ComparisonSkipped)) == 3

    @pytest.mark.parametrize("error", [UpstreamFailed("no"), Busy("full")])
    async def test_a_failed_comparison_does_not_stop_the_next(self, error: GatewayError) -> None:
        """A photo without an answer is overlooked, and the next one is compared."""
        answers = iter([error])
        bench = MonitorBench(lambda variant: next(answers, [CAT]))
        await bench.handle(settled(CAT), settled(CAT))
        assert (len(bench.events.of(ComparisonSkipped)), len(bench.events.of(PhotoCompared))) == (
            1,
            1,
        )

    async def test_clients_are_answered_while_watching_fails(
        self, open_gateway: OpenGateway
    ) -> None:
        """Clients are answered even if the provider fails for the drift monitor alone."""
        calls = iter([None, *[Unavailable("down")] * 100])

        def once(picture: Picture, task: Task) -> list[Detection]:
            if error := next(calls):
                raise error
            return short_sighted(picture, task)

        eye = ScriptedProvider(once, about=about("eye"))
        async with open_gateway(eye, share=1) as harness:
            answers = [
                harness.parts.pipeline.scheduler.answer([ordinary()], harness.route, ANN)
                for _ in range(9)
            ]
            assert all(outcome.detections for (outcome,) in await asyncio.gather(*answers))

    async def test_watched_photos_wait_for_clients_photos(self, open_gateway: OpenGateway) -> None:
        """A watched photo waits until no client's photo waits."""
        gate = asyncio.Event()
        eye = ScriptedProvider(short_sighted, about=about("eye", concurrency=1), gate=gate)
        async with open_gateway(eye) as harness:
            scheduler = harness.parts.pipeline.scheduler
            first = asyncio.create_task(
                scheduler.answer([ordinary()], harness.route, ANN, variant="exact")
            )
            await wait_until(lambda: eye.calls)
            watched = asyncio.create_task(scheduler.watch(tiny(), Way(harness.route, "exact"), ANN))
            await harness.holds(2)
            second = asyncio.create_task(
                scheduler.answer([ordinary()], harness.route, ANN, variant="exact")
            )
            await harness.holds(3)
            gate.set()
            await asyncio.gather(first, watched, second)
            watched_flags = [event.entry.watched for event in harness.events.of(Settled)]
            assert watched_flags == [False, False, True]

    async def test_a_watched_photo_keeps_the_full_grids_shape(
        self, open_gateway: OpenGateway
    ) -> None:
        """A watched photo is as small as in its route's full grids, even if few photos are watched
        at a time."""
        async with open_gateway() as harness:
            outcome = await harness.parts.pipeline.scheduler.watch(tiny(), Way(harness.route), ANN)
            assert outcome.detections == ()
            assert [str(event.layout.shape) for event in harness.events.of(CanvasAnswered)] == [
                "3x3"
            ]

    async def test_a_stopping_process_does_not_wait_for_watched_photos(
        self, open_gateway: OpenGateway
    ) -> None:
        """A stopping process does not wait for watched photos."""
        gate = asyncio.Event()
        eye = ScriptedProvider(short_sighted, about=about("eye"), gate=gate)
        async with open_gateway(eye) as harness:
            for _ in range(AT_ONCE):
                harness.parts.pipeline.drift_monitor(settled(CAT, route=harness.route))
            await wait_until(lambda: eye.calls == AT_ONCE)
            began = asyncio.get_running_loop().time()
            asyncio.get_running_loop().call_later(0.3, gate.set)
        assert asyncio.get_running_loop().time() - began < 5
        assert harness.events.of(PhotoCompared) == []
