"""Everything that a running gateway consists of, built from settings."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from gateway.api.byte_quota import ByteQuota
from gateway.api.endpoint import Endpoint
from gateway.api.grpc import Rpc
from gateway.api.idempotency import CallRegistry
from gateway.api.passthrough import Passthrough
from gateway.api.server import Tls
from gateway.api.service import Service
from gateway.config.errors import ConfigError
from gateway.config.settings import Settings
from gateway.core.clock import Clock, steady
from gateway.core.events import Events, Listener
from gateway.core.limits import PhotoLimits
from gateway.core.locations import WEB, folder_of
from gateway.core.model import Route
from gateway.dialects.native.dialect import DIALECT as NATIVE
from gateway.grid.renderer import Renderer
from gateway.intake.object_stores import open_gs, open_s3
from gateway.intake.sources import SourceReader, Sources, WebSource
from gateway.intake.url_fetcher import Fetcher
from gateway.jobs import response
from gateway.jobs.service import Jobs
from gateway.jobs.webhooks.deliverer import Deliverer, DeliveryPace
from gateway.observe import log
from gateway.observe.drift import DriftMonitor
from gateway.observe.metrics import Metrics
from gateway.pipeline.canvas_call import PipelineRules
from gateway.pipeline.group_size import GroupSizer
from gateway.pipeline.scheduler import FETCHES, Scheduler
from gateway.security.egress import EgressGuard
from gateway.security.keyring import Keyring
from gateway.store.buffer import Buffer
from gateway.store.jobs import WebhookTarget
from gateway.vocabulary import translate
from gateway.vocabulary.translate import Translator
from gateway.wiring.listeners import open_rpc, tls
from gateway.wiring.routes import drift_terms, make_routing
from gateway.wiring.stores import Stores, open_stores
from gateway.wiring.tenants import make_keyring, signing_secrets
from providers.base import Provider
from providers.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a running gateway consists of."""

    settings: Settings
    providers: Mapping[str, Provider]
    routes: Mapping[str, Route]
    keyring: Keyring
    stores: Stores
    studio: Renderer
    events: Events
    flow: Scheduler
    watcher: DriftMonitor
    metrics: Metrics
    service: Service
    jobs: Jobs
    guard: EgressGuard
    sources: Sources
    deliverer: Deliverer
    clock: Clock
    desk: CallRegistry
    forwarding: Passthrough
    rpc: Rpc | None
    sizes: GroupSizer
    tls: Tls | None = None

    @property
    def buffer(self) -> Buffer:
        return self.stores.buffer


def build(
    config: Settings,
    file: Path,
    listeners: Sequence[Listener] = (),
    *,
    providers: Mapping[str, Provider] | None = None,
) -> Parts:
    """All parts, unstarted; `providers` stand in for the configured ones of their names.

    Raises ConfigError naming file and key for whatever cannot be built.
    """
    routing = make_routing(config, file, providers)
    made, routes = routing.providers, routing.routes
    clock, metrics = steady(), Metrics()
    stores = open_stores(config, file, clock)
    # what a replica draws ahead is mostly composed by another
    studio = Renderer(
        config.threads, ahead_bytes=0 if config.redis else config.buffer.max_drawn_bytes
    )
    events = Events([metrics, log.write, *listeners])
    house = PhotoLimits(config.limits.max_photo_bytes, config.limits.max_photo_pixels)
    urls = config.fetch
    guard = EgressGuard(
        urls.allow, timeout_s=urls.timeout_ms / 1000, max_redirects=urls.max_redirects
    )
    held_bytes = config.jobs.max_bytes if config.redis else config.buffer.max_bytes
    rules = PipelineRules(
        config.billed_unknown,
        config.jobs.max_wait_ms / 1000,
        config.jobs.deadline_ms / 1000,
        fetch_below_bytes=max(held_bytes - FETCHES * config.limits.max_photo_bytes, 1),
    )
    fetch = Fetcher(guard, NATIVE.limits, house)
    sizes = GroupSizer(routes, events)
    events.listeners.append(sizes)
    sizes.tell_all()
    flow = Scheduler(
        routes,
        made,
        stores.buffer,
        inspection=stores.inspection,
        ledger=stores.ledger,
        studio=studio,
        events=events,
        clock=clock,
        rng=random.Random(),
        rules=rules,
        fetch=fetch,
        first=sizes.first,
    )
    watcher = DriftMonitor(
        routes, drift_terms(config, routes), flow.watch, events, clock=clock, rng=random.Random()
    )
    events.listeners.append(watcher)
    names, sources = _names(config, file), _sources(config, file, guard)
    spoken = {name: provider.about.vocabulary for name, provider in made.items()}
    service = Service(
        tuple(routes.values()),
        flow,
        house,
        events,
        watcher.level,
        names,
        spoken,
        sources.fetch,
        ByteQuota(config.limits.max_reading_bytes, "fetched"),
    )
    signing = signing_secrets(config, file)
    hooks = {
        each.name: WebhookTarget(each.webhook.url, each.webhook.each_photo)
        for each in config.tenants
        if each.webhook.url
    }
    jobs = Jobs(
        stores.jobs, service.way, service.enter, guard.check, house, events, clock, hooks, signing
    )
    deliverer = Deliverer(
        stores.deliveries,
        guard.post,
        partial(response.body, stores.jobs),
        signing,
        observe=metrics.attempted,
        pace=DeliveryPace(
            attempt_s=urls.timeout_ms / 1000, concurrency=config.webhooks.concurrency
        ),
        clock=clock,
    )
    keyring, desk = make_keyring(config, file, clock), CallRegistry(stores.replies, events)
    prices = {name: provider.about.price for name, provider in made.items()}
    forwarding = Passthrough(service.routes, flow.forward, prices, flow.charge)
    grpc = open_rpc(
        config,
        file,
        lambda dialect, intake: Endpoint(
            dialect, service, keyring, events, intake, desk, forwarding
        ),
    )
    return Parts(
        config,
        made,
        routes,
        keyring,
        stores,
        studio,
        events,
        flow,
        watcher,
        metrics,
        service,
        jobs,
        guard,
        sources,
        deliverer,
        clock,
        desk,
        forwarding,
        grpc,
        sizes,
        tls(config, file),
    )


def _names(config: Settings, file: Path) -> Translator:
    try:
        return translate.load([file.parent / each for each in config.names])
    except ValueError as error:
        raise ConfigError(f"{file}: names: {error}") from None


def _sources(config: Settings, file: Path, guard: EgressGuard) -> Sources:
    """A store's library is needed, and looked for, where a folder of that store is open to
    somebody."""
    shared = [folder_of(each) for each in config.fetch.sources]
    own = {tenant.name: [folder_of(each) for each in tenant.sources] for tenant in config.tenants}
    timeout_s = config.fetch.timeout_ms / 1000
    openers: dict[str, Callable[[], SourceReader]] = {
        "s3": lambda: open_s3(config.fetch.s3, timeout_s),
        "gs": lambda: open_gs(config.fetch.gs, timeout_s),
    }
    readers: dict[str, SourceReader] = dict.fromkeys(WEB, WebSource(guard))
    for scheme in sorted({folder.scheme for folder in chain(shared, *own.values())}):
        try:
            readers[scheme] = openers[scheme]()
        except Misconfigured as error:
            raise ConfigError(f"{file}: fetch.{scheme}: {error}") from None
    return Sources(readers, shared, own, timeout_s=timeout_s)
