"""The keys of `routes[]`."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from pydantic import Field, ValidationError

from gateway.config.errors import ConfigError
from gateway.config.sections import Section as _Section
from gateway.core.fault_names import FaultName
from gateway.core.model import Labels
from providers.detection import Task
from thresholds.cascade import Border, Cascade, Crossing, Merge, Stage, load
from thresholds.shape import ALONE


class WatchSettings(_Section):
    """How a route is held to its promise: by a share of its photos that is asked about alone as
    well."""

    share: float = Field(0.01, ge=0, le=1, description="of photos; 0: it is not watched")
    delta: float = Field(
        0.05, gt=0, lt=1, description="chance of being wrong: of intervals, and behind alarms"
    )
    agreement: float | None = Field(
        None,
        ge=0,
        le=1,
        description="least mean agreement with photos alone; overrides the cascade's promise",
    )


class FallbackSettings(_Section):
    """Who is asked where a route's provider cannot answer."""

    provider: str
    on: list[FaultName] = Field(
        default_factory=lambda: list(get_args(FaultName)),
        min_length=1,
        description="after which faults; while the provider's breaker is open in any case",
    )


class RouteSettings(_Section):
    """How one task is served: by whom, in which shapes, and how long a photo may wait for
    company."""

    task: Task
    provider: str
    name: str = ""
    tenants: list[str] = Field(
        default_factory=list, description="for these tenants only; none named: for all"
    )
    cascade: Path | None = Field(None, description="a cascade file, as `imgrid profile` writes it")
    stages: tuple[Stage, ...] | None = Field(
        None, description="the cascade, written here instead of in a file"
    )
    merge: Merge | None = Field(
        None, description="overrides the cascade's: discard or fuse earlier answers"
    )
    crossing: Crossing | None = Field(
        None, description="overrides the cascade's: midpoint or discard"
    )
    border: Border | None = Field(
        None, description="overrides the cascade's: none, black or blurred"
    )
    companion: str = Field(
        "", description="a free local provider that sees every photo whole, at stage 0"
    )
    labels: Labels = Field(
        "alone",
        description="of task labels: alone; boxes: those of the photo's boxes, by the route for objects; or listed: in "
        "groups where the client asks about a list of labels",
    )
    operations: list[str] = Field(
        default_factory=list,
        description="of task extras: calls that are handed on to the vendor whole, by name",
    )
    fallback: FallbackSettings | None = Field(
        None, description="who is asked where the provider cannot answer"
    )
    watch: WatchSettings = WatchSettings()
    max_wait_ms: float = Field(
        150, ge=0, description="how long a photo waits for company at each stage"
    )
    deadline_ms: float = Field(30_000, gt=0, description="how long a client waits at most")


def cascade_of(route: RouteSettings, index: int, file: Path) -> Cascade:
    """A route's cascade, from its file or written in place. Raises ConfigError naming file and
    key."""
    where = f"{file}: routes[{index}]"
    if route.task == Task.EXTRAS:
        if route.cascade is not None or route.stages is not None:
            raise ConfigError(
                f"{where}: extras are always asked about one photo alone; leave cascade and stages out"
            )
        return Cascade(stages=(Stage(shape=ALONE),))
    if route.operations:
        raise ConfigError(
            f"{where}.operations: calls are handed on by a route of task extras; write them there"
        )
    if route.labels != "alone" and route.task != Task.LABELS:
        raise ConfigError(f"{where}.labels: is for a route of task labels, not of {route.task}")
    if route.labels == "boxes" and route.cascade is None and route.stages is None:
        return Cascade(stages=(Stage(shape=ALONE),))  # asked for exact answers
    if (route.cascade is None) == (route.stages is None):
        raise ConfigError(
            f"{where}: write either cascade (a file) or stages, such as stages: [{{shape: 2x2}}]"
        )
    changes = {
        key: value
        for key in ("merge", "crossing", "border")
        if (value := getattr(route, key)) is not None
    }
    try:
        base = (
            load(file.parent / route.cascade)
            if route.cascade
            else Cascade(stages=route.stages or ())
        )
        return base.model_copy(update=changes)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{where}.stages: {first}") from None
    except ValueError as error:
        raise ConfigError(f"{where}.cascade: {error}") from None
