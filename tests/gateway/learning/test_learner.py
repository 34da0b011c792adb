"""What the learner observes, and what it spends on that."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec
import pytest

from gateway.core.errors import UpstreamFailed
from gateway.core.events import LessonRead, Settled
from gateway.learning.learner import (
    BATCH,
    MAX_BATCH_BYTES,
    MAX_WAITING_BYTES,
)
from gateway.learning.observation import Observation
from gateway.store.learning import LearningStore, Tally
from tests.support.learning import (
    PHOTO,
    PLAIN,
    ROUTE,
    TERMS,
    Bench,
    Desk,
    settled,
)
from tests.support.waiting import wait_until
from thresholds.shape import Shape
from thresholds.variants import EXACT


class TestObservations:
    """Photos are observed in batches."""

    async def test_a_photo_is_asked_about_in_every_look(self, store: LearningStore) -> None:
        """Each photo of a batch is asked about in every grid, of the companion, and once more for
        reference; its answer alone is not paid for again."""
        bench = Bench(store)
        await bench.observe(*(settled() for _ in range(BATCH)))
        variants = sorted(way.variant for way in bench.desk.ways)
        looks = ["look 2x1", "look 2x2", "look own:1x1", EXACT]
        assert variants == sorted(looks * BATCH)
        key = bench.lessons.key("objects", "shop")
        rows = [
            msgspec.msgpack.decode(row, type=Observation) for row in await store.observations(key)
        ]
        assert [sorted(row.looks) for row in rows] == [["1x1", "2x1", "2x2", "own:1x1"]] * BATCH
        assert all(row.reference for row in rows)

    async def test_a_photo_that_was_not_asked_alone_is(self, store: LearningStore) -> None:
        """A photo that was answered in a grid is asked about alone too."""
        bench = Bench(store)
        await bench.observe(*(settled(shape=Shape(2, 2)) for _ in range(BATCH)))
        assert sum(way.variant == EXACT for way in bench.desk.ways) == 2 * BATCH

    async def test_no_photo_is_kept(self, store: LearningStore) -> None:
        """What is stored of a photo holds none of its bytes."""
        bench = Bench(store)
        await bench.observe(*(settled() for _ in range(BATCH)))
        stored = b"".join(await store.observations(bench.lessons.key("objects", "shop")))
        assert PHOTO.data[:16] not in stored
        assert len(stored) < BATCH * 1_000

    async def test_a_photo_whose_look_fails_teaches_nothing(self, store: LearningStore) -> None:
        """A photo of which any look fails is left out, and later photos are observed."""
        failures = iter([True])
        bench = Bench(store, desk=Desk(fails=lambda way: next(failures, False)))
        bench.tell(*(settled() for _ in range(BATCH)))
        await bench.observe(*(settled() for _ in range(BATCH)))
        key = bench.lessons.key("objects", "shop")

        async def are_stored() -> bool:
            return len(await store.observations(key)) >= 2 * BATCH - 1

        await wait_until(are_stored)
        assert len(await store.observations(key)) == 2 * BATCH - 1

    @pytest.mark.parametrize(
        "event",
        [
            settled(watched=True),
            settled(outcome=lambda it: replace(it, error=UpstreamFailed("down"))),
            settled(outcome=lambda it: replace(it, steps=(replace(it.steps[0], calls=0),))),
            settled(outcome=lambda it: replace(it, steps=(replace(it.steps[0], fallback=True),))),
            settled(photo=replace(PHOTO, is_large=True)),
            settled(route=PLAIN),
        ],
        ids=["watched", "failed", "cached", "of the fallback", "large", "of another route"],
    )
    async def test_other_photos_teach_nothing(self, store: LearningStore, event: Settled) -> None:
        """Photos without an answer of the route's own provider, and those of other routes, are not
        sampled."""
        bench = Bench(store)
        bench.tell(*[event] * BATCH)
        await bench.observe()
        assert bench.desk.ways == []

    async def test_photos_that_wait_take_a_bounded_memory(self, store: LearningStore) -> None:
        """While the photos that wait to be observed fill their memory, no further ones are
        sampled."""
        bench = Bench(store, replace(TERMS, images=10_000))
        large = replace(PHOTO, data=bytes(8 << 20))
        for _ in range(40):
            bench.tell(settled(photo=large))
        assert bench.learner._waiting_bytes == MAX_WAITING_BYTES
        assert bench.learner._full.qsize() == MAX_WAITING_BYTES // MAX_BATCH_BYTES


class TestAccount:
    """What is spent is bounded, and told."""

    @pytest.mark.parametrize(("images", "batches"), [(0, 0), (100, 1), (500, 7)])
    async def test_no_more_is_spent_than_allowed(
        self, store: LearningStore, images: float, batches: int
    ) -> None:
        """Photos are sampled only while what they cost is within the images that may be spent."""
        bench = Bench(store, replace(TERMS, images=images))
        photos = max(batches, 1) * BATCH * 2
        sampled = [settled() for _ in range(photos)]
        bench.tell(*sampled)
        foreseen = sum(bench.learner._under_way.values())
        assert foreseen <= images
        assert foreseen > images - TERMS.images_per_photo or not images

    async def test_a_share_of_the_bill_may_be_spent_later(self, store: LearningStore) -> None:
        """With a share, every image that clients pay for allows more."""
        bench = Bench(store, replace(TERMS, images=0, share=0.5))
        bench.tell(*(settled() for _ in range(100)))
        foreseen = sum(bench.learner._under_way.values())
        assert 50 - TERMS.images_per_photo < foreseen <= 50

    async def test_the_account_is_in_images(self, store: LearningStore) -> None:
        """Clients' photos count with what they cost and what they saved, the gateway's own with
        what was spent on them; a failed photo saves nothing."""
        bench = Bench(store, replace(TERMS, images=0))
        bench.tell(
            settled(share=0.25, shape=Shape(2, 2)),
            settled(),
            settled(share=0.5, watched=True),
            settled(outcome=lambda it: replace(it, error=UpstreamFailed("down"))),
        )
        await bench.learner.update()
        state = bench.lessons.state(ROUTE, "shop")
        assert state is not None
        assert state.lesson.tally == Tally(photos=3, paid=2.25, saved=-0.25, spent=0.5)
        (told,) = bench.recorder.of(LessonRead)
        assert told.images == {"paid": 2.25, "saved": -0.25, "spent": 0.5}

    async def test_the_price_is_named_before_anything_is_spent(
        self, store: LearningStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The log says at the start what learning may cost."""
        caplog.set_level("INFO")
        bench = Bench(store, replace(TERMS, share=0.02))
        running = asyncio.create_task(bench.learner.run())
        await wait_until(lambda: "route objects plans itself" in caplog.text)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert "500 images (about 0.50 USD)" in caplog.text
        assert "2 %" in caplog.text
