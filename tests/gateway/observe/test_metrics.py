"""Prometheus metrics: every event is counted, once, under its labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import generate_latest

from gateway.core.clock import steady
from gateway.core.errors import BadFormat
from gateway.core.events import (
    BreakerChanged,
    CallFailed,
    ComparisonSkipped,
    FellBack,
    GroupsChanged,
    LevelChanged,
    LoopFailed,
    PhotoAbandoned,
    PhotoCompared,
    RequestRefused,
)
from gateway.observe.log import EventLog
from gateway.observe.metrics import Metrics
from providers.errors import Throttled
from thresholds.drift import Record
from thresholds.shape import Shape


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


WHERE = {"provider": "dear", "task": "objects", "shape": "2x2"}


def test_an_answered_canvas_is_one_billed_image(
    metrics: Metrics, answered_canvas: Callable[..., Any]
) -> None:
    """An answered canvas counts as one billed image and as many photos as are on it."""
    metrics(answered_canvas("ann", "ann", "bob"))
    assert value(metrics, "imgrid_billed_images_total", **WHERE) == 1
    assert value(metrics, "imgrid_canvas_photos_total", **WHERE) == 3


def test_canvas_fill_is_a_share_of_cells(
    metrics: Metrics, answered_canvas: Callable[..., Any]
) -> None:
    """The fill of a canvas counts as a share of its lane's cells."""
    metrics(answered_canvas("ann", "ann", "bob"))
    metrics(answered_canvas("ann", "ann", "ann", "ann"))
    labels = {"provider": "dear", "task": "objects"}
    assert value(metrics, "imgrid_canvas_fill_sum", **labels) == 1.75
    assert value(metrics, "imgrid_canvas_fill_bucket", le="0.7", **labels) == 0
    assert value(metrics, "imgrid_canvas_fill_bucket", le="0.8", **labels) == 1


def test_composing_and_calls_are_timed_by_provider(
    metrics: Metrics, answered_canvas: Callable[..., Any]
) -> None:
    """Composing and upstream calls are timed by provider."""
    metrics(answered_canvas("ann"))
    assert value(metrics, "imgrid_compose_seconds_sum", provider="dear") == 0.02
    assert value(metrics, "imgrid_upstream_seconds_sum", provider="dear") == 0.7
    assert value(metrics, "imgrid_upstream_seconds_count", provider="dear") == 1


def test_a_broken_photo_is_on_no_canvas(
    metrics: Metrics, answered_canvas: Callable[..., Any]
) -> None:
    """A photo that could not be drawn is on no canvas."""
    metrics(answered_canvas("ann", "bob", broken=(1,)))
    assert value(metrics, "imgrid_canvas_photos_total", **WHERE) == 1
    assert value(metrics, "imgrid_saved_images", tenant="ann") == -1
    assert value(metrics, "imgrid_saved_images", tenant="bob") is None


@pytest.mark.parametrize(
    ("error", "outcome"), [(None, "ok"), (BadFormat("broken"), "invalid_format")]
)
def test_a_settled_photo_counts_by_its_outcome(
    metrics: Metrics, settled: Callable[..., Any], error: BadFormat | None, outcome: str
) -> None:
    """A settled photo is counted by its outcome: ok, or its error's code."""
    metrics(settled("ann", "dear", error=error))
    assert value(metrics, "imgrid_photos_total", tenant="ann", task="objects", outcome=outcome) == 1


def test_total_time_is_counted_by_route(metrics: Metrics, settled: Callable[..., Any]) -> None:
    """A photo's time from acceptance to outcome is counted by route."""
    metrics(settled("ann", "dear", total_s=0.9))
    assert value(metrics, "imgrid_photo_seconds_sum", route="animals") == 0.9
    assert value(metrics, "imgrid_photo_seconds_bucket", route="animals", le="0.5") == 0
    assert value(metrics, "imgrid_photo_seconds_bucket", route="animals", le="1.0") == 1


def test_each_stage_of_a_photo_is_counted(metrics: Metrics, settled: Callable[..., Any]) -> None:
    """Each stage of a photo is counted, with the photo's waiting time there."""
    metrics(settled("ann", "dear"))
    metrics(settled("ann", "dear", "dear"))
    stage = {"route": "animals", "stage": "0", "shape": "2x2"}
    assert value(metrics, "imgrid_photo_stages_total", **stage) == 2
    assert (
        value(metrics, "imgrid_photo_stages_total", **{**stage, "stage": "1", "shape": "1x1"}) == 1
    )
    assert value(metrics, "imgrid_wait_seconds_count", route="animals") == 3
    assert value(metrics, "imgrid_wait_seconds_sum", route="animals") == pytest.approx(0.3)


def test_saved_images_are_answers_less_bills_by_tenant(
    metrics: Metrics, answered_canvas: Callable[..., Any], settled: Callable[..., Any]
) -> None:
    """Saved images are the answered photos less the billed images, by tenant."""
    metrics(answered_canvas("ann", "ann", "ann", "bob"))
    for name in ("ann", "ann", "ann", "bob"):
        metrics(settled(name, "dear"))
    assert value(metrics, "imgrid_saved_images", tenant="ann") == pytest.approx(2.25)
    assert value(metrics, "imgrid_saved_images", tenant="bob") == pytest.approx(0.75)


def test_a_failed_photo_saves_nothing(
    metrics: Metrics, answered_canvas: Callable[..., Any], settled: Callable[..., Any]
) -> None:
    """A photo that was billed and failed is a loss."""
    metrics(answered_canvas("ann"))
    metrics(settled("ann", error=BadFormat("broken")))
    assert value(metrics, "imgrid_saved_images", tenant="ann") == -1


def test_failures_refusals_and_fallbacks_count_by_label(
    metrics: Metrics, settled: Callable[..., Any]
) -> None:
    """Failed calls, refusals, fallbacks, clients that left and failures of the loop are each
    counted by their labels."""
    metrics(CallFailed("dear", Throttled("slow down")))
    metrics(RequestRefused("native", "busy"))
    metrics(PhotoAbandoned(settled("ann", "dear").entry))
    metrics(LoopFailed("no"))
    metrics(FellBack(settled("ann", "dear").entry, "cheap", "throttled"))
    fell = {"route": "animals", "provider": "dear", "reason": "throttled"}
    assert value(metrics, "imgrid_fallbacks_total", **fell) == 1
    assert (
        value(metrics, "imgrid_upstream_failures_total", provider="dear", reason="Throttled") == 1
    )
    assert value(metrics, "imgrid_refusals_total", dialect="native", code="busy") == 1
    assert value(metrics, "imgrid_clients_left_total") == 1
    assert value(metrics, "imgrid_loop_failures_total") == 1


@pytest.mark.parametrize(("state", "open_"), [("open", 1), ("probing", 1), ("closed", 0)])
def test_a_breaker_counts_as_open_until_it_closes(metrics: Metrics, state: str, open_: int) -> None:
    """A breaker counts as open until the provider gets its normal calls again."""
    metrics(BreakerChanged("dear", state, 5.0))
    assert value(metrics, "imgrid_breaker_open", provider="dear") == open_


def test_buffer_gauges_show_the_last_value(metrics: Metrics) -> None:
    """The gauges of the buffer show the value that was last set."""
    metrics.instruments.buffer_photos.set(7)
    metrics.instruments.buffer_bytes.set(1000)
    metrics.instruments.oldest_wait_seconds.set(0.25)
    assert value(metrics, "imgrid_buffer_photos") == 7
    assert value(metrics, "imgrid_buffer_bytes") == 1000
    assert value(metrics, "imgrid_oldest_wait_seconds") == 0.25


def test_two_gateways_in_one_process_count_apart(
    metrics: Metrics, answered_canvas: Callable[..., Any]
) -> None:
    """Two gateways in one process each count their own events."""
    other = Metrics()
    metrics(answered_canvas("ann"))
    assert value(other, "imgrid_billed_images_total", **WHERE) is None


def test_the_exposed_text_holds_nothing_of_the_photos(
    metrics: Metrics, answered_canvas: Callable[..., Any]
) -> None:
    """All metrics can be read as text, which holds nothing of the photos."""
    metrics(answered_canvas("ann", "bob"))
    text = generate_latest(metrics.registry).decode()
    assert 'imgrid_billed_images_total{provider="dear",shape="2x2",task="objects"} 1.0' in text
    assert "12345" not in text


class TestWatching:
    def test_agreement_is_shown_with_its_interval(self, metrics: Metrics) -> None:
        """The agreement of each route is shown with its interval, for all labels together and for
        each label."""
        metrics(PhotoCompared("animals", SEEN))
        for label, mean in (("", 0.5), ("cat", 1.0), ("owl", 0.0)):
            low, shown, high = (
                value(metrics, "imgrid_agreement", route="animals", label=label, bound=bound)
                for bound in ("low", "mean", "high")
            )
            assert shown == mean
            assert low <= shown <= high
        assert value(metrics, "imgrid_route_level", route="animals") == 0

    def test_a_change_of_level_resets_the_agreement(self, metrics: Metrics) -> None:
        """A change of level is counted and shown, and the agreement from before it is no longer
        shown."""
        metrics(PhotoCompared("animals", SEEN))
        metrics(LevelChanged("animals", "target", "strict", 1, SEEN))
        assert value(metrics, "imgrid_route_level", route="animals") == 1
        assert value(metrics, "imgrid_route_level_changes_total", route="animals", to="strict") == 1
        assert "imgrid_agreement{" not in generate_latest(metrics.registry).decode()

    def test_a_watched_photo_counts_only_as_watched(
        self, metrics: Metrics, settled: Callable[..., Any], answered_canvas: Callable[..., Any]
    ) -> None:
        """A watched photo is billed and counted as nothing else; an overlooked one is counted
        too."""
        event = settled("ann", "dear")
        metrics(replace(event, entry=replace(event.entry, watched=True)))
        metrics(PhotoAbandoned(replace(event.entry, watched=True)))
        metrics(ComparisonSkipped("animals"))
        assert value(metrics, "imgrid_watched_images_total", route="animals") == 0.25
        assert value(metrics, "imgrid_watch_overlooked_total", route="animals") == 1
        assert value(metrics, "imgrid_clients_left_total") == 0
        assert (
            value(metrics, "imgrid_photos_total", tenant="ann", task="objects", outcome="ok")
            is None
        )

    def test_a_companions_answer_is_timed_but_free(
        self, metrics: Metrics, answered_canvas: Callable[..., Any]
    ) -> None:
        """A companion's answer is timed, but it is not billed and fills no canvas."""
        metrics(replace(answered_canvas("ann", shape="1x1"), free=True))
        assert value(metrics, "imgrid_upstream_seconds_count", provider="dear") == 1
        assert value(metrics, "imgrid_billed_images_total", **{**WHERE, "shape": "1x1"}) is None
        assert value(metrics, "imgrid_saved_images", tenant="ann") is None


SEEN = Record.empty(0.05, 0.8, 0.0).add(1.0, {"cat": 1.0}).add(0.0, {"owl": 0.0})


def test_group_size_and_its_deciding_share_are_shown(metrics: Metrics) -> None:
    """The first group size is shown, 1 if photos go alone, with the share of positives that decides
    it."""
    changed = GroupsChanged("moderation", Shape(3, 3), 0.02, 0.4, "cheapest", None)
    metrics(changed)
    assert value(metrics, "imgrid_group_photos", route="moderation") == 9
    metrics(replace(changed, shape=Shape(1, 1), rate=0.4))
    assert value(metrics, "imgrid_group_photos", route="moderation") == 1
    assert value(metrics, "imgrid_flagged_share", route="moderation") == 0.4


@pytest.mark.parametrize(
    ("before", "shape", "level"),
    [
        (None, "3x3", "INFO"),
        ("3x3", "2x2", "INFO"),
        ("2x2", "1x1", "WARNING"),
        ("1x1", "2x2", "WARNING"),
    ],
)
def test_only_groups_that_stop_or_resume_are_warnings(
    caplog: pytest.LogCaptureFixture, before: str | None, shape: str, level: str
) -> None:
    """The log warns when groups stop paying or pay again; another group size is no warning."""
    caplog.set_level("INFO", "imgrid")
    was = Shape.parse(before) if before else None
    write = EventLog(steady())
    write(GroupsChanged("moderation", Shape.parse(shape), 0.02, 0.4, "because", was))
    (record,) = caplog.records
    assert (record.levelname, "because" in record.message) == (level, True)
    write(GroupsChanged("moderation", Shape.parse(shape), 0.03, 0.4, "because", Shape.parse(shape)))
    assert len(caplog.records) == 1
