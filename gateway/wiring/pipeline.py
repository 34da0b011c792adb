"""The pipeline's parts from settings: what answers photos once they are admitted."""

from __future__ import annotations

import random
from dataclasses import dataclass

from gateway.config.settings import Settings
from gateway.core.clock import Clock
from gateway.core.events import Events
from gateway.core.limits import DecoderLimits, PhotoLimits
from gateway.dialects.native.dialect import DIALECT as NATIVE
from gateway.grid.large_decoder import LargeDecoder
from gateway.grid.renderer import Renderer
from gateway.intake.sources import Sources
from gateway.intake.url_fetcher import Fetcher
from gateway.learning.learner import Learner
from gateway.ledger.budgets import Budget, Budgets
from gateway.observe.drift import DriftMonitor
from gateway.pipeline.assembly import make_scheduler
from gateway.pipeline.budget_gate import BudgetGate
from gateway.pipeline.fetch_step import MAX_FETCHES
from gateway.pipeline.group_size import GroupSizer
from gateway.pipeline.rules import PipelineRules
from gateway.pipeline.scheduler import Scheduler
from gateway.upstream.registry import UpstreamRegistry
from gateway.wiring.learning import make_learner
from gateway.wiring.routes import Routing, drift_terms
from gateway.wiring.stores import Stores


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The scheduler, and what works beside it."""

    renderer: Renderer
    upstream: UpstreamRegistry
    scheduler: Scheduler
    group_sizer: GroupSizer
    drift_monitor: DriftMonitor
    learner: Learner


def make_pipeline(
    routing: Routing, stores: Stores, *, sources: Sources, events: Events, clock: Clock
) -> Pipeline:
    """The pipeline, not yet running and not yet listening to events."""
    config, routes = routing.settings, routing.routes
    renderer = make_renderer(config)
    group_sizer = GroupSizer(routes, events)
    upstream = UpstreamRegistry.of(routing.providers, clock, random.Random(), events)
    scheduler = make_scheduler(
        routes,
        upstream,
        stores.buffer,
        inspection=stores.inspection,
        ledger=stores.ledger,
        answers=stores.answers,
        budget_gate=BudgetGate(budgets_of(config), stores.budgets, events, clock),
        renderer=renderer,
        events=events,
        clock=clock,
        rules=_rules(config),
        fetch=Fetcher(sources.fetch, NATIVE.limits, photo_limits(config)),
        first_stage=group_sizer.first_stage,
    )
    drift_monitor = DriftMonitor(
        routes,
        drift_terms(routing),
        scheduler.watch,
        events,
        clock=clock,
        rng=random.Random(),
    )
    learner = make_learner(routing, stores.learning, scheduler.watch, events=events, clock=clock)
    return Pipeline(renderer, upstream, scheduler, group_sizer, drift_monitor, learner)


def budgets_of(config: Settings) -> Budgets:
    """The budgets of all tenants."""
    budgets: list[Budget] = []
    for tenant in config.tenants:
        budgets += [settings.budget(tenant.name) for settings in tenant.budgets]
    return Budgets(budgets)


def make_renderer(config: Settings) -> Renderer:
    """The renderer. With a shared buffer it draws nothing ahead, because another replica composes
    most of the photos that this one takes."""
    ahead_bytes = 0 if config.redis else config.buffer.max_drawn_bytes
    decoder = config.decoder
    limits = DecoderLimits(decoder.processes, decoder.max_bytes, decoder.timeout_ms / 1000)
    large_decoder = LargeDecoder(limits)
    return Renderer(config.threads, ahead_bytes=ahead_bytes, large_decoder=large_decoder)


def photo_limits(config: Settings) -> PhotoLimits:
    """The operator's limits for one photo."""
    return PhotoLimits(config.limits.max_photo_bytes, config.limits.max_photo_pixels)


def _rules(config: Settings) -> PipelineRules:
    capacity_bytes = config.jobs.max_bytes if config.redis else config.buffer.max_bytes
    fetching_bytes = MAX_FETCHES * config.limits.max_photo_bytes
    return PipelineRules(
        billed_unknown=config.billed_unknown,
        job_wait_s=config.jobs.max_wait_ms / 1000,
        job_deadline_s=config.jobs.deadline_ms / 1000,
        fetch_below_bytes=max(capacity_bytes - fetching_bytes, 1),
    )
