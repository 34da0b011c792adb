"""The Prometheus instruments of a gateway. docs/metrics.md lists their names and meanings, and a
test compares the two."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Upper bounds of the buckets of durations."""
FILL = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Upper bounds of the buckets of a canvas's fill."""


class _Registry(CollectorRegistry):
    """A registry whose samples do not say when they were created, which would double the series."""

    def collect(self) -> Iterable[Metric]:
        for family in super().collect():
            family.samples = [each for each in family.samples if not _is_creation(each.name)]
            yield family


def _is_creation(name: str) -> bool:
    return name.endswith("_created")


class Instruments:
    """Counters, gauges and histograms, each with the name of its metric. Holds a registry of its
    own, so that several gateways can live in one process."""

    def __init__(self) -> None:
        registry = self.registry = _Registry()
        where = ["provider", "task", "shape"]
        self.billed_images = Counter(
            "imgrid_billed_images", "Canvases answered and billed", where, registry=registry
        )
        self.canvas_photos = Counter(
            "imgrid_canvas_photos", "Photos on billed canvases", where, registry=registry
        )
        self.canvas_fill = Histogram(
            "imgrid_canvas_fill",
            "Photos on a canvas, as a share of its lane's cells",
            ["provider", "task"],
            buckets=FILL,
            registry=registry,
        )
        self.compose_seconds = Histogram(
            "imgrid_compose_seconds",
            "From claim to encoded canvas",
            ["provider"],
            buckets=SECONDS,
            registry=registry,
        )
        self.upstream_seconds = Histogram(
            "imgrid_upstream_seconds",
            "Asking about one canvas, pauses included",
            ["provider"],
            buckets=SECONDS,
            registry=registry,
        )
        self.upstream_failures = Counter(
            "imgrid_upstream_failures", "Failed calls", ["provider", "reason"], registry=registry
        )
        self.dropped_detections = Counter(
            "imgrid_dropped_detections",
            "Detections that were not sane",
            ["provider"],
            registry=registry,
        )
        self.cascade_mismatch = Gauge(
            "imgrid_cascade_mismatch",
            "1 where a route's provider is another than the one its cascade was made with",
            ["route", "what"],
            registry=registry,
        )
        self.breaker_open = Gauge(
            "imgrid_breaker_open",
            "1 while a provider is left alone or tried, 0 when it is asked again",
            ["provider"],
            registry=registry,
        )
        self.fallbacks = Counter(
            "imgrid_fallbacks",
            "Photos that another provider is asked about instead",
            ["route", "provider", "reason"],
            registry=registry,
        )
        self.skipped_stages = Counter(
            "imgrid_skipped_stages",
            "Photos that kept the answer of a coarser stage because finer ones had no time",
            ["route"],
            registry=registry,
        )
        self.photos = Counter(
            "imgrid_photos",
            "Photos settled, by outcome: ok or an error's code",
            ["tenant", "task", "outcome"],
            registry=registry,
        )
        self.cache_lookups = Counter(
            "imgrid_cache_lookups",
            "Photos looked up in the cache: hit, near or miss",
            ["route", "result"],
            registry=registry,
        )
        self.photo_stages = Counter(
            "imgrid_photo_stages",
            "Stages at which photos were asked",
            ["route", "stage", "shape"],
            registry=registry,
        )
        self.wait_seconds = Histogram(
            "imgrid_wait_seconds",
            "Waiting for company, each stage",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.photo_seconds = Histogram(
            "imgrid_photo_seconds",
            "From acceptance to outcome",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.saved_images = Gauge(
            "imgrid_saved_images",
            "Photos answered minus images billed",
            ["tenant"],
            registry=registry,
        )
        self.paid_usd = Counter(
            "imgrid_paid_usd",
            "USD paid for images, as the ledger counts them",
            ["tenant", "provider", "task"],
            registry=registry,
        )
        self.budget_spent_ratio = Gauge(
            "imgrid_budget_spent_ratio",
            "How much of a budget is spent, 1 for all of it",
            ["tenant", "budget"],
            registry=registry,
        )
        self.budget_refusals = Counter(
            "imgrid_budget_refusals",
            "Refused because a budget is spent; in shadow mode: what would have been",
            ["tenant", "budget", "mode"],
            registry=registry,
        )
        self.refusals = Counter(
            "imgrid_refusals", "Refused before buffering", ["dialect", "code"], registry=registry
        )
        self.repeated_calls = Counter(
            "imgrid_repeated_calls",
            "Calls answered from a run that an earlier try began",
            ["dialect"],
            registry=registry,
        )
        self.clients_left = Counter(
            "imgrid_clients_left", "Photos whose client went away", registry=registry
        )
        self.connections = Gauge(
            "imgrid_connections",
            "Open connections of the HTTP port: of strangers, or known by a key",
            ["client"],
            registry=registry,
        )
        self.connections_dropped = Counter(
            "imgrid_connections_dropped",
            "Connections that the HTTP port closed: slow_header, evicted or refused",
            ["reason"],
            registry=registry,
        )
        self.grpc_calls = Gauge(
            "imgrid_grpc_calls",
            "Calls under way on the gRPC port: of strangers, or known by a key",
            ["client"],
            registry=registry,
        )
        self.connections_exhausted = Counter(
            "imgrid_connections_exhausted",
            "Minutes in which all connections or descriptors were taken",
            ["resource"],
            registry=registry,
        )
        self.loop_failures = Counter(
            "imgrid_loop_failures", "Exceptions that the loop survived", registry=registry
        )
        self.buffer_photos = Gauge(
            "imgrid_buffer_photos", "Photos held, waiting and in flight", registry=registry
        )
        self.buffer_bytes = Gauge(
            "imgrid_buffer_bytes", "Bytes of the photos held", registry=registry
        )
        self.webhooks = Counter(
            "imgrid_webhooks",
            "Attempts to deliver a webhook, by what came of them",
            ["result"],
            registry=registry,
        )
        self.webhook_seconds = Histogram(
            "imgrid_webhook_seconds",
            "One attempt to deliver a webhook",
            buckets=SECONDS,
            registry=registry,
        )
        self.buffer_up = Gauge(
            "imgrid_buffer_up", "1 while the buffer takes photos", registry=registry
        )
        self.dead_letters = Gauge(
            "imgrid_dead_letters",
            "Photos that were given up because their holders died",
            registry=registry,
        )
        self.oldest_wait_seconds = Gauge(
            "imgrid_oldest_wait_seconds", "Age of the photo waiting longest", registry=registry
        )
        self.watched_images = Counter(
            "imgrid_watched_images", "Images billed for watching", ["route"], registry=registry
        )
        self.watch_overlooked = Counter(
            "imgrid_watch_overlooked",
            "Photos that were to be compared and were not",
            ["route"],
            registry=registry,
        )
        self.agreement = Gauge(
            "imgrid_agreement",
            "Agreement with photos alone: mean, low or high",
            ["route", "label", "bound"],
            registry=registry,
        )
        self.route_level = Gauge(
            "imgrid_route_level",
            "0 while a route goes by its cascade, more where it is tightened",
            ["route"],
            registry=registry,
        )
        self.route_level_changes = Counter(
            "imgrid_route_level_changes",
            "Changes of a route's level",
            ["route", "to"],
            registry=registry,
        )
        self.lesson_images = Gauge(
            "imgrid_lesson_images",
            "Images of a route that plans itself: paid, saved, or spent on learning and watching",
            ["route", "pool", "what"],
            registry=registry,
        )
        self.lesson_observations = Gauge(
            "imgrid_lesson_observations",
            "Photos that a route has learned from",
            ["route", "pool"],
            registry=registry,
        )
        self.lesson_saving = Gauge(
            "imgrid_lesson_saving",
            "1 while a route goes by a plan that it learned, 0 while it only learns",
            ["route", "pool"],
            registry=registry,
        )
        self.group_photos = Gauge(
            "imgrid_group_photos",
            "Photos of a group that are asked about together first; 1: alone",
            ["route"],
            registry=registry,
        )
        self.flagged_share = Gauge(
            "imgrid_flagged_share",
            "Share of photos that were flagged lately",
            ["route"],
            registry=registry,
        )
