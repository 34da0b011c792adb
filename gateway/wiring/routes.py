"""Routes and providers from settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.config.route_checks import check_route
from gateway.config.routes import RouteSettings, cascade_of
from gateway.config.settings import Settings
from gateway.core.model import Fallback, Route
from gateway.observe.drift import DriftTerms
from providers.base import Provider
from providers.errors import Misconfigured
from providers.registry import load


@dataclass(frozen=True, slots=True)
class Routing:
    """The providers and routes of a configuration, without the gateway around them."""

    settings: Settings
    file: Path
    providers: Mapping[str, Provider]
    routes: Mapping[str, Route]


def make_routing(
    config: Settings, file: Path, substitutes: Mapping[str, Provider] | None = None
) -> Routing:
    """Providers and routes, unstarted; `substitutes` replace the configured providers of their
    names.

    Raises ConfigError naming file and key for whatever cannot be built.
    """
    substitutes = substitutes or {}
    providers = {}
    for name in config.providers:
        substitute = substitutes.get(name)
        providers[name] = substitute or make_provider(config, name, file)
    return Routing(config, file, providers, make_routes(config, file, providers))


def drift_terms(config: Settings, routes: Mapping[str, Route]) -> dict[str, DriftTerms]:
    """How each route is watched: what its settings promise goes before what its cascade does."""
    terms: dict[str, DriftTerms] = {}
    for route, settled in zip(routes.values(), config.routes, strict=True):
        promise, watch = route.cascade.promise, settled.watch
        promised = (
            watch.agreement if watch.agreement is not None or promise is None else promise.agreement
        )
        terms[route.name] = DriftTerms(watch.share, watch.delta, promised)
    return terms


def make_provider(config: Settings, name: str, file: Path) -> Provider:
    options = settings.options_of(config, name, file)
    try:
        return load(options.kind).create(name, options, file.resolve().parent)
    except Misconfigured as error:
        raise ConfigError(f"{file}: providers.{name}: {error}") from None


def make_routes(config: Settings, file: Path, made: Mapping[str, Provider]) -> dict[str, Route]:
    routes: dict[str, Route] = {}
    for index, route in enumerate(config.routes):
        name = route.name or (route.task if route.task not in routes else f"{route.task}-{index}")
        if name in routes:
            raise ConfigError(f"{file}: routes[{index}].name: there is another route {name!r}")
        cascade = cascade_of(route, index, file)
        check_route(config, index, cascade, made, file=file)
        routes[name] = Route(
            name,
            route.task,
            route.provider,
            cascade,
            route.max_wait_ms / 1000,
            route.deadline_ms / 1000,
            frozenset(route.tenants),
            route.companion,
            made[route.provider].about.kind,
            frozenset(route.operations),
            _fallback(route),
            route.labels,
        )
    return routes


def _fallback(route: RouteSettings) -> Fallback | None:
    other = route.fallback
    return Fallback(other.provider, frozenset(other.on)) if other is not None else None
