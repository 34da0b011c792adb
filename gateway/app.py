"""Composition root: settings become parts, parts become an app. The only file that builds things."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway import dialects, settings
from gateway.admission import House
from gateway.buffer.base import Buffer, Room
from gateway.buffer.memory import MemoryBuffer
from gateway.errors import GatewayError
from gateway.events import Events, Listener
from gateway.flow import Flow
from gateway.grid.studio import Studio
from gateway.hooks import log
from gateway.hooks.ledger import Account, Ledger
from gateway.hooks.metrics import Metrics
from gateway.http import Endpoint, Intake, head
from gateway.keys import KeyPair, Keyring, digest
from gateway.model import Route, Tenant
from gateway.service import Service
from gateway.settings import ConfigError, Settings
from providers import load
from providers.base import Misconfigured, Provider, ProviderError
from thresholds.cascade import Stage

LEAST_CELL_PX = 16

READY_FOR_S = 5.0
"""How long a provider's word that it could be asked is believed."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a running gateway consists of."""

    settings: Settings
    providers: Mapping[str, Provider]
    routes: Mapping[str, Route]
    keyring: Keyring
    buffer: Buffer
    studio: Studio
    events: Events
    flow: Flow
    ledger: Ledger
    metrics: Metrics


def build(
    config: Settings, file: Path, listeners: Sequence[Listener] = (), *, providers: Mapping[str, Provider] | None = None
) -> Parts:
    """All parts, unstarted; `providers` stand in for the configured ones of their names.

    Raises ConfigError naming file and key for whatever cannot be built.
    """
    given = providers or {}
    made = {name: given[name] if name in given else _provider(config, name, file) for name in config.providers}
    routes = _routes(config, file, made)
    room = Room(config.buffer.max_photos, config.buffer.max_bytes, config.buffer.max_pixels)
    buffer, studio = MemoryBuffer(room), Studio(config.threads, ahead_bytes=config.buffer.max_drawn_bytes)
    ledger = Ledger({name: provider.about.price.usd_per_image for name, provider in made.items()})
    metrics = Metrics()
    events = Events([ledger, metrics, log.write, *listeners])
    flow = Flow(routes, made, buffer, studio=studio, events=events, clock=time.monotonic, rng=random.Random())
    return Parts(config, made, routes, _keyring(config, file), buffer, studio, events, flow, ledger, metrics)


def _provider(config: Settings, name: str, file: Path) -> Provider:
    options = settings.options_of(config, name, file)
    try:
        return load(options.kind).create(name, options, file.resolve().parent)
    except Misconfigured as error:
        raise ConfigError(f"{file}: providers.{name}: {error}") from None


def _routes(config: Settings, file: Path, made: Mapping[str, Provider]) -> dict[str, Route]:
    routes: dict[str, Route] = {}
    for index, route in enumerate(config.routes):
        name = route.name or (route.task if route.task not in routes else f"{route.task}-{index}")
        if name in routes:
            raise ConfigError(f"{file}: routes[{index}].name: there is another route {name!r}")
        cascade = settings.cascade_of(route, index, file)
        for stage in cascade.stages:
            _check_stage(stage, route, made, f"{file}: routes[{index}]")
        if cascade.merge == "fuse" and route.task == "text":
            raise ConfigError(f"{file}: routes[{index}].merge: text is not fused; use discard")
        routes[name] = Route(name, route.task, route.provider, cascade, route.max_wait_ms / 1000,
                             route.deadline_ms / 1000, frozenset(route.tenants))  # fmt: skip
    return routes


def _check_stage(stage: Stage, route: settings.RouteSettings, made: Mapping[str, Provider], where: str) -> None:
    key = stage.provider or route.provider
    if key not in made:
        raise ConfigError(f"{where}.provider: there is no provider {key!r}; there are {', '.join(made)}")
    about = made[key].about
    if route.task not in about.tasks:
        tasks = ", ".join(sorted(about.tasks))
        raise ConfigError(f"{where}: nothing can match it: provider {key} does not serve {route.task}, but {tasks}")
    width, height = about.canvas_px[0] // stage.shape.cols, about.canvas_px[1] // stage.shape.rows
    if min(width, height) < LEAST_CELL_PX:
        raise ConfigError(f"{where}: cells of a {stage.shape} grid on {key}'s canvas would be {width} x {height} "
                          f"pixels, {LEAST_CELL_PX} is the least; take fewer cells or a larger canvas")  # fmt: skip


def _keyring(config: Settings, file: Path) -> Keyring:
    bearer: dict[bytes, Tenant] = {}
    pairs: dict[str, KeyPair] = {}
    for each in config.tenants:
        tenant = Tenant(each.name, "shared" if each.share else f"tenant:{each.name}")
        for key in each.keys:
            if isinstance(key, settings.NativeKey):
                bearer[digest(key.key.get_secret_value())] = tenant
            else:
                pairs[key.access_key] = KeyPair(key.secret_key.get_secret_value(), tenant)
    if pairs and find_spec("botocore") is None:
        raise ConfigError(f"{file}: tenants: keys of dialect rekognition need botocore; "
                          "pip install 'imgrid-gateway[rekognition]'")  # fmt: skip
    return Keyring(bearer, pairs, open=not config.tenants)


def create_app(parts: Parts) -> FastAPI:
    """The app around the parts; its lifespan runs the flow and closes what was opened."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        serving = asyncio.create_task(parts.flow.run())
        yield
        await parts.flow.drain()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        parts.studio.close()
        for provider in parts.providers.values():
            await provider.close()

    app = FastAPI(title="ImGrid gateway", version="1", lifespan=lifespan, redoc_url=None)
    limits = parts.settings.limits
    house = House(limits.max_photo_bytes, limits.max_photo_pixels)
    intake = Intake(limits.max_request_bytes, limits.max_reading_bytes, limits.body_timeout_ms / 1000)
    service = Service(tuple(parts.routes.values()), parts.flow, house, parts.events)
    for dialect in dialects.load_all():
        endpoint = Endpoint(dialect, service, parts.keyring, parts.events, intake)
        app.add_route(dialect.path, endpoint.__call__, methods=["POST"], include_in_schema=False)
    _add_operations(app, parts, Ready(parts.providers))
    _describe(app)
    return app


@dataclass
class Ready:
    """Whether a provider can be asked; remembers the answer for a few seconds, and why not."""

    providers: Mapping[str, Provider]
    looked_at: float = -READY_FOR_S
    problems: Mapping[str, str] | None = None

    async def look(self) -> Mapping[str, str]:
        """By provider that cannot be asked, why."""
        now = time.monotonic()
        if self.problems is None or now - self.looked_at >= READY_FOR_S:
            found = await asyncio.gather(*(self._problem(provider) for provider in self.providers.values()))
            self.problems = {name: text for name, text in zip(self.providers, found, strict=True) if text}
            self.looked_at = now
        return self.problems

    async def _problem(self, provider: Provider) -> str:
        try:
            await provider.ready()
        except ProviderError as error:
            return f"{type(error).__name__}: {error}"
        return ""


def _add_operations(app: FastAPI, parts: Parts, ready: Ready) -> None:
    """What operators ask: /healthz, /readyz, /metrics; and what clients may: /v1/usage."""

    @app.get("/healthz", tags=["operations"], summary="Is the process alive?")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["operations"], summary="Can any provider be asked?")
    async def readyz() -> JSONResponse:
        problems = await ready.look()
        able = len(problems) < len(parts.providers)
        return JSONResponse({"ready": able, "problems": dict(problems)}, 200 if able else 503)

    @app.get("/metrics", tags=["operations"], summary="Prometheus metrics", response_class=Response)
    async def metrics() -> Response:
        held, lanes = await parts.buffer.held(), await parts.buffer.waiting()
        parts.metrics.waiting.set(held.photos)
        parts.metrics.bytes.set(held.bytes)
        now = time.monotonic()
        parts.metrics.oldest.set(max((now - lane.oldest_at for lane in lanes.values()), default=0.0))
        return Response(generate_latest(parts.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    native = next(dialect for dialect in dialects.load_all() if dialect.name == "native")

    @app.get("/v1/usage", tags=["native"], summary="What was answered, paid and saved for you since the start")
    async def usage(request: Request) -> Response:
        try:
            tenant = native.authenticate(head(request), parts.keyring)
        except GatewayError as error:
            reply = native.render_error(error)
            return Response(reply.body, reply.status, reply.headers)
        return JSONResponse(_usage(parts.ledger.accounts.get(tenant.name, Account())))


def _usage(account: Account) -> dict[str, Any]:
    return {
        "photos": account.photos,
        "answered": account.answered,
        "billed_images": round(account.billed, 6),
        "saved": round(account.saved, 6),
        "paid_usd": round(account.paid_usd, 6),
        "alone_usd": round(account.alone_usd, 6),
    }


def _describe(app: FastAPI) -> None:
    """Adds the dialects to the OpenAPI document: their endpoints are plain ones, which FastAPI does not look into."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes)
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for dialect in dialects.load_all():
                operation = dict(dialect.openapi)
                schemas.update(operation.pop("x-components", {}))
                document["paths"][dialect.path] = {"post": {"operationId": dialect.name, **operation}}
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
