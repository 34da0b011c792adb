"""What plans routes in service, from settings."""

from __future__ import annotations

import hashlib
import json
import random
from importlib.util import find_spec

from gateway.config.errors import ConfigError
from gateway.core.clock import Clock
from gateway.core.events import Events
from gateway.core.outage_log import OutageLog
from gateway.core.own_questions import Ask
from gateway.grid.reference_view import SCALE
from gateway.learning.learner import Learner
from gateway.learning.lessons import LearningTerms, Lessons
from gateway.learning.observer import Observer
from gateway.learning.planning_process import plan_in_child
from gateway.learning.plans import LearningGoal
from gateway.store.learning import LearningStore
from gateway.wiring.provenance import provenance
from gateway.wiring.routes import Routing
from providers.extras import install_hint


def make_learner(
    routing: Routing, store: LearningStore, ask: Ask, *, events: Events, clock: Clock
) -> Learner:
    """The learner, not yet running and not yet listening to events. Raises ConfigError where a
    route plans itself and what that needs is not installed."""
    terms = learning_terms(routing)
    if terms and find_spec("sklearn") is None:
        raise ConfigError(
            f"{routing.file}: cascade: auto: plans need scikit-learn; {install_hint('plan')}"
        )
    prices = {
        name: routing.providers[route.provider].about.price_of(route.task)
        for name, route in routing.routes.items()
    }
    return Learner(
        routing.routes,
        Lessons(terms, routing.routes),
        store,
        Observer(ask),
        plan_in_child,
        prices=prices,
        events=events,
        outages=OutageLog(clock),
        rng=random.Random(),
    )


def learning_terms(routing: Routing) -> dict[str, LearningTerms]:
    """How each route learns that plans itself, by its name."""
    terms: dict[str, LearningTerms] = {}
    for route, settings in zip(routing.routes.values(), routing.settings.routes, strict=True):
        if settings.is_auto:
            learn = settings.learn
            terms[route.name] = LearningTerms(
                goal=LearningGoal(settings.max_drop, settings.save, learn.delta),
                images=learn.images,
                share=learn.share,
                shapes=tuple(look.shape for look in route.looks if not look.provider),
                origin=_origin(routing, route.name),
            )
    return terms


def _origin(routing: Routing, name: str) -> str:
    """A digest of what the observations of a route depend on beside the photos: what was learned
    with another provider, model or canvas is not used."""
    route = routing.routes[name]
    names = [provider for provider in (route.provider, route.companion) if provider]
    origins = [
        provenance(routing.settings, routing.file, each, route.task, border=route.cascade.border)
        for each in names
    ]
    looks = [str(look.shape) for look in route.looks]
    text = json.dumps([origins, looks, SCALE], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
