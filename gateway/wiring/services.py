"""What the endpoints call, from settings: the service for photos, passthrough, jobs, webhooks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from gateway.api.byte_quota import ByteQuota
from gateway.api.passthrough import Passthrough
from gateway.api.service import Service
from gateway.config.errors import ConfigError
from gateway.config.settings import Settings
from gateway.core.clock import Clock
from gateway.core.errors import GatewayError
from gateway.core.events import DeliveryResult, Events
from gateway.core.model import Outcome, Tenant
from gateway.jobs import response
from gateway.jobs.media_analysis.export import ResultsExport
from gateway.jobs.media_analysis.service import MediaAnalysis
from gateway.jobs.service import Jobs
from gateway.jobs.webhooks.deliverer import Attempt, Deliverer, DeliveryPace
from gateway.jobs.webhooks.sender import WebhookMessage, WebhookSender, post_signed
from gateway.ledger.rates import Rate
from gateway.pipeline.ledger_watch import BudgetNotice, LedgerWatch
from gateway.pipeline.rate_gate import RateGate, TenantRates
from gateway.security.egress import EgressGuard
from gateway.security.keyring import sha256_of
from gateway.store.jobs import Delivery, WebhookTarget
from gateway.vocabulary import translate
from gateway.vocabulary.translate import Translator
from gateway.wiring.network import Network
from gateway.wiring.pipeline import Pipeline, photo_limits
from gateway.wiring.routes import Routing
from gateway.wiring.stores import Stores
from providers.detection import Task

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


def make_passthrough(routing: Routing, pipeline: Pipeline, clock: Clock) -> Passthrough:
    """What hands calls on to vendors whole."""
    prices = {name: provider.about.price for name, provider in routing.providers.items()}
    routes = tuple(routing.routes.values())
    scheduler = pipeline.scheduler
    return Passthrough(
        routes,
        pipeline.upstream.forward,
        prices,
        scheduler.budget_gate.hold_call,
        scheduler.charge,
        clock,
    )


def make_rate_gate(config: Settings, stores: Stores) -> RateGate:
    """What keeps tenants within their rates."""
    rates: dict[str, TenantRates] = {}
    for tenant in config.tenants:
        limits = tenant.limits
        tenant_rates = TenantRates(
            _rate(limits.requests_per_s, limits.burst_s),
            _rate(limits.photos_per_s, limits.burst_s),
            _rate(limits.key_requests_per_s, limits.burst_s),
            _rate(limits.key_photos_per_s, limits.burst_s),
        )
        if tenant_rates != TenantRates():
            rates[tenant.name] = tenant_rates
    return RateGate(rates, stores.rates)


def _rate(per_s: float | None, burst_s: float) -> Rate | None:
    return None if per_s is None else Rate(per_s, max(per_s * burst_s, 1.0))


def make_ledger_watch(
    routing: Routing,
    stores: Stores,
    pipeline: Pipeline,
    *,
    guard: EgressGuard,
    secrets: SigningSecrets,
    events: Events,
    clock: Clock,
) -> LedgerWatch:
    """What watches the ledger, not yet running."""
    gate = pipeline.scheduler.budget_gate
    urls = {tenant.name: tenant.webhook.url for tenant in routing.settings.tenants}

    async def send(notice: BudgetNotice) -> bool:
        url, keys = urls.get(notice.budget.tenant, ""), secrets(notice.budget.tenant)
        if not url or not keys:
            return True  # the log is told
        message_id = f"budget_{sha256_of(notice.id)[:32]}"
        message = WebhookMessage(message_id, url, notice.body)
        attempt = await post_signed(guard.post, keys, message, at=time.time())
        if attempt.result is DeliveryResult.RETRY:
            raise GatewayError(f"{url}: {attempt.error}")
        return True  # taken, or not wanted there: the log is told

    return LedgerWatch(
        gate.budgets,
        stores.budgets,
        stores.ledger,
        pipeline.upstream.tiers,
        gate.over,
        send,
        events,
        clock,
    )


def make_jobs(
    config: Settings,
    service: Service,
    stores: Stores,
    pipeline: Pipeline,
    *,
    rate_gate: RateGate,
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

    async def check_limits(tenant: Tenant, photos: int) -> None:
        service.scheduler.budget_gate.check(tenant)
        await rate_gate.check(tenant, photos)

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
        usd=pipeline.upstream.paid_usd,
        check_limits=check_limits,
    )


def make_media_analysis(
    jobs: Jobs, service: Service, stores: Stores, network: Network
) -> MediaAnalysis:
    """What answers Rekognition's calls about jobs."""
    return MediaAnalysis(
        jobs, stores.delivery_reader, network.sources.fetch, network.sinks, _in_rekognition(service)
    )


def _in_rekognition(service: Service) -> Callable[[Outcome], Outcome]:
    """A function that returns an outcome of moderation in Rekognition's words."""
    return partial(service.translated, task=Task.MODERATION, dialect="rekognition")


def make_deliverer(
    config: Settings,
    service: Service,
    stores: Stores,
    *,
    network: Network,
    secrets: SigningSecrets,
    events: Events,
    clock: Clock,
) -> Deliverer:
    """What delivers webhooks and writes results, not yet running."""
    pace = DeliveryPace(
        attempt_s=config.fetch.timeout_ms / 1000, concurrency=config.webhooks.concurrency
    )
    webhooks = WebhookSender(network.guard.post, partial(response.body, stores.jobs), secrets)
    exports = ResultsExport(stores.jobs, network.sinks, _in_rekognition(service))

    async def send(delivery: Delivery) -> Attempt:
        is_export = delivery.url.startswith("s3://")
        return await (exports.send(delivery) if is_export else webhooks.send(delivery))

    return Deliverer(stores.deliveries, send, events=events, pace=pace, clock=clock)
