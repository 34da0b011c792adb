"""Providers and routes from settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.config.route_checks import check_route
from gateway.config.routes import FallbackSettings, cascade_of, looks_of
from gateway.config.settings import Settings
from gateway.core.file_watch import FileWatch
from gateway.core.model import CacheTerms, Fallback, Route
from gateway.core.origin import Origin
from gateway.observe.drift import DriftTerms
from gateway.upstream.replaceable import ReplaceableProvider
from gateway.wiring.memory_account import MemoryAccount
from gateway.wiring.provenance import ServedDigests, model_files, provenance
from providers.base import Provider
from providers.errors import Misconfigured
from providers.registry import load
from thresholds.cascade import Cascade
from thresholds.made_with import Mismatch, made_with_of


@dataclass(frozen=True, slots=True)
class Routing:
    """The providers and routes of a configuration, without the gateway around them. `watches` are
    those of the files of providers that take new models, by provider."""

    settings: Settings
    file: Path
    providers: Mapping[str, Provider]
    routes: Mapping[str, Route]
    account: MemoryAccount
    digests: ServedDigests
    watches: Mapping[str, FileWatch]


class ModelTerms(NamedTuple):
    """What of a route depends on its providers' models."""

    mismatches: list[Mismatch]
    cache: CacheTerms | None


def make_routing(
    config: Settings, file: Path, substitutes: Mapping[str, Provider] | None = None
) -> Routing:
    """The providers and routes, by name; `substitutes` replace the configured providers of the same
    names.

    Raises ConfigError naming file and key for whatever cannot be built.
    """
    providers = dict(substitutes or {})
    account = MemoryAccount(file, config.engine.memory_mb)
    watches: dict[str, FileWatch] = {}
    for name in config.providers:
        if name in providers:
            continue
        options = settings.options_of(config, name, file)
        reload_s = getattr(options, "reload_s", 0.0)
        if reload_s:  # before it is loaded: no change is missed
            watches[name] = FileWatch(list(model_files(options, file).values()), reload_s)
        provider = make_provider(config, name, file)
        account.charge(name, provider)
        providers[name] = ReplaceableProvider(provider) if reload_s else provider
    providers = {name: providers[name] for name in config.providers}
    digests = ServedDigests(config, file)
    routes = make_routes(config, file, providers, digests)
    return Routing(config, file, providers, routes, account, digests, watches)


def make_provider(config: Settings, name: str, file: Path) -> Provider:
    """One configured provider. Raises ConfigError."""
    options = settings.options_of(config, name, file)
    try:
        return load(options.kind).create(name, options, file.resolve().parent)
    except Misconfigured as error:
        raise ConfigError(f"{file}: providers.{name}: {error}") from None


def make_routes(
    config: Settings, file: Path, providers: Mapping[str, Provider], digests: ServedDigests
) -> dict[str, Route]:
    """The configured routes by name, in their order; `digests` are those of the providers' files.
    Raises ConfigError where one does not fit its providers."""
    routes: dict[str, Route] = {}
    for index, route in enumerate(config.routes):
        name = route.name or (route.task if route.task not in routes else f"{route.task}-{index}")
        if name in routes:
            raise ConfigError(f"{file}: routes[{index}].name: there is another route {name!r}")
        cascade = cascade_of(route, index, file)
        check_route(config, index, cascade, providers, file=file)
        terms = model_terms(config, index, cascade, file=file, digests=digests)
        routes[name] = Route(
            name=name,
            task=route.task,
            provider=route.provider,
            cascade=cascade,
            max_wait_s=route.max_wait_s,
            deadline_s=route.deadline_ms / 1000,
            tenants=frozenset(route.tenants),
            companion=route.companion,
            kind=providers[route.provider].about.kind,
            operations=frozenset(route.operations),
            fallback=_fallback(route.fallback),
            labels=route.labels,
            mismatches=terms.mismatches,
            cache=terms.cache,
            looks=looks_of(route),
        )
    return routes


def model_terms(
    config: Settings, index: int, cascade: Cascade, *, file: Path, digests: ServedDigests
) -> ModelTerms:
    """The terms of one route with that cascade, while the providers' models have these digests.
    Raises ConfigError where the cascade was made for another task."""
    return ModelTerms(
        _mismatches(config, index, cascade, file=file, digests=digests),
        _cache(config, index, cascade, file=file, digests=digests),
    )


def _mismatches(
    config: Settings, index: int, cascade: Cascade, *, file: Path, digests: ServedDigests
) -> list[Mismatch]:
    """Where the route's provider is another than the one that its cascade was made with; none for
    a cascade that does not say. Raises ConfigError where it was made for another task."""
    route, made_with = config.routes[index], cascade.made_with
    if made_with is None:
        return []
    if made_with.task != route.task:
        raise ConfigError(
            f"{file}: routes[{index}].cascade: {route.cascade} was made for {made_with.task}; its "
            f"scores mean something else than those of {route.task}; profile this route, and use "
            "the cascade that comes of it"
        )
    mismatches: list[Mismatch] = []
    for name, note in ((route.provider, made_with), *cascade.made_with_others.items()):
        origin = provenance(config, file, name, route.task, digests=digests.of(name))
        for mismatch in note.mismatches(made_with_of(origin)):
            of_stage = "" if name == route.provider else f"{name}'s "
            mismatches.append(mismatch._replace(what=f"{of_stage}{mismatch.what}"))
    return mismatches


def _cache(
    config: Settings, index: int, cascade: Cascade, *, file: Path, digests: ServedDigests
) -> CacheTerms | None:
    """How the route caches answers. They are those of this cascade, and of these providers with
    these models: after a change of any of them the route finds none of its earlier ones."""
    route = config.routes[index]
    if route.cache is None:
        return None
    providers = {route.provider, route.companion, *(stage.provider for stage in cascade.stages)}
    origins = {
        name: provenance(config, file, name, route.task, digests=digests.of(name))
        for name in sorted(filter(None, providers))
    }
    origin = json.dumps([cascade.model_dump(mode="json"), origins], sort_keys=True)
    return CacheTerms(
        ttl_s=route.cache.ttl_ms / 1000,
        origin=Origin(hashlib.sha256(origin.encode()).hexdigest()),
        near_distance=route.cache.near_distance,
    )


def _fallback(fallback: FallbackSettings | None) -> Fallback | None:
    return Fallback(fallback.provider, frozenset(fallback.on)) if fallback is not None else None


def drift_terms(routing: Routing) -> dict[str, DriftTerms]:
    """How each route is watched, by its name."""
    terms: dict[str, DriftTerms] = {}
    for route, route_settings in zip(routing.routes.values(), routing.settings.routes, strict=True):
        watch = route_settings.watch
        terms[route.name] = DriftTerms(watch.share, watch.delta, watch.agreement)
    return terms
