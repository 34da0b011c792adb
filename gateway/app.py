"""The app: HTTP endpoints around the parts of a gateway, and the lifespan that runs them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import replace

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route as HttpRoute

from gateway.api.connection_register import ConnectionLimits, ConnectionRegister
from gateway.api.cross_origin import cors_options
from gateway.api.endpoint import Endpoint
from gateway.api.intake import Intake
from gateway.api.ops_server import ops_serving
from gateway.api.request_record import RequestRecorder
from gateway.api.resources.dashboard import DashboardApi
from gateway.api.resources.dashboard_money import MoneyView
from gateway.api.resources.documentation import Documentation
from gateway.api.resources.health import Operations, ReadinessProbe
from gateway.api.resources.jobs import JobsApi
from gateway.api.resources.models import ModelsApi
from gateway.api.resources.not_found import AwsPathRoute, not_found
from gateway.api.resources.read_operations import ReadOperationsApi
from gateway.api.resources.routes import RoutesApi
from gateway.api.resources.usage import UsageApi
from gateway.core.errors import BufferAway
from gateway.core.fair_share import FairBudget
from gateway.dialects.registry import load_all
from gateway.grid.malloc import return_freed_memory
from gateway.observe.log import write_mismatches
from gateway.wiring.parts import Parts
from providers.base import Provider

log = logging.getLogger("imgrid")

CLOSE_S = 5.0
"""How long a provider's calls under way are waited for in the end."""


def create_app(parts: Parts) -> Starlette:
    """The app around the parts. Its lifespan runs them and closes them in the end."""
    app = Starlette(
        lifespan=_lifespan(parts),
        middleware=[
            Middleware(RequestRecorder, events=parts.events, begin_trace=parts.tracing.begin)
        ],
    )
    app.router.redirect_slashes = False  # SDKs lose a body, or their key, on the way
    app.state.connections = _connections(parts)
    if parts.settings.cors_origins:
        app.add_middleware(CORSMiddleware, **cors_options(parts.settings.cors_origins))
    operations = _operations(parts, app)
    usage = _usage(parts)
    usage.add_to(app)
    if parts.settings.ops_listen is None:
        Documentation([operations.describe, usage.describe]).add_to(app)
        operations.add_to(app)
    else:
        operations.add_health_to(app)
        app.state.ops = _ops_app(replace(operations, is_private=True), usage)
    _add_dialects(app, parts)
    _add_resources(app, parts, operations.readiness)
    ModelsApi(parts.service, operations.readiness, parts.keyring).add_to(app)
    app.add_exception_handler(HTTPException, not_found)
    return app


def _ops_app(operations: Operations, usage: UsageApi) -> Starlette:
    """The app of the operators' own address."""
    app = Starlette()
    Documentation([operations.describe, usage.describe]).add_to(app)
    operations.add_to(app)
    app.add_exception_handler(HTTPException, not_found)
    return app


def _lifespan(parts: Parts) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """The lifespan of the app, and of the operators' address if it has one."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(running(parts))
            if parts.settings.ops_listen is not None:
                serving = ops_serving(app.state.ops, parts.settings.ops_listen)
                app.state.ops_address = await stack.enter_async_context(serving)
            yield

    return lifespan


def _add_dialects(app: Starlette, parts: Parts) -> None:
    app.router.routes.insert(0, AwsPathRoute())
    intake = _intake(parts, parts.settings.limits.max_request_bytes)
    for dialect in load_all():
        endpoint = parts.endpoint(dialect, intake)
        for method_and_path in dialect.paths:
            app.router.routes.append(_http_route(method_and_path, endpoint))


def _http_route(method_and_path: str, endpoint: Endpoint) -> HttpRoute:
    """The route of one entry of `Dialect.paths`: a path, or a method and a path."""
    method, path = (
        method_and_path.split(" ") if " " in method_and_path else ("POST", method_and_path)
    )
    route = HttpRoute(path, endpoint.__call__, methods=[method], include_in_schema=False)
    route.methods = {method}  # Starlette adds HEAD to every GET
    return route


def _add_resources(app: Starlette, parts: Parts, readiness: ReadinessProbe) -> None:
    """Adds the gateway's own endpoints. The dashboard is at the operators' address, if there is
    one."""
    config = parts.settings
    job_intake = _intake(parts, config.jobs.max_request_bytes)
    streams = FairBudget(config.limits.max_event_streams, config.tenant_count)
    JobsApi(parts.jobs, parts.keyring, job_intake, streams, lambda: _is_stopping(app)).add_to(app)
    ReadOperationsApi(parts.jobs, parts.keyring, job_intake).add_to(app)
    routes = RoutesApi(
        tuple(parts.routes.values()),
        parts.pipeline.drift_monitor,
        parts.pipeline.group_sizer,
        parts.pipeline.learner.lessons,
        parts.keyring,
    )
    routes.add_to(app)
    dashboard = DashboardApi(
        money=MoneyView(parts.stores.ledger),
        budgets=parts.pipeline.scheduler.budget_gate.budgets,
        budget_store=parts.stores.budgets,
        inspection=parts.stores.inspection,
        deliveries=parts.stores.deliveries,
        upstream=parts.pipeline.upstream,
        metrics=parts.metrics,
        routes=routes,
        readiness=readiness,
        keyring=parts.keyring,
        clock=parts.clock,
        notices=lambda: _notices(parts),
    )
    dashboard.add_to(getattr(app.state, "ops", app))


def _connections(parts: Parts) -> ConnectionRegister:
    limits = parts.settings.limits
    return ConnectionRegister(
        ConnectionLimits(
            limits.max_connections, limits.header_timeout_ms / 1000, limits.body_timeout_ms / 1000
        ),
        parts.events,
    )


def _operations(parts: Parts, app: Starlette) -> Operations:
    inspection = parts.stores.inspection
    readiness = ReadinessProbe(
        parts.providers,
        inspection,
        parts.pipeline.upstream.problems,
        is_leaving=lambda: _is_leaving(app),
    )
    return Operations(
        readiness,
        inspection,
        metrics=parts.metrics,
        keyring=parts.keyring,
        clock=parts.clock,
        notices=lambda: _notices(parts),
        connections=app.state.connections.counts,
        grpc_calls=parts.grpc.call_counts if parts.grpc else dict,
    )


def _notices(parts: Parts) -> dict[str, str]:
    """What is wrong while photos are answered, by name."""
    losses = {f"route {name}": text for name, text in parts.ledger_watch.losses.items()}
    store = parts.keyring.store
    # the last good keys stay valid
    keys = {"keys": store.problem} if store is not None and store.problem else {}
    return {**parts.stores.notices(), **parts.reloader.problems, **keys, **losses}


def _usage(parts: Parts) -> UsageApi:
    kinds = {name: provider.about.kind for name, provider in parts.providers.items()}
    return UsageApi(parts.stores.ledger, parts.keyring, kinds)


def _intake(parts: Parts, max_request_bytes: int) -> Intake:
    limits = parts.settings.limits
    return Intake(
        max_request_bytes,
        limits.max_reading_bytes,
        limits.body_timeout_ms / 1000,
        parts.settings.tenant_count,
    )


def _is_stopping(app: Starlette) -> bool:
    """Whether the app's server was told to stop. Open streams must end before the lifespan does."""
    server = getattr(app.state, "server", None)
    return bool(server and server.should_exit)


def _is_leaving(app: Starlette) -> bool:
    """Whether the app's server will stop soon, though it still answers."""
    server = getattr(app.state, "server", None)
    return bool(server and server.is_leaving)


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[None]:
    """While it lasts, photos are answered, jobs are done and webhooks are delivered. In the end the
    photos that were accepted are finished and everything is closed."""
    return_freed_memory()
    write_mismatches(parts.routes.values())
    scheduler = parts.pipeline.scheduler
    async with AsyncExitStack() as stack:  # unwound from the bottom
        stack.push_async_callback(asyncio.to_thread, parts.tracing.close)
        for provider in parts.providers.values():
            stack.push_async_callback(_close, provider)
        stack.callback(parts.pipeline.renderer.close)
        stack.push_async_callback(parts.stores.close)
        stack.push_async_callback(parts.network.close)
        await _read_lessons(parts)  # before photos of other replicas are claimed
        _run_in_background(stack, scheduler.run())
        _run_in_background(stack, parts.deliverer.run())
        stack.push_async_callback(parts.calls.close)
        stack.push_async_callback(scheduler.drain, _longest_deadline_s(parts))
        # cancelled before the drain: comparisons and lessons do not delay the end
        _run_in_background(stack, parts.pipeline.drift_monitor.run())
        _run_in_background(stack, parts.pipeline.learner.run())
        _run_in_background(stack, parts.reloader.run())
        _run_in_background(stack, parts.ledger_watch.run())
        await stack.enter_async_context(parts.stores.job_feed.running(parts.buffer))
        if parts.grpc is not None:
            await stack.enter_async_context(parts.grpc.serving(grace_s(parts)))
        yield


async def _read_lessons(parts: Parts) -> None:
    """Reads what routes have learned; later, where the store cannot be reached now."""
    with suppress(BufferAway):
        await parts.pipeline.learner.read()


def grace_s(parts: Parts) -> float:
    """How long requests under way may go on when the gateway stops: after that none can still be
    answered."""
    return _longest_deadline_s(parts) + parts.settings.limits.body_timeout_ms / 1000


def _longest_deadline_s(parts: Parts) -> float:
    return max(route.deadline_s for route in parts.routes.values())


def _run_in_background(stack: AsyncExitStack, work: Coroutine[None, None, None]) -> None:
    """Runs the work in a task, which the stack cancels when it is unwound."""
    task = asyncio.create_task(work)
    stack.push_async_callback(_cancel, task)


async def _close(provider: Provider) -> None:
    """Closes the provider, but does not wait for calls that are stuck."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await provider.close()
    except TimeoutError:
        log.warning("provider %s: calls are stuck; it is not waited for", provider.about.name)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
