"""The composition root: all parts of a running gateway, built from its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.api.endpoint import Endpoint
from gateway.api.grpc import GrpcServer
from gateway.api.idempotency import CallRegistry
from gateway.api.intake import Intake
from gateway.api.passthrough import Passthrough
from gateway.api.server import Tls
from gateway.api.service import Service
from gateway.config.settings import Settings
from gateway.core.clock import Clock, steady
from gateway.core.events import Events, Listener
from gateway.core.model import Route
from gateway.dialects.base import Dialect
from gateway.jobs.media_analysis.service import MediaAnalysis
from gateway.jobs.service import Jobs
from gateway.jobs.webhooks.deliverer import Deliverer
from gateway.observe.log import EventLog
from gateway.observe.metrics import Metrics
from gateway.pipeline.ledger_watch import LedgerWatch
from gateway.pipeline.rate_gate import RateGate
from gateway.security.keyring import Keyring
from gateway.store.buffer import Buffer
from gateway.wiring.model_reloader import ModelReloader
from gateway.wiring.network import Network, open_network
from gateway.wiring.pipeline import Pipeline, make_pipeline
from gateway.wiring.ports import open_grpc, tls_files
from gateway.wiring.routes import make_routing
from gateway.wiring.services import (
    load_translator,
    make_deliverer,
    make_jobs,
    make_ledger_watch,
    make_media_analysis,
    make_passthrough,
    make_rate_gate,
    make_service,
)
from gateway.wiring.stores import Stores, check_jobs_file, open_stores
from gateway.wiring.tenants import make_keyring, signing_secrets
from gateway.wiring.tracing import Tracing, open_tracing
from providers.base import Provider


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a running gateway consists of."""

    settings: Settings
    clock: Clock
    providers: Mapping[str, Provider]
    routes: Mapping[str, Route]
    keyring: Keyring
    stores: Stores
    events: Events
    metrics: Metrics
    network: Network
    pipeline: Pipeline
    service: Service
    passthrough: Passthrough
    calls: CallRegistry
    jobs: Jobs
    media_analysis: MediaAnalysis
    deliverer: Deliverer
    rate_gate: RateGate
    ledger_watch: LedgerWatch
    reloader: ModelReloader
    tracing: Tracing
    grpc: GrpcServer | None = None
    tls: Tls | None = None

    @property
    def buffer(self) -> Buffer:
        return self.stores.buffer

    def endpoint(self, dialect: Dialect, intake: Intake) -> Endpoint:
        """The endpoint of one dialect, whose requests `intake` reads."""
        return Endpoint(
            dialect,
            intake,
            service=self.service,
            passthrough=self.passthrough,
            job_reply=self.media_analysis.reply,
            calls=self.calls,
            keyring=self.keyring,
            events=self.events,
            rate_gate=self.rate_gate,
            begin_trace=self.tracing.begin,
        )


def build(
    config: Settings,
    file: Path,
    listeners: Sequence[Listener] = (),
    *,
    providers: Mapping[str, Provider] | None = None,
    keeps_ledger: bool = True,
) -> Parts:
    """All parts, not yet running. `providers` replace the configured ones of the same names;
    `listeners` are told of every event; without `keeps_ledger` no ledger is left behind.

    Raises ConfigError naming file and key for whatever cannot be built.
    """
    routing = make_routing(config, file, providers)
    if keeps_ledger:
        check_jobs_file(config, file)
    clock, events, metrics = steady(), Events(), Metrics()
    stores = open_stores(config, file, clock, keeps_ledger=keeps_ledger)
    translator = load_translator(config, file)
    network = open_network(config, file)
    pipeline = make_pipeline(routing, stores, sources=network.sources, events=events, clock=clock)
    kinds = {name: provider.about.kind for name, provider in routing.providers.items()}
    tracing = open_tracing(config, file, kinds, clock=clock)
    _register(events, metrics, [EventLog(clock), *tracing.listeners, *listeners], pipeline)
    metrics.set_mismatches(routing.routes.values())
    secrets = signing_secrets(config, file)
    service = make_service(routing, pipeline, network=network, translator=translator, events=events)
    rate_gate = make_rate_gate(config, stores)
    jobs = make_jobs(
        config,
        service,
        stores,
        pipeline,
        rate_gate=rate_gate,
        network=network,
        secrets=secrets,
        events=events,
        clock=clock,
    )
    parts = Parts(
        settings=config,
        clock=clock,
        providers=routing.providers,
        routes=routing.routes,
        keyring=make_keyring(config, file, clock),
        stores=stores,
        events=events,
        metrics=metrics,
        network=network,
        pipeline=pipeline,
        service=service,
        passthrough=make_passthrough(routing, pipeline, clock),
        calls=CallRegistry(stores.replies, events),
        jobs=jobs,
        media_analysis=make_media_analysis(jobs, service, stores, network),
        deliverer=make_deliverer(
            config,
            service,
            stores,
            network=network,
            secrets=secrets,
            events=events,
            clock=clock,
        ),
        rate_gate=rate_gate,
        ledger_watch=make_ledger_watch(
            routing,
            stores,
            pipeline,
            guard=network.guard,
            secrets=secrets,
            events=events,
            clock=clock,
        ),
        reloader=ModelReloader(routing, metrics, clock),
        tracing=tracing,
    )
    return replace(parts, grpc=open_grpc(config, file, parts.endpoint), tls=tls_files(config, file))


def _register(
    events: Events, metrics: Metrics, listeners: Sequence[Listener], pipeline: Pipeline
) -> None:
    """Registers every listener to events, and reports the first group sizes to them."""
    events.listeners += [metrics, *listeners]
    events.listeners += [pipeline.group_sizer, pipeline.drift_monitor, pipeline.learner]
    pipeline.group_sizer.tell_initial()
