"""Assembles the parts of the pipeline around a buffer and the providers' clients."""

from __future__ import annotations

from gateway.core.clock import Clock
from gateway.core.events import Events
from gateway.grid.renderer import Renderer
from gateway.pipeline.answer_cache import AnswerCache
from gateway.pipeline.background import BackgroundTasks
from gateway.pipeline.budget_gate import BudgetGate
from gateway.pipeline.cache_step import CacheStep
from gateway.pipeline.canvas_call import CanvasCall
from gateway.pipeline.cascade_step import CascadeStep
from gateway.pipeline.claimer import Claimer
from gateway.pipeline.detection_cap import DetectionCap
from gateway.pipeline.entry_factory import EntryFactory
from gateway.pipeline.entry_view import Routes
from gateway.pipeline.fallback import FallbackPolicy
from gateway.pipeline.fetch_step import Fetch, FetchStep, no_fetch
from gateway.pipeline.group_size import coarsest_stage
from gateway.pipeline.group_testing import GroupTester
from gateway.pipeline.lane_chooser import FirstStage, LaneChooser
from gateway.pipeline.overload import OverloadControl
from gateway.pipeline.recovery import Recovery
from gateway.pipeline.rules import PipelineRules
from gateway.pipeline.scheduler import Scheduler
from gateway.pipeline.settler import Settler
from gateway.pipeline.wait_forecast import WaitForecast
from gateway.pipeline.waiters import Waiters
from gateway.store.answers import Answers
from gateway.store.buffer import Buffer
from gateway.store.inspection import Inspection
from gateway.store.ledger import Ledger
from gateway.upstream.faults import RetryPolicy
from gateway.upstream.registry import UpstreamRegistry


class Steps:
    """What is done with claimed photos: the steps, and the parts that they share."""

    def __init__(
        self,
        routes: Routes,
        upstream: UpstreamRegistry,
        buffer: Buffer,
        *,
        forecast: WaitForecast,
        budget_gate: BudgetGate,
        renderer: Renderer,
        events: Events,
        clock: Clock,
        rules: PipelineRules = PipelineRules(),
        fetch: Fetch = no_fetch,
        first_stage: FirstStage = coarsest_stage,
    ) -> None:
        self.detection_cap = DetectionCap()
        self.lanes = LaneChooser(
            routes, upstream, self.detection_cap, first_stage, rules.job_wait_s
        )
        self.settler = Settler(routes, upstream, buffer, renderer, events, clock)
        self.policy = policy = FallbackPolicy(
            routes,
            upstream,
            self.detection_cap,
            RetryPolicy(billed_twice=rules.billed_unknown == "retry"),
            rules.job_pause_s,
        )
        self.recovery = Recovery(
            routes,
            upstream,
            policy,
            self.lanes,
            self.settler,
            events,
            clock,
            rules.billed_unknown,
        )
        canvas_call = CanvasCall(
            routes,
            upstream,
            renderer,
            self.settler,
            policy,
            self.detection_cap,
            events,
            clock,
            rules.job_tries_s,
            budget_gate,
        )
        shared = routes, upstream, canvas_call, self.lanes, self.settler, self.recovery, clock
        self.cascade_step = CascadeStep(*shared, forecast)
        self.group_tester = GroupTester(*shared)
        self.fetch_step = FetchStep(routes, fetch, self.lanes, self.settler, self.recovery, clock)


def make_scheduler(
    routes: Routes,
    upstream: UpstreamRegistry,
    buffer: Buffer,
    *,
    inspection: Inspection,
    ledger: Ledger,
    answers: Answers,
    budget_gate: BudgetGate,
    renderer: Renderer,
    events: Events,
    clock: Clock,
    rules: PipelineRules = PipelineRules(),
    fetch: Fetch = no_fetch,
    first_stage: FirstStage = coarsest_stage,
) -> Scheduler:
    """The scheduler with all its parts, not yet running. It listens to the events."""
    forecast = WaitForecast(upstream, inspection, clock)
    steps = Steps(
        routes,
        upstream,
        buffer,
        forecast=forecast,
        budget_gate=budget_gate,
        renderer=renderer,
        events=events,
        clock=clock,
        rules=rules,
        fetch=fetch,
        first_stage=first_stage,
    )
    background = BackgroundTasks()
    waiters = Waiters(buffer, steps.settler, events, clock=clock, background=background)
    cache = AnswerCache(routes, answers, background=background, clock=clock)
    overload = OverloadControl(forecast, steps.lanes, steps.policy, events, clock)
    cache_step = CacheStep(
        routes,
        upstream,
        cache,
        steps.lanes,
        steps.settler,
        steps.recovery,
        overload,
        events,
        clock,
    )
    scheduler = Scheduler(
        buffer,
        inspection,
        ledger,
        entries=EntryFactory(steps.lanes, rules, clock),
        waiters=waiters,
        claimer=Claimer(
            buffer,
            inspection,
            routes,
            upstream,
            steps.fetch_step,
            rules.fetch_below_bytes,
            clock,
        ),
        forecast=forecast,
        overload=overload,
        budget_gate=budget_gate,
        cascade_step=steps.cascade_step,
        group_tester=steps.group_tester,
        fetch_step=steps.fetch_step,
        cache_step=cache_step,
        background=background,
        events=events,
        clock=clock,
    )
    events.listeners += [waiters, scheduler, cache]
    return scheduler
