"""Composition root: settings become parts, parts become an app. The only file that builds things."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from fastapi import FastAPI
from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.routing import Route as HttpRoute

from gateway import dialects, settings
from gateway.admission import House
from gateway.buckets import open_gs, open_s3
from gateway.budget import Budget
from gateway.buffer.base import Buffer
from gateway.canvases import Rules
from gateway.checks import check_route
from gateway.clock import Clock, steady
from gateway.dialects.native import DIALECT as NATIVE
from gateway.doors import open_rpc, tls
from gateway.events import Events, Listener
from gateway.fetching import Fetcher
from gateway.flow import FETCHES, Flow
from gateway.forwarding import Forwarding
from gateway.grid.studio import Studio
from gateway.guard import Guard
from gateway.hooks import log
from gateway.hooks.metrics import Metrics
from gateway.http import Endpoint, Intake
from gateway.jobs import told
from gateway.jobs.api import Api
from gateway.jobs.base import Hook
from gateway.jobs.service import Jobs
from gateway.keys import KeyPair, Keyring, kept
from gateway.keystore import StoreError
from gateway.livekeys import NO_SIGNER, LiveKeys
from gateway.model import Fallback, Route, Tenant
from gateway.names import translate
from gateway.names.translate import Names
from gateway.openapi import describe
from gateway.operations import Operations, Ready
from gateway.places import WEB, folder_of
from gateway.replies.desk import Desk
from gateway.routes import Routes
from gateway.rpc import Rpc
from gateway.server import Tls
from gateway.service import Service
from gateway.settings import ConfigError, Settings
from gateway.sizes import Sizes
from gateway.sources import Reader, Sources, Web
from gateway.stores import Stores, open_stores
from gateway.unserved import unserved
from gateway.watch import Terms, Watcher
from gateway.webhooks.deliverer import Deliverer, Pace
from gateway.webhooks.signing import parse_secret
from providers import load
from providers.base import Misconfigured, Provider


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a running gateway consists of."""

    settings: Settings
    providers: Mapping[str, Provider]
    routes: Mapping[str, Route]
    keyring: Keyring
    stores: Stores
    studio: Studio
    events: Events
    flow: Flow
    watcher: Watcher
    metrics: Metrics
    service: Service
    jobs: Jobs
    guard: Guard
    sources: Sources
    deliverer: Deliverer
    clock: Clock
    desk: Desk
    forwarding: Forwarding
    rpc: Rpc | None
    sizes: Sizes
    tls: Tls | None = None

    @property
    def buffer(self) -> Buffer:
        return self.stores.buffer


def build(
    config: Settings, file: Path, listeners: Sequence[Listener] = (), *, providers: Mapping[str, Provider] | None = None
) -> Parts:
    """All parts, unstarted; `providers` stand in for the configured ones of their names.

    Raises ConfigError naming file and key for whatever cannot be built.
    """
    given = providers or {}
    made = {name: given[name] if name in given else _provider(config, name, file) for name in config.providers}
    routes = _routes(config, file, made)
    clock, metrics = steady(), Metrics()
    stores = open_stores(config, file, clock)
    # what a replica draws ahead is mostly composed by another
    studio = Studio(config.threads, ahead_bytes=0 if config.redis else config.buffer.max_drawn_bytes)
    events = Events([metrics, log.write, *listeners])
    house = House(config.limits.max_photo_bytes, config.limits.max_photo_pixels)
    urls = config.fetch
    guard = Guard(urls.allow, timeout_s=urls.timeout_ms / 1000, max_redirects=urls.max_redirects)
    held_bytes = config.jobs.max_bytes if config.redis else config.buffer.max_bytes
    rules = Rules(
        config.billed_unknown,
        config.jobs.max_wait_ms / 1000,
        config.jobs.deadline_ms / 1000,
        fetch_below_bytes=max(held_bytes - FETCHES * config.limits.max_photo_bytes, 1),
    )
    fetch = Fetcher(guard, NATIVE.limits, house)
    sizes = Sizes(routes, events)
    events.listeners.append(sizes)
    sizes.tell_all()
    flow = Flow(routes, made, stores.buffer, studio=studio, events=events, clock=clock, rng=random.Random(),
                rules=rules, fetch=fetch, first=sizes.first)  # fmt: skip
    watcher = Watcher(routes, _terms(config, routes), flow.watch, events, clock=clock, rng=random.Random())
    events.listeners.append(watcher)
    names, sources = _names(config, file), _sources(config, file, guard)
    spoken = {name: provider.about.vocabulary for name, provider in made.items()}
    service = Service(tuple(routes.values()), flow, house, events, watcher.level, names, spoken, sources.fetch,
                      Budget(config.limits.max_reading_bytes, "fetched"))  # fmt: skip
    signing = _signing(config, file)
    hooks = {each.name: Hook(each.webhook.url, each.webhook.each_photo) for each in config.tenants if each.webhook.url}
    jobs = Jobs(stores.jobs, service.way, service.enter, guard.check, house, events, clock, hooks, signing)
    deliverer = Deliverer(stores.deliveries, guard.post, partial(told.body, stores.jobs), signing,
                          observe=metrics.attempted,
                          pace=Pace(attempt_s=urls.timeout_ms / 1000, concurrency=config.webhooks.concurrency),
                          clock=clock)  # fmt: skip
    keyring, desk = _keyring(config, file, clock), Desk(stores.replies, events)
    prices = {name: provider.about.price for name, provider in made.items()}
    forwarding = Forwarding(service.routes, flow.forward, prices, flow.charge)
    grpc = open_rpc(
        config, file, lambda dialect, intake: Endpoint(dialect, service, keyring, events, intake, desk, forwarding)
    )
    return Parts(config, made, routes, keyring, stores, studio, events, flow, watcher, metrics, service, jobs, guard,
                 sources, deliverer, clock, desk, forwarding, grpc, sizes, tls(config, file))  # fmt: skip


def _names(config: Settings, file: Path) -> Names:
    try:
        return translate.load([file.parent / each for each in config.names])
    except ValueError as error:
        raise ConfigError(f"{file}: names: {error}") from None


def _sources(config: Settings, file: Path, guard: Guard) -> Sources:
    """A store's library is needed, and looked for, where a folder of that store is open to somebody."""
    shared = [folder_of(each) for each in config.fetch.sources]
    own = {tenant.name: [folder_of(each) for each in tenant.sources] for tenant in config.tenants}
    timeout_s = config.fetch.timeout_ms / 1000
    openers: dict[str, Callable[[], Reader]] = {
        "s3": lambda: open_s3(config.fetch.s3, timeout_s),
        "gs": lambda: open_gs(config.fetch.gs, timeout_s),
    }
    readers: dict[str, Reader] = dict.fromkeys(WEB, Web(guard))
    for scheme in sorted({folder.scheme for folder in chain(shared, *own.values())}):
        try:
            readers[scheme] = openers[scheme]()
        except Misconfigured as error:
            raise ConfigError(f"{file}: fetch.{scheme}: {error}") from None
    return Sources(readers, shared, own, timeout_s=timeout_s)


def _terms(config: Settings, routes: Mapping[str, Route]) -> dict[str, Terms]:
    """How each route is watched: what its settings promise goes before what its cascade does."""
    terms: dict[str, Terms] = {}
    for route, settled in zip(routes.values(), config.routes, strict=True):
        promise, watch = route.cascade.promise, settled.watch
        promised = watch.agreement if watch.agreement is not None or promise is None else promise.agreement
        terms[route.name] = Terms(watch.share, watch.delta, promised)
    return terms


def _signing(config: Settings, file: Path) -> Callable[[str], Sequence[str]]:
    """A tenant's webhook secrets, by its name: its own, or everybody's."""
    usual = _secrets(config.webhooks.secrets, f"{file}: webhooks.secrets")
    own = {
        tenant.name: _secrets(tenant.webhook.secrets, f"{file}: tenants[{index}].webhook.secrets")
        for index, tenant in enumerate(config.tenants)
    }
    for index, tenant in enumerate(config.tenants):
        if tenant.webhook.url and not (own[tenant.name] or usual):
            raise ConfigError(f"{file}: tenants[{index}].webhook: there are no secrets to sign with; "
                              "make one with: imgrid webhooks secret")  # fmt: skip
    return lambda name: own.get(name) or usual


def _secrets(given: Sequence[SecretStr], where: str) -> list[str]:
    known = [secret.get_secret_value() for secret in given]
    for index, secret in enumerate(known):
        try:
            parse_secret(secret)
        except ValueError as error:
            raise ConfigError(f"{where}[{index}]: {error}") from None
    return known


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
        check_route(config, index, cascade, made, file=file)
        routes[name] = Route(name, route.task, route.provider, cascade, route.max_wait_ms / 1000,
                             route.deadline_ms / 1000, frozenset(route.tenants), route.companion,
                             made[route.provider].about.kind, frozenset(route.operations),
                             _fallback(route), route.labels)  # fmt: skip
    return routes


def _fallback(route: settings.RouteSettings) -> Fallback | None:
    other = route.fallback
    return Fallback(other.provider, frozenset(other.on)) if other is not None else None


def _keyring(config: Settings, file: Path, clock: Clock) -> Keyring:
    bearer: dict[bytes, Tenant] = {}
    pairs: dict[str, KeyPair] = {}
    tenants = {
        each.name: Tenant(each.name, "shared" if each.share else f"tenant:{each.name}") for each in config.tenants
    }
    for each in config.tenants:
        for key in each.keys:
            if isinstance(key, settings.RekognitionKey):
                pairs[key.access_key] = KeyPair(key.secret_key.get_secret_value(), tenants[each.name], key.regions)
            else:
                bearer[kept(key.dialect, key.digest)] = tenants[each.name]
    signing = find_spec("botocore") is not None
    if pairs and not signing:
        raise ConfigError(f"{file}: tenants: {NO_SIGNER}")
    live = LiveKeys(store, tenants, clock, signing) if (store := settings.key_store_of(config, file)) else None
    try:
        if live is not None:
            live.start()
    except StoreError as error:
        raise ConfigError(f"{file}: key_store: {error}") from None
    return Keyring(bearer, pairs, open=not config.tenants, store=live)


def create_app(parts: Parts) -> FastAPI:
    """The app around the parts; its lifespan runs them and closes what was opened."""
    app = FastAPI(title="ImGrid gateway", version="1", lifespan=lambda _: running(parts), redoc_url=None)
    limits, timeout_s = parts.settings.limits, parts.settings.limits.body_timeout_ms / 1000
    intake = Intake(limits.max_request_bytes, limits.max_reading_bytes, timeout_s)
    for dialect in dialects.load_all():
        endpoint = Endpoint(dialect, parts.service, parts.keyring, parts.events, intake, parts.desk, parts.forwarding)
        for place in dialect.paths:
            method, path = place.split(" ") if " " in place else ("POST", place)
            door = HttpRoute(path, endpoint.__call__, methods=[method], include_in_schema=False)
            door.methods = {method}  # of itself it would take HEAD with every GET
            app.router.routes.append(door)
    handing_in = Intake(parts.settings.jobs.max_request_bytes, limits.max_reading_bytes, timeout_s)
    Api(parts.jobs, parts.keyring, handing_in, lambda: _is_stopping(app)).add_to(app)
    ready = Ready(parts.providers, parts.buffer, parts.flow.resting)
    Operations(ready, parts.buffer, parts.metrics, parts.keyring, parts.clock).add_to(app)
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
    """While it lasts, photos are answered, jobs done and webhooks delivered; then what was taken is finished."""
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
        stack.push_async_callback(parts.flow.drain, max(route.deadline_s for route in parts.routes.values()))
        watching = asyncio.create_task(parts.watcher.run())
        stack.push_async_callback(_cancelled, watching)  # what is watched keeps no process from stopping
        await stack.enter_async_context(parts.stores.jobs.running(parts.buffer))
        if parts.rpc is not None:
            await stack.enter_async_context(parts.rpc.serving(grace_s(parts)))
        yield


def grace_s(parts: Parts) -> float:
    """How long calls under way may go on when the gateway is told to stop: until none can have an answer."""
    return max(route.deadline_s for route in parts.routes.values()) + parts.settings.limits.body_timeout_ms / 1000


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
