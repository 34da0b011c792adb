"""How long photos will wait, which are refused for that, and which keep the answer they have."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import Busy, DeadlineExceeded
from gateway.core.events import Events
from gateway.core.model import Entry, Lane
from gateway.pipeline.wait_forecast import ADMISSION_SHARE, WaitForecast
from gateway.store.inspection import Backlog
from gateway.testing.pictures import numbered, photo
from gateway.testing.provider import ScriptedProvider, about
from gateway.upstream.registry import UpstreamRegistry
from providers.detection import Task
from tests.support.clocks import NOON, HandClock
from thresholds.shape import Shape

CONCURRENCY = 4
CANVAS_S = 2.0


@dataclass
class Replicas:
    """The part of an inspection that the forecast reads."""

    replicas: int = 1


def lane_of(shape: str = "2x2", pool: str = "us", provider: str = "eye") -> Lane:
    return Lane(provider, Task.OBJECTS, pool, Shape.parse(shape))


def entry_of(lane: Lane, deadline_s: float, photo_id: str = "new") -> Entry:
    """A photo that is put now."""
    shot = replace(photo(numbered(42)), id=photo_id)
    return Entry(shot, "objects", "ann", lane, NOON, NOON, NOON, NOON + deadline_s)


class Harness:
    """A forecast for a provider that answers four canvases at a time, of which each takes two
    seconds, and whose slots are all taken."""

    def __init__(self, *, replicas: int = 1, in_flight: int = CONCURRENCY) -> None:
        clock = HandClock()
        providers = {"eye": ScriptedProvider(about=about("eye", concurrency=CONCURRENCY))}
        self.upstream = UpstreamRegistry.of(providers, clock, random.Random(1), Events())
        self.client = self.upstream["eye"]
        self.forecast = WaitForecast(self.upstream, Replicas(replicas), clock)
        self.client.record_canvas(CANVAS_S)
        for _ in range(in_flight):
            self.client.slots.take_slot()
            self.client._stall.begin(NOON)

    def wait(self, **photos: int) -> None:
        """Has so many photos of clients wait in the lane of each shape."""
        backlogs = {
            lane_of(shape.removeprefix("s")): Backlog(count, NOON, NOON, count)
            for shape, count in photos.items()
        }
        self.forecast.update(backlogs)

    def admit(self, deadline_s: float, lane: Lane | None = None) -> None:
        lane = lane or lane_of()
        self.forecast.admit([entry_of(lane, deadline_s)], [lane])


class TestWait:
    def test_it_is_unknown_before_the_first_answer(self) -> None:
        """Nothing is foreseen of a provider that has not answered, so everything is taken."""
        upstream = UpstreamRegistry.of(
            {"eye": ScriptedProvider()}, HandClock(), random.Random(1), Events()
        )
        assert WaitForecast(upstream, Replicas(), HandClock()).wait_s(lane_of()) == 0.0

    def test_an_unknown_provider_has_none(self) -> None:
        """A lane from before a configuration changed is not foreseen."""
        assert Harness().forecast.wait_s(lane_of(provider="gone")) == 0.0

    def test_without_a_queue_it_is_one_canvas(self) -> None:
        """A photo that finds a free slot waits for its own canvas."""
        harness = Harness(in_flight=0)
        assert harness.forecast.wait_s(lane_of(), photos=1) == pytest.approx(CANVAS_S)

    def test_canvases_before_it_are_added(self) -> None:
        """Eight full grids before a photo take two rounds of the four slots, its own a third."""
        harness = Harness()
        harness.wait(s2x2=32)
        wait_s = harness.forecast.wait_s(lane_of())
        assert wait_s == pytest.approx(CANVAS_S + 8 / CONCURRENCY * CANVAS_S)

    def test_finer_lanes_count_by_their_canvases(self) -> None:
        """A photo alone takes as long as a full grid."""
        harness = Harness()
        harness.wait(s2x2=4, s1x1=7)
        wait_s = harness.forecast.wait_s(lane_of())
        assert wait_s == pytest.approx(CANVAS_S + 8 / CONCURRENCY * CANVAS_S)

    def test_photos_of_jobs_delay_nobody(self) -> None:
        """Photos of jobs wait for those of clients, so they are not counted."""
        harness = Harness()
        harness.forecast.update({lane_of(): Backlog(400, NOON, NOON, 0)})
        assert harness.forecast.wait_s(lane_of()) == pytest.approx(CANVAS_S)

    def test_a_crowd_in_another_pool_delays_by_its_turns_only(self) -> None:
        """Pools take turns, so the first photo of one waits for one canvas of each other."""
        harness = Harness()
        crowd = {lane_of(pool="crowd"): Backlog(4_000, NOON, NOON, 4_000)}
        harness.forecast.update(crowd)
        wait_s = harness.forecast.wait_s(lane_of(pool="one"), photos=1)
        assert wait_s == pytest.approx(CANVAS_S + 2 / CONCURRENCY * CANVAS_S)

    def test_replicas_share_the_queue(self) -> None:
        """Two replicas answer twice as many canvases a second."""
        alone, shared = Harness(), Harness(replicas=2)
        for harness in (alone, shared):
            harness.wait(s2x2=32)
        queue_alone_s = alone.forecast.wait_s(lane_of()) - CANVAS_S
        assert shared.forecast.wait_s(lane_of()) - CANVAS_S == pytest.approx(queue_alone_s / 2)

    @given(st.integers(0, 500), st.integers(0, 500))
    def test_more_photos_never_shorten_it(self, fewer: int, more: int) -> None:
        """The wait grows with the queue."""
        fewer, more = sorted((fewer, more))
        harness = Harness()
        harness.wait(s2x2=fewer)
        short_s = harness.forecast.wait_s(lane_of(), photos=1)
        harness.wait(s2x2=more)
        assert harness.forecast.wait_s(lane_of(), photos=1) >= short_s


class TestAdmission:
    def test_a_photo_in_time_is_taken(self) -> None:
        """A photo whose answer is foreseen before its deadline is taken."""
        harness = Harness()
        harness.wait(s2x2=16)
        harness.admit(deadline_s=10.0)

    def test_a_photo_that_would_be_late_is_refused(self) -> None:
        """A photo that would wait longer than its deadline is refused, with the time after which
        the queue is short enough."""
        harness = Harness()
        harness.wait(s2x2=160)
        with pytest.raises(Busy, match=r"would wait .* s, and its deadline is 10 s") as refusal:
            harness.admit(deadline_s=10.0)
        wait_s = CANVAS_S + 41 / CONCURRENCY * CANVAS_S
        assert refusal.value.retry_after_s == pytest.approx(wait_s - ADMISSION_SHARE * 10.0)

    def test_after_the_time_told_there_is_room(self) -> None:
        """Where nobody else comes, a photo that comes back when it was told is taken."""
        harness = Harness()
        harness.wait(s2x2=160)
        with pytest.raises(Busy) as refusal:
            harness.admit(deadline_s=10.0)
        answered = (refusal.value.retry_after_s or 0.0) * CONCURRENCY / CANVAS_S
        harness.wait(s2x2=160 - 4 * int(answered + 1))
        harness.admit(deadline_s=10.0)

    def test_photos_just_taken_count(self) -> None:
        """Photos that were taken since the buffer was last looked at count among those that
        wait."""
        harness = Harness()
        for _ in range(44):
            harness.admit(deadline_s=10.0)
        with pytest.raises(Busy):
            harness.admit(deadline_s=10.0)

    def test_a_refused_call_leaves_no_trace(self) -> None:
        """Where one photo of a call is refused, none of them counts as waiting."""
        harness = Harness()
        entries = [entry_of(lane_of(), 10.0, str(number)) for number in range(400)]
        with pytest.raises((Busy, DeadlineExceeded)):
            harness.forecast.admit(entries, [entry.lane for entry in entries])
        assert harness.forecast.wait_s(lane_of()) == pytest.approx(CANVAS_S)

    def test_a_companion_s_photos_wait_in_two_queues(self) -> None:
        """A photo that a companion sees first is refused where the paid provider has no time."""
        harness = Harness()
        harness.wait(s2x2=160)
        entry = entry_of(lane_of("1x1", provider="gone"), 10.0)
        with pytest.raises(Busy):
            harness.forecast.admit([entry], [lane_of()])

    def test_a_provider_that_is_too_slow_is_named(self) -> None:
        """A deadline below the time of a single canvas is refused as such: coming back does not
        help."""
        with pytest.raises(DeadlineExceeded, match=r"takes 2\.0 s .* deadline is 1 s"):
            Harness().admit(deadline_s=1.0)

    def test_photos_that_the_buffer_refuses_are_forgotten(self) -> None:
        """Photos that were counted and then not taken delay nobody."""
        harness = Harness()
        entries = [entry_of(lane_of(), 10.0, str(number)) for number in range(40)]
        harness.forecast.admit(entries, [entry.lane for entry in entries])
        harness.forecast.retract(entries)
        assert harness.forecast.wait_s(lane_of()) == pytest.approx(CANVAS_S)

    def test_a_call_that_is_too_large_is_told_so(self) -> None:
        """A call whose photos alone take longer than their deadline is refused for good: coming
        back does not help."""
        harness = Harness(in_flight=0)
        lane = lane_of("1x1")
        entries = [entry_of(lane, 10.0, str(number)) for number in range(40)]
        with pytest.raises(DeadlineExceeded, match="Send fewer at a time"):
            harness.forecast.admit(entries, [lane] * 40)

    def test_a_queue_before_a_slow_provider_is_refused(self) -> None:
        """Where a canvas takes nearly the whole deadline, a photo is taken only without a queue."""
        harness = Harness(in_flight=0)
        harness.admit(deadline_s=1.05 * CANVAS_S)
        harness = Harness()
        harness.wait(s2x2=4)
        with pytest.raises(Busy):
            harness.admit(deadline_s=1.05 * CANVAS_S)

    def test_a_slow_provider_that_rests_is_tried(self) -> None:
        """While nothing is in flight a photo is taken: the provider may have become faster."""
        Harness(in_flight=0).admit(deadline_s=1.0)


class TestTimeToAskAgain:
    def test_there_is_time_in_a_short_queue(self) -> None:
        """A photo may be asked about again where the answer comes within its share of the time
        left."""
        harness = Harness()
        assert harness.forecast.has_time(entry_of(lane_of("1x1"), 30.0), share=0.5)

    def test_there_is_none_in_a_long_queue(self) -> None:
        """It may not where too many canvases wait."""
        harness = Harness()
        harness.wait(s2x2=160)
        assert not harness.forecast.has_time(entry_of(lane_of("1x1"), 30.0), share=0.5)

    def test_photos_that_are_about_to_return_count(self) -> None:
        """Many photos that are judged at once do not all take the same place in the queue."""
        harness = Harness()
        entries = [entry_of(lane_of("1x1"), 20.0, str(number)) for number in range(100)]
        returning = [entry for entry in entries if harness.forecast.has_time(entry, share=0.5)]
        assert 0 < len(returning) < 20
        harness.forecast.forget(entries)
        assert harness.forecast.has_time(entries[0], share=0.5)
