"""Composition root: settings become parts, parts become an app. The only file that builds
things."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.routing import Route as HttpRoute

from gateway.api.endpoint import Endpoint
from gateway.api.intake import Intake
from gateway.api.resources.health import Operations, Ready
from gateway.api.resources.jobs import Api
from gateway.api.resources.not_found import unserved
from gateway.api.resources.openapi import describe
from gateway.api.resources.routes import Routes
from gateway.dialects.registry import load_all
from gateway.wiring.parts import Parts


def create_app(parts: Parts) -> FastAPI:
    """The app around the parts; its lifespan runs them and closes what was opened."""
    app = FastAPI(
        title="ImGrid gateway", version="1", lifespan=lambda _: running(parts), redoc_url=None
    )
    limits, timeout_s = parts.settings.limits, parts.settings.limits.body_timeout_ms / 1000
    intake = Intake(limits.max_request_bytes, limits.max_reading_bytes, timeout_s)
    for dialect in load_all():
        endpoint = Endpoint(
            dialect,
            parts.service,
            parts.keyring,
            parts.events,
            intake,
            parts.desk,
            parts.forwarding,
        )
        for place in dialect.paths:
            method, path = place.split(" ") if " " in place else ("POST", place)
            door = HttpRoute(path, endpoint.__call__, methods=[method], include_in_schema=False)
            door.methods = {method}  # of itself it would take HEAD with every GET
            app.router.routes.append(door)
    handing_in = Intake(parts.settings.jobs.max_request_bytes, limits.max_reading_bytes, timeout_s)
    Api(parts.jobs, parts.keyring, handing_in, lambda: _is_stopping(app)).add_to(app)
    ready = Ready(parts.providers, parts.stores.inspection, parts.flow.resting)
    inspection, ledger = parts.stores.inspection, parts.stores.ledger
    operations = Operations(ready, inspection, ledger, parts.metrics, parts.keyring, parts.clock)
    operations.add_to(app)
    Routes(parts.service.routes, parts.watcher, parts.keyring, parts.sizes).add_to(app)
    app.add_exception_handler(HTTPException, unserved)
    describe(app)
    return app


def _is_stopping(app: FastAPI) -> bool:
    """Whether its server was told to stop: open streams have to end before the lifespan does."""
    server = getattr(app.state, "server", None)
    return bool(server and server.should_exit)


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[None]:
    """While it lasts, photos are answered, jobs done and webhooks delivered; then what was taken is
    finished."""
    async with AsyncExitStack() as stack:
        for provider in parts.providers.values():
            stack.push_async_callback(provider.close)
        stack.callback(parts.studio.close)
        stack.push_async_callback(parts.stores.close)
        stack.push_async_callback(parts.guard.close)
        stack.push_async_callback(parts.sources.close)
        serving = asyncio.create_task(parts.flow.run())
        stack.push_async_callback(_cancelled, serving)
        delivering = asyncio.create_task(parts.deliverer.run())
        stack.push_async_callback(_cancelled, delivering)
        stack.push_async_callback(parts.desk.close)
        stack.push_async_callback(
            parts.flow.drain, max(route.deadline_s for route in parts.routes.values())
        )
        watching = asyncio.create_task(parts.watcher.run())
        stack.push_async_callback(
            _cancelled, watching
        )  # what is watched keeps no process from stopping
        await stack.enter_async_context(parts.stores.jobs.running(parts.buffer))
        if parts.rpc is not None:
            await stack.enter_async_context(parts.rpc.serving(grace_s(parts)))
        yield


def grace_s(parts: Parts) -> float:
    """How long calls under way may go on when the gateway is told to stop: until none can have an
    answer."""
    return (
        max(route.deadline_s for route in parts.routes.values())
        + parts.settings.limits.body_timeout_ms / 1000
    )


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
