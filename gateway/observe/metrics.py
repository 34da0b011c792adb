"""Prometheus metrics. Their names and meanings are listed in docs/metrics.md, which a test holds to
this file."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.core.events import (
    BreakerChanged,
    CallFailed,
    CanvasAnswered,
    Compared,
    Event,
    FellBack,
    GroupsChanged,
    Left,
    LevelChanged,
    LoopFailed,
    Overlooked,
    Refused,
    Repeated,
    Settled,
    WebhookAttempted,
)
from gateway.ledger.accounts import shares
from thresholds.drift import Interval

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
FILL = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Metrics:
    """Counts events. Holds a registry of its own, so that several gateways can live in one
    process."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        where = ["provider", "task", "shape"]
        self._billed = Counter(
            "imgrid_billed_images", "Canvases answered and billed", where, registry=registry
        )
        self._cells = Counter(
            "imgrid_canvas_photos", "Photos on billed canvases", where, registry=registry
        )
        self._fill = Histogram(
            "imgrid_canvas_fill",
            "Photos on a canvas, as a share of its lane's cells",
            ["provider", "task"],
            buckets=FILL,
            registry=registry,
        )
        self._composed = Histogram(
            "imgrid_compose_seconds",
            "From claim to encoded canvas",
            ["provider"],
            buckets=SECONDS,
            registry=registry,
        )
        self._asked = Histogram(
            "imgrid_upstream_seconds",
            "Asking about one canvas, pauses included",
            ["provider"],
            buckets=SECONDS,
            registry=registry,
        )
        self._failed = Counter(
            "imgrid_upstream_failures", "Failed calls", ["provider", "reason"], registry=registry
        )
        self._open = Gauge(
            "imgrid_breaker_open",
            "1 while a provider is left alone or tried, 0 when it is asked again",
            ["provider"],
            registry=registry,
        )
        self._fell = Counter(
            "imgrid_fallbacks",
            "Photos that another provider is asked about instead",
            ["route", "provider", "reason"],
            registry=registry,
        )
        self._photos = Counter(
            "imgrid_photos",
            "Photos settled, by outcome: ok or an error's code",
            ["tenant", "task", "outcome"],
            registry=registry,
        )
        self._stages = Counter(
            "imgrid_photo_stages",
            "Stages at which photos were asked",
            ["route", "stage", "shape"],
            registry=registry,
        )
        self._waited = Histogram(
            "imgrid_wait_seconds",
            "Waiting for company, each stage",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self._total = Histogram(
            "imgrid_photo_seconds",
            "From acceptance to outcome",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self._saved = Gauge(
            "imgrid_saved_images",
            "Photos answered minus images billed",
            ["tenant"],
            registry=registry,
        )
        self._refused = Counter(
            "imgrid_refusals", "Refused before buffering", ["dialect", "code"], registry=registry
        )
        self._repeated = Counter(
            "imgrid_repeated_calls",
            "Calls answered from a run that an earlier try began",
            ["dialect"],
            registry=registry,
        )
        self._left = Counter(
            "imgrid_clients_left", "Photos whose client went away", registry=registry
        )
        self._loop = Counter(
            "imgrid_loop_failures", "Exceptions that the loop survived", registry=registry
        )
        self.waiting = Gauge(
            "imgrid_buffer_photos", "Photos held, waiting and in flight", registry=registry
        )
        self.bytes = Gauge("imgrid_buffer_bytes", "Bytes of the photos held", registry=registry)
        self._webhooks = Counter(
            "imgrid_webhooks",
            "Attempts to deliver a webhook, by what came of them",
            ["result"],
            registry=registry,
        )
        self._tardy = Histogram(
            "imgrid_webhook_seconds",
            "One attempt to deliver a webhook",
            buckets=SECONDS,
            registry=registry,
        )
        self.up = Gauge("imgrid_buffer_up", "1 while the buffer takes photos", registry=registry)
        self.dead = Gauge(
            "imgrid_dead_letters",
            "Photos that were given up because their holders died",
            registry=registry,
        )
        self.oldest = Gauge(
            "imgrid_oldest_wait_seconds", "Age of the photo waiting longest", registry=registry
        )

        self._watched = Counter(
            "imgrid_watched_images", "Images billed for watching", ["route"], registry=registry
        )
        self._overlooked = Counter(
            "imgrid_watch_overlooked",
            "Photos that were to be compared and were not",
            ["route"],
            registry=registry,
        )
        self._agreement = Gauge(
            "imgrid_agreement",
            "Agreement with photos alone: mean, low or high",
            ["route", "label", "bound"],
            registry=registry,
        )
        self._level = Gauge(
            "imgrid_route_level",
            "0 while a route goes by its cascade, more where it is tightened",
            ["route"],
            registry=registry,
        )
        self._changes = Counter(
            "imgrid_route_level_changes",
            "Changes of a route's level",
            ["route", "to"],
            registry=registry,
        )
        self._group = Gauge(
            "imgrid_group_photos",
            "Photos of a group that are asked about together first; 1: alone",
            ["route"],
            registry=registry,
        )
        self._rate = Gauge(
            "imgrid_flagged_share",
            "Share of photos that were flagged lately",
            ["route"],
            registry=registry,
        )

    def __call__(self, event: Event) -> None:
        match event:
            case CanvasAnswered():
                self._on_asked(event)
            case Settled() if event.entry.watched:
                self._watched.labels(event.entry.route).inc(event.outcome.share)
            case Settled():
                self._on_settled(event)
            case CallFailed():
                self._failed.labels(event.provider, event.reason).inc()
            case BreakerChanged():
                self._open.labels(event.provider).set(event.state != "closed")
            case FellBack():
                self._fell.labels(event.entry.route, event.entry.lane.provider, event.reason).inc()
            case Refused():
                self._refused.labels(event.dialect, event.code).inc()
            case Repeated():
                self._repeated.labels(event.dialect).inc()
            case Left() if not event.entry.watched:
                self._left.inc()
            case LoopFailed():
                self._loop.inc()
            case Compared():
                self._on_compared(event)
            case Overlooked():
                self._overlooked.labels(event.route).inc()
            case LevelChanged():
                self._on_level(event)
            case GroupsChanged():
                self._group.labels(event.route).set(event.shape.cells)
                self._rate.labels(event.route).set(event.rate)
            case WebhookAttempted():
                self._webhooks.labels(event.result).inc()
                self._tardy.observe(event.elapsed_s)

    def _on_asked(self, event: CanvasAnswered) -> None:
        lane, count = event.lane, len(event.billed)
        where = (lane.provider, lane.task, str(event.layout.shape))
        self._composed.labels(lane.provider).observe(event.composed_s)
        self._asked.labels(lane.provider).observe(event.asked_s)
        if event.free:
            return
        self._billed.labels(*where).inc()
        self._cells.labels(*where).inc(count)
        self._fill.labels(lane.provider, lane.task).observe(count / lane.shape.cells)
        for entry, share in zip(event.billed, shares(event.billed), strict=True):
            self._saved.labels(entry.tenant).dec(share)

    def _on_compared(self, event: Compared) -> None:
        """The label of all together is empty."""
        self._level.labels(event.route).set(event.record.level)
        for label, mean in {"": event.record.whole, **event.record.labels}.items():
            for bound, value in (mean.interval._asdict() if mean.interval else {}).items():
                self._agreement.labels(event.route, label, bound).set(value)

    def _on_level(self, event: LevelChanged) -> None:
        """The record begins anew: what was shown of the one before goes."""
        self._changes.labels(event.route, event.after).inc()
        self._level.labels(event.route).set(event.level)
        for label in ("", *event.record.labels):
            for bound in Interval._fields:
                self._agreement.remove(event.route, label, bound)

    def _on_settled(self, event: Settled) -> None:
        entry, outcome = event.entry, event.outcome
        code = outcome.error.code if outcome.error else "ok"
        self._photos.labels(entry.tenant, entry.lane.task, code).inc()
        self._total.labels(entry.route).observe(event.total_s)
        if outcome.error is None:
            self._saved.labels(entry.tenant).inc()
        for step in outcome.steps:
            self._stages.labels(entry.route, str(step.stage), str(step.shape)).inc()
            self._waited.labels(entry.route).observe(step.waited_s)
