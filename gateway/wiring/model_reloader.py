"""New models for local providers whose files change while photos are answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import fields
from typing import NamedTuple

from gateway.config.errors import ConfigError
from gateway.core.clock import Clock
from gateway.core.file_watch import Versions, versions_of
from gateway.core.model import Route
from gateway.observe.log import write_mismatches
from gateway.observe.metrics import Metrics
from gateway.upstream.replaceable import ReplaceableProvider
from gateway.wiring.provenance import ServedDigests
from gateway.wiring.routes import ModelTerms, Routing, make_provider, model_terms
from providers.base import About, Provider

log = logging.getLogger("imgrid")


class _Candidate(NamedTuple):
    """A provider with the new model, and what the routes depend on with it, by route."""

    provider: Provider
    digests: ServedDigests
    terms: Mapping[str, ModelTerms]


class ModelReloader:
    """Loads what changed beside the model in service, one at a time, and puts it into service once
    it has answered.

    Holds the digests of the models in service, and by provider why its newest files are not in
    service (`problems`).
    """

    def __init__(self, routing: Routing, metrics: Metrics, clock: Clock) -> None:
        self.problems: dict[str, str] = {}
        self._routing = routing
        self._digests = routing.digests
        self._metrics = metrics
        self._clock = clock
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Looks at the files of every provider that takes new models, until it is cancelled."""
        await asyncio.gather(*map(self._watch, self._routing.watches))

    async def _watch(self, name: str) -> None:
        while True:
            await asyncio.sleep(self._routing.watches[name].pause_s)
            try:
                await self.reload(name)
            except Exception:  # the next change has its chance
                log.exception("provider %s: its files cannot be watched", name)

    async def reload(self, name: str) -> bool:
        """Whether the provider has another model from now on, after a look at its files. It returns
        once the earlier one has answered its pictures.

        Files that cannot be loaded are logged, and not tried again until they change.
        """
        watch = self._routing.watches[name]
        async with self._turn:
            versions = await asyncio.to_thread(watch.look)
            if versions is None:
                return False
            try:
                candidate = await asyncio.to_thread(self._load, name, versions)
            except Exception as error:  # a runtime raises types of its own about a broken file
                self._refuse(name, error)
                return False
            finally:
                watch.take(versions)
            earlier = self._serve(name, candidate)
        await earlier.close()
        return True

    def _load(self, name: str, versions: Versions) -> _Candidate:
        """The candidate of these files, loaded, tried and charged. Raises ConfigError."""
        routing = self._routing
        in_service = routing.providers[name].about
        provider = make_provider(routing.settings, name, routing.file)
        _check_same(in_service, provider.about)
        digests = self._digests.with_new(name)
        terms = {
            route.name: model_terms(
                routing.settings, index, route.cascade, file=routing.file, digests=digests
            )
            for index, route in enumerate(routing.routes.values())
        }
        if versions_of(routing.watches[name].files) != versions:
            raise ConfigError("the files changed while they were loaded; they are loaded again")
        routing.account.charge(name, provider)
        return _Candidate(provider, digests, terms)

    def _serve(self, name: str, candidate: _Candidate) -> Provider:
        """Puts the candidate into service. Returns the earlier provider."""
        served = self._routing.providers[name]
        assert isinstance(served, ReplaceableProvider)
        earlier = served.replace(candidate.provider)
        self._digests = candidate.digests
        self.problems.pop(name, None)
        log.info("provider %s: its new model is in service", name)
        self._update_routes(candidate.terms)
        return earlier

    def _update_routes(self, fresh: Mapping[str, ModelTerms]) -> None:
        """Has the routes no longer give answers of the earlier model, and say whether their
        cascades were made with the new one."""
        now = self._clock()
        changed: list[Route] = []
        for name, route in self._routing.routes.items():
            if route.cache is not None and (cache := fresh[name].cache) is not None:
                route.cache.origin.change(cache.origin.digest, now)
            if route.mismatches != fresh[name].mismatches:
                route.mismatches[:] = fresh[name].mismatches
                changed.append(route)
        write_mismatches(changed)
        self._metrics.set_mismatches(self._routing.routes.values())

    def _refuse(self, name: str, error: Exception) -> None:
        self.problems[name] = f"its new model is not in service: {error}"
        log.warning(
            "provider %s: its files have changed and cannot be used; the model in service stays: "
            "%s",
            name,
            error,
        )


def _check_same(in_service: About, new: About) -> None:
    """Raises ConfigError where a new model answers with other labels, or for other tasks, than
    clients and cascades expect."""
    names = [each.name for each in fields(About)]
    changed = [name for name in names if getattr(in_service, name) != getattr(new, name)]
    if changed:
        details = ", ".join(
            f"{name} {getattr(new, name)}, not {getattr(in_service, name)}" for name in changed
        )
        raise ConfigError(
            f"providers.{new.name}: the new model differs in what clients and cascades rely on "
            f"({details}); restart to take it all the same"
        )
