"""What the endpoints call, from settings: the service for photos, passthrough, jobs, webhooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from gateway.api.byte_quota import ByteQuota
from gateway.api.passthrough import Passthrough
from gateway.api.service import Service
from gateway.config.errors import ConfigError
from gateway.config.settings import Settings
from gateway.core.clock import Clock
from gateway.core.events import Events
from gateway.jobs import response
from gateway.jobs.service import Jobs
from gateway.jobs.webhooks.deliverer import Deliverer, DeliveryPace
from gateway.security.egress import EgressGuard
from gateway.store.jobs import WebhookTarget
from gateway.vocabulary import translate
from gateway.vocabulary.translate import Translator
from gateway.wiring.network import Network
from gateway.wiring.pipeline import Pipeline, photo_limits
from gateway.wiring.routes import Routing
from gateway.wiring.stores import Stores

SigningSecrets = Callable[[str], Sequence[str]]
"""A tenant's webhook secrets, by its name."""


def load_translator(config: Settings, file: Path) -> Translator:
    """The shipped tables of names and the operator's. Raises ConfigError."""
    try:
        return translate.load([file.parent / path for path in config.names])
    except ValueError as error:
        raise ConfigError(f"{file}: names: {error}") from None


def make_service(
    routing: Routing,
    pipeline: Pipeline,
    *,
    network: Network,
    translator: Translator,
    events: Events,
) -> Service:
    """The service that answers photos for every dialect."""
    return Service(
        routes=tuple(routing.routes.values()),
        scheduler=pipeline.scheduler,
        photo_limits=photo_limits(routing.settings),
        events=events,
        learned=pipeline.learner.lessons.current,
        level=pipeline.drift_monitor.level,
        translator=translator,
        vocabularies={
            name: provider.about.vocabulary for name, provider in routing.providers.items()
        },
        read_source=network.sources.fetch,
        fetch_quota=ByteQuota(
            routing.settings.limits.max_reading_bytes, "fetched", routing.settings.tenant_count
        ),
    )


def make_passthrough(routing: Routing, pipeline: Pipeline) -> Passthrough:
    """What hands calls on to vendors whole."""
    prices = {name: provider.about.price for name, provider in routing.providers.items()}
    routes = tuple(routing.routes.values())
    return Passthrough(routes, pipeline.upstream.forward, prices, pipeline.scheduler.charge)


def make_jobs(
    config: Settings,
    service: Service,
    stores: Stores,
    *,
    network: Network,
    secrets: SigningSecrets,
    events: Events,
    clock: Clock,
) -> Jobs:
    """What accepts jobs."""
    webhooks = {
        tenant.name: WebhookTarget(tenant.webhook.url, tenant.webhook.each_photo)
        for tenant in config.tenants
        if tenant.webhook.url
    }
    return Jobs(
        store=stores.jobs,
        way=service.way,
        entry=service.scheduler.entries.job_entry,
        check_url=network.guard.check,
        check_source=network.sources.check,
        photo_limits=photo_limits(config),
        events=events,
        clock=clock,
        webhooks=webhooks,
        has_secret=secrets,
    )


def make_deliverer(
    config: Settings,
    stores: Stores,
    *,
    guard: EgressGuard,
    secrets: SigningSecrets,
    events: Events,
    clock: Clock,
) -> Deliverer:
    """What delivers webhooks, not yet running."""
    pace = DeliveryPace(
        attempt_s=config.fetch.timeout_ms / 1000, concurrency=config.webhooks.concurrency
    )
    return Deliverer(
        stores.deliveries,
        guard.post,
        partial(response.body, stores.jobs),
        secrets,
        events=events,
        pace=pace,
        clock=clock,
    )
