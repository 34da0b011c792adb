"""The questions that a profile asks other providers than the route's own: a companion, or stages of
a cascade of models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from gateway.config.errors import ConfigError
from gateway.core.model import Route
from gateway.quality.collect.answer_store import AnswerStore
from gateway.quality.collect.purchase import Purchase
from gateway.quality.collect.questions import CanvasQuestion
from gateway.wiring.provenance import provenance
from gateway.wiring.routes import Routing

Role = Literal["companion", "stage"]
"""What the other provider is for, as the command's option names it."""


def purchase_alone(
    routing: Routing,
    route: Route,
    name: str,
    alone: Sequence[CanvasQuestion],
    *,
    role: Role,
    folder: Path,
) -> Purchase:
    """Every photo alone, asked of the provider; the answers are in a folder below.

    Raises ConfigError where there is no such provider, or it does not serve the task.
    """
    if name not in routing.providers:
        raise ConfigError(
            f"--{role}: there is no provider {name!r}; there are {', '.join(routing.providers)}"
        )
    provider = routing.providers[name]
    if route.task not in provider.about.tasks:
        raise ConfigError(f"--{role}: provider {name} does not serve {route.task}")
    origin = provenance(routing.settings, routing.file, name, route.task)
    return Purchase(
        provider,
        alone,
        AnswerStore(folder / f"{role}-{name}", origin),
        purpose=f" as {role}",
        task=route.task,
    )
