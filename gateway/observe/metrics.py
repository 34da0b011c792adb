"""The listener that counts events in Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry

from gateway.core.events import (
    BreakerChanged,
    BudgetReached,
    BudgetRefused,
    CacheLookedUp,
    CallFailed,
    CallRepeated,
    CanvasAnswered,
    ComparisonSkipped,
    ConnectionDropped,
    ConnectionsExhausted,
    Event,
    FellBack,
    GroupsChanged,
    LessonRead,
    LevelChanged,
    LoopFailed,
    PhotoAbandoned,
    PhotoCompared,
    RequestRefused,
    Settled,
    StageSkipped,
    WebhookAttempted,
)
from gateway.core.model import Route
from gateway.ledger.accounts import shares
from gateway.observe.instruments import Instruments
from thresholds.drift import Interval


class Metrics:
    """Counts events. Holds the instruments."""

    def __init__(self) -> None:
        self.instruments = Instruments()
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            BreakerChanged: self._on_breaker_changed,
            CacheLookedUp: self._on_looked_up,
            CallFailed: self._on_call_failed,
            CanvasAnswered: self._on_canvas_answered,
            PhotoCompared: self._on_compared,
            FellBack: self._on_fell_back,
            GroupsChanged: self._on_groups_changed,
            PhotoAbandoned: self._on_left,
            LessonRead: self._on_lesson_read,
            LevelChanged: self._on_level_changed,
            LoopFailed: self._on_loop_failed,
            ComparisonSkipped: self._on_overlooked,
            ConnectionDropped: self._on_dropped,
            ConnectionsExhausted: self._on_exhausted,
            RequestRefused: self._on_refused,
            CallRepeated: self._on_repeated,
            BudgetReached: self._on_budget_reached,
            BudgetRefused: self._on_budget_refused,
            Settled: self._on_settled,
            StageSkipped: self._on_stage_skipped,
            WebhookAttempted: self._on_webhook_attempted,
        }

    @property
    def registry(self) -> CollectorRegistry:
        return self.instruments.registry

    def __call__(self, event: Event) -> None:
        """Counts an event, if any metric is about its kind."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def set_mismatches(self, routes: Iterable[Route]) -> None:
        """Shows where routes differ from what their cascades were made with."""
        self.instruments.cascade_mismatch.clear()
        for route in routes:
            for mismatch in route.mismatches:
                self.instruments.cascade_mismatch.labels(route.name, mismatch.what).set(1)

    # -- photos and canvases

    def _on_canvas_answered(self, event: CanvasAnswered) -> None:
        instruments, lane, count = self.instruments, event.lane, len(event.billed)
        instruments.compose_seconds.labels(lane.provider).observe(event.composed_s)
        instruments.upstream_seconds.labels(lane.provider).observe(event.asked_s)
        if event.dropped:
            instruments.dropped_detections.labels(lane.provider).inc(event.dropped)
        if event.free:
            return
        labels = (lane.provider, lane.task, str(event.layout.shape))
        instruments.billed_images.labels(*labels).inc()
        instruments.canvas_photos.labels(*labels).inc(count)
        fill = count / lane.shape.cells
        instruments.canvas_fill.labels(lane.provider, lane.task).observe(fill)
        for entry, share in zip(event.billed, shares(event.billed), strict=True):
            instruments.saved_images.labels(entry.tenant).dec(share)
            paid = instruments.paid_usd.labels(entry.tenant, lane.provider, lane.task)
            paid.inc(share * event.usd)

    def _on_settled(self, event: Settled) -> None:
        """A watched photo counts as no client's: only its bill is counted."""
        instruments, entry, outcome = self.instruments, event.entry, event.outcome
        if entry.watched:
            instruments.watched_images.labels(entry.route).inc(outcome.share)
            return
        code = outcome.error.code if outcome.error else "ok"
        instruments.photos.labels(entry.tenant, entry.lane.task, code).inc()
        instruments.photo_seconds.labels(entry.route).observe(event.total_s)
        if outcome.error is None:
            instruments.saved_images.labels(entry.tenant).inc()
        for step in () if outcome.is_cached else outcome.steps:
            instruments.photo_stages.labels(entry.route, str(step.stage), str(step.shape)).inc()
            instruments.wait_seconds.labels(entry.route).observe(step.waited_s)

    def _on_looked_up(self, event: CacheLookedUp) -> None:
        self.instruments.cache_lookups.labels(event.entry.route, event.result).inc()

    def _on_fell_back(self, event: FellBack) -> None:
        entry = event.entry
        self.instruments.fallbacks.labels(entry.route, entry.lane.provider, event.reason).inc()

    def _on_stage_skipped(self, event: StageSkipped) -> None:
        if not event.entry.watched:
            self.instruments.skipped_stages.labels(event.entry.route).inc()

    def _on_left(self, event: PhotoAbandoned) -> None:
        if not event.entry.watched:
            self.instruments.clients_left.inc()

    # -- budgets

    def _on_budget_reached(self, event: BudgetReached) -> None:
        spent_ratio = self.instruments.budget_spent_ratio
        spent_ratio.labels(event.tenant, event.budget).set(event.share)

    def _on_budget_refused(self, event: BudgetRefused) -> None:
        refusals = self.instruments.budget_refusals
        refusals.labels(event.tenant, event.budget, event.mode).inc()

    # -- requests

    def _on_refused(self, event: RequestRefused) -> None:
        self.instruments.refusals.labels(event.dialect, event.code).inc()

    def _on_repeated(self, event: CallRepeated) -> None:
        self.instruments.repeated_calls.labels(event.dialect).inc()

    def _on_dropped(self, event: ConnectionDropped) -> None:
        self.instruments.connections_dropped.labels(event.reason).inc()

    def _on_exhausted(self, event: ConnectionsExhausted) -> None:
        self.instruments.connections_exhausted.labels(event.resource).inc()

    def _on_webhook_attempted(self, event: WebhookAttempted) -> None:
        self.instruments.webhooks.labels(event.result).inc()
        self.instruments.webhook_seconds.observe(event.elapsed_s)

    # -- providers and the loop

    def _on_call_failed(self, event: CallFailed) -> None:
        self.instruments.upstream_failures.labels(event.provider, event.reason).inc()

    def _on_breaker_changed(self, event: BreakerChanged) -> None:
        self.instruments.breaker_open.labels(event.provider).set(event.state != "closed")

    def _on_loop_failed(self, _: LoopFailed) -> None:
        self.instruments.loop_failures.inc()

    # -- routes

    def _on_compared(self, event: PhotoCompared) -> None:
        """Sets the bounds of agreement, whose label is empty for all labels together."""
        self.instruments.route_level.labels(event.route).set(event.record.level)
        for label, mean in {"": event.record.overall, **event.record.labels}.items():
            if mean.interval is not None:
                for bound, value in mean.interval._asdict().items():
                    self.instruments.agreement.labels(event.route, label, bound).set(value)

    def _on_level_changed(self, event: LevelChanged) -> None:
        """Removes the bounds of agreement: they were the last level's, whose record has ended."""
        self.instruments.route_level_changes.labels(event.route, event.after).inc()
        self.instruments.route_level.labels(event.route).set(event.level)
        for label in ("", *event.record.labels):
            for bound in Interval._fields:
                self.instruments.agreement.remove(event.route, label, bound)

    def _on_overlooked(self, event: ComparisonSkipped) -> None:
        self.instruments.watch_overlooked.labels(event.route).inc()

    def _on_lesson_read(self, event: LessonRead) -> None:
        where = event.route, event.pool
        for what, images in event.images.items():
            self.instruments.lesson_images.labels(*where, what).set(images)
        self.instruments.lesson_observations.labels(*where).set(event.observations)
        self.instruments.lesson_saving.labels(*where).set(event.phase == "saving")

    def _on_groups_changed(self, event: GroupsChanged) -> None:
        self.instruments.group_photos.labels(event.route).set(event.shape.cells)
        self.instruments.flagged_share.labels(event.route).set(event.rate)
