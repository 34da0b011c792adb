"""Prometheus metrics: every event is counted, once, under its labels."""

from dataclasses import replace

import pytest
from prometheus_client import generate_latest

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
from gateway.observe import log
from gateway.observe.metrics import Metrics
from providers.errors import Throttled
from thresholds.drift import Record
from thresholds.shape import Shape


@pytest.fixture
def metrics():
    return Metrics()


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


WHERE = {"provider": "dear", "task": "objects", "shape": "2x2"}


def test_canvas(metrics, asked):
    """An answered canvas is one billed image and as many photos as are on it."""
    metrics(asked("ann", "ann", "bob"))
    assert value(metrics, "imgrid_billed_images_total", **WHERE) == 1
    assert value(metrics, "imgrid_canvas_photos_total", **WHERE) == 3


def test_fill(metrics, asked):
    """How full canvases are is a share of their lane's cells."""
    metrics(asked("ann", "ann", "bob"))
    metrics(asked("ann", "ann", "ann", "ann"))
    labels = {"provider": "dear", "task": "objects"}
    assert value(metrics, "imgrid_canvas_fill_sum", **labels) == 1.75
    assert value(metrics, "imgrid_canvas_fill_bucket", le="0.7", **labels) == 0
    assert value(metrics, "imgrid_canvas_fill_bucket", le="0.8", **labels) == 1


def test_canvas_times(metrics, asked):
    """Composing and asking are timed by provider."""
    metrics(asked("ann"))
    assert value(metrics, "imgrid_compose_seconds_sum", provider="dear") == 0.02
    assert value(metrics, "imgrid_upstream_seconds_sum", provider="dear") == 0.7
    assert value(metrics, "imgrid_upstream_seconds_count", provider="dear") == 1


def test_broken(metrics, asked):
    """A photo that could not be drawn is on no canvas."""
    metrics(asked("ann", "bob", broken=(1,)))
    assert value(metrics, "imgrid_canvas_photos_total", **WHERE) == 1
    assert value(metrics, "imgrid_saved_images", tenant="ann") == -1
    assert value(metrics, "imgrid_saved_images", tenant="bob") is None


@pytest.mark.parametrize(
    ("error", "outcome"), [(None, "ok"), (BadFormat("broken"), "invalid_format")]
)
def test_photos(metrics, settled, error, outcome):
    """A settled photo is counted by its outcome: ok, or its error's code."""
    metrics(settled("ann", "dear", error=error))
    assert value(metrics, "imgrid_photos_total", tenant="ann", task="objects", outcome=outcome) == 1


def test_total_time(metrics, settled):
    """A photo's time from acceptance to outcome is counted by route."""
    metrics(settled("ann", "dear", total_s=0.9))
    assert value(metrics, "imgrid_photo_seconds_sum", route="animals") == 0.9
    assert value(metrics, "imgrid_photo_seconds_bucket", route="animals", le="0.5") == 0
    assert value(metrics, "imgrid_photo_seconds_bucket", route="animals", le="1.0") == 1


def test_stages(metrics, settled):
    """Each stage at which a photo was asked is counted, with what it waited there."""
    metrics(settled("ann", "dear"))
    metrics(settled("ann", "dear", "dear"))
    stage = {"route": "animals", "stage": "0", "shape": "2x2"}
    assert value(metrics, "imgrid_photo_stages_total", **stage) == 2
    assert (
        value(metrics, "imgrid_photo_stages_total", **{**stage, "stage": "1", "shape": "1x1"}) == 1
    )
    assert value(metrics, "imgrid_wait_seconds_count", route="animals") == 3
    assert value(metrics, "imgrid_wait_seconds_sum", route="animals") == pytest.approx(0.3)


def test_saved(metrics, asked, settled):
    """Saved are the photos answered less the images billed, by tenant."""
    metrics(asked("ann", "ann", "ann", "bob"))
    for name in ("ann", "ann", "ann", "bob"):
        metrics(settled(name, "dear"))
    assert value(metrics, "imgrid_saved_images", tenant="ann") == pytest.approx(2.25)
    assert value(metrics, "imgrid_saved_images", tenant="bob") == pytest.approx(0.75)


def test_failures_save_nothing(metrics, asked, settled):
    """A photo that was billed and failed is a loss."""
    metrics(asked("ann"))
    metrics(settled("ann", error=BadFormat("broken")))
    assert value(metrics, "imgrid_saved_images", tenant="ann") == -1


def test_the_rest(metrics, settled):
    """Failed calls, refusals, clients that left and the loop's own failures are counted each by its
    labels."""
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
def test_breaker(metrics, state, open_):
    """A breaker is open until the provider is asked as before."""
    metrics(BreakerChanged("dear", state, 5.0))
    assert value(metrics, "imgrid_breaker_open", provider="dear") == open_


def test_gauges(metrics):
    """What the buffer holds is shown as it was last set."""
    metrics.instruments.buffer_photos.set(7)
    metrics.instruments.buffer_bytes.set(1000)
    metrics.instruments.oldest_wait_seconds.set(0.25)
    assert value(metrics, "imgrid_buffer_photos") == 7
    assert value(metrics, "imgrid_buffer_bytes") == 1000
    assert value(metrics, "imgrid_oldest_wait_seconds") == 0.25


def test_apart(metrics, asked):
    """Two gateways in one process count each for itself."""
    other = Metrics()
    metrics(asked("ann"))
    assert value(other, "imgrid_billed_images_total", **WHERE) is None


def test_exposed(metrics, asked):
    """All of it can be read as text, and holds nothing of the photos."""
    metrics(asked("ann", "bob"))
    text = generate_latest(metrics.registry).decode()
    assert 'imgrid_billed_images_total{provider="dear",shape="2x2",task="objects"} 1.0' in text
    assert "12345" not in text


class TestWatching:
    def test_agreement(self, metrics):
        """The agreement of each route is shown with its interval, for all labels together and for
        each."""
        metrics(PhotoCompared("animals", SEEN))
        for label, mean in (("", 0.5), ("cat", 1.0), ("owl", 0.0)):
            low, shown, high = (
                value(metrics, "imgrid_agreement", route="animals", label=label, bound=bound)
                for bound in ("low", "mean", "high")
            )
            assert shown == mean
            assert low <= shown <= high
        assert value(metrics, "imgrid_route_level", route="animals") == 0

    def test_level(self, metrics):
        """A change of level is counted and shown; what was seen before it is shown no longer."""
        metrics(PhotoCompared("animals", SEEN))
        metrics(LevelChanged("animals", "target", "strict", 1, SEEN))
        assert value(metrics, "imgrid_route_level", route="animals") == 1
        assert value(metrics, "imgrid_route_level_changes_total", route="animals", to="strict") == 1
        assert "imgrid_agreement{" not in generate_latest(metrics.registry).decode()

    def test_watched(self, metrics, settled, asked):
        """A watched photo is billed, and counted as nothing else; one that was overlooked is
        counted too."""
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

    def test_free(self, metrics, asked):
        """What a companion answers is no bill and fills no canvas; how long it takes is timed."""
        metrics(replace(asked("ann", shape="1x1"), free=True))
        assert value(metrics, "imgrid_upstream_seconds_count", provider="dear") == 1
        assert value(metrics, "imgrid_billed_images_total", **{**WHERE, "shape": "1x1"}) is None
        assert value(metrics, "imgrid_saved_images", tenant="ann") is None


SEEN = Record.empty(0.05, 0.8, 0.0).add(1.0, {"cat": 1.0}).add(0.0, {"owl": 0.0})


def test_groups(metrics):
    """How many photos a group has at first is told, 1 where they go alone, and the share that
    decides it."""
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
def test_groups_in_the_log(caplog, before, shape, level):
    """That groups do not pay any more, or do again, is a warning; another size is not."""
    caplog.set_level("INFO", "imgrid")
    was = Shape.parse(before) if before else None
    log.write(GroupsChanged("moderation", Shape.parse(shape), 0.02, 0.4, "because", was))
    (record,) = caplog.records
    assert (record.levelname, "because" in record.message) == (level, True)
    log.write(
        GroupsChanged("moderation", Shape.parse(shape), 0.03, 0.4, "because", Shape.parse(shape))
    )
    assert len(caplog.records) == 1
