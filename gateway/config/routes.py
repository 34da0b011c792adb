"""The keys of `routes[]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from math import inf
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, ValidationError, model_validator

from gateway.config.errors import ConfigError
from gateway.config.sections import Section
from gateway.core.fault_names import FaultName, ProviderFault
from gateway.core.model import Labels
from providers.detection import BOXED, Task
from thresholds.cascade import Border, Cascade, Crossing, Merge, Stage, load
from thresholds.shape import ALONE, Shape


class WatchSettings(Section):
    """How a route is watched: a share of its photos is also asked about alone, for comparison."""

    share: float = Field(
        0.003,
        ge=0,
        le=1,
        description="of the photos, ten times as many while they change; 0 for no watching",
    )
    delta: float = Field(
        0.05, gt=0, lt=1, description="the chance that an interval or an alarm is wrong"
    )
    agreement: float | None = Field(
        None,
        ge=0,
        le=1,
        description="least mean agreement with photos alone; overrides the cascade's promise",
    )


class CacheSettings(Section):
    """How a route answers photos again that it answered before."""

    ttl_ms: float = Field(3_600_000, gt=0, description="how long an answer is kept")
    near_distance: int | None = Field(
        None,
        ge=0,
        le=16,
        description="bits of 64 in which the perceptual hashes of photos may differ that get the "
        "same answer; without it only equal bytes do",
    )


class LearnSettings(Section):
    """What a route with `cascade: auto` may spend on learning, in images, and on what."""

    images: float = Field(
        500, ge=0, description="before any plan: on looks at photos in grids and for reference"
    )
    share: float = Field(
        0.02,
        ge=0,
        le=1,
        description="after that, as a share of the images that clients' photos cost",
    )
    shapes: list[Shape] = Field(
        default_factory=lambda: [Shape(2, 1), Shape(2, 2), Shape(3, 2), Shape(3, 3)],
        min_length=1,
        description="the grids to learn about",
    )
    delta: float = Field(
        0.1, gt=0, lt=1, description="the chance that any plan loses more than `max_drop`"
    )


class FallbackSettings(Section):
    """The provider that answers where a route's own cannot."""

    provider: str
    on: list[FaultName] = Field(
        default_factory=lambda: list(get_args(ProviderFault)),
        min_length=1,
        description="after which faults, or for which overload: photos that the provider could not "
        "answer in time; an open breaker of the provider always counts",
    )


class RouteSettings(Section):
    """How one task is served: the provider, the cascade, and how long a photo may wait."""

    task: Task
    provider: str
    name: str = ""
    tenants: list[str] = Field(
        default_factory=list, description="the tenants it is for; all if empty"
    )
    cascade: Literal["auto"] | Path | None = Field(
        None,
        description="a cascade file, as `imgrid plan` writes it; or auto: the route learns in "
        "service which cascade keeps `max_drop`, or is best at `save`",
    )
    max_drop: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="for cascade: auto: how much AP50, against a second look alone, may fall",
    )
    save: float | None = Field(
        None, gt=0, lt=1, description="for cascade: auto: the share of images to save"
    )
    learn: LearnSettings = LearnSettings()
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
        "", description="a free local provider that gets every photo alone, at stage 0"
    )
    labels: Labels = Field(
        "alone",
        description="for task labels: alone; boxes: the labels of the photo's boxes, by the route "
        "for objects; or listed: in groups where the client asks about a list of labels",
    )
    operations: list[str] = Field(
        default_factory=list,
        description="for task extras: the names of calls that are passed to the vendor whole",
    )
    fallback: FallbackSettings | None = Field(
        None, description="the provider that answers where the route's own cannot"
    )
    cache: CacheSettings | None = Field(
        None, description="photos that were answered before are not asked about again"
    )
    watch: WatchSettings = WatchSettings()
    wait: Literal["fixed", "auto"] = Field(
        "fixed",
        description="fixed: for company at most max_wait_ms; auto: as long as the deadline allows",
    )
    max_wait_ms: float = Field(
        150, ge=0, description="how long a photo waits for company at each stage"
    )
    deadline_ms: float = Field(30_000, gt=0, description="how long a client waits at most")

    @property
    def max_wait_s(self) -> float:
        """The longest wait for company at each stage, in seconds; infinity up to the deadline."""
        return inf if self.wait == "auto" else self.max_wait_ms / 1000

    @property
    def is_auto(self) -> bool:
        """Whether the route plans itself."""
        return self.cascade == "auto"

    @model_validator(mode="after")
    def _check_wait(self) -> RouteSettings:
        if self.wait == "auto" and "max_wait_ms" in self.model_fields_set:
            raise ValueError("wait: auto goes by deadline_ms; leave max_wait_ms out")
        return self


def looks_of(route: RouteSettings) -> tuple[Stage, ...]:
    """What a route that plans itself asks about photos that it learns from, beside alone: every
    grid, and the companion. Nothing for any other route."""
    if not route.is_auto:
        return ()
    grids = [Stage(shape=shape) for shape in dict.fromkeys(route.learn.shapes) if shape != ALONE]
    companion = [Stage(shape=ALONE, provider=route.companion)] if route.companion else []
    return (*grids, *companion)


def cascade_of(route: RouteSettings, index: int, file: Path) -> Cascade:
    """The cascade of a route, from its file or from its stages. Raises ConfigError naming file and
    key."""
    where = f"{file}: routes[{index}]"
    _check_task_keys(route, where)
    _check_learning(route, where)
    if route.is_auto:
        return Cascade(stages=(Stage(shape=ALONE),), border=route.border or "none")
    has_cascade = route.cascade is not None or route.stages is not None
    if route.task == Task.EXTRAS or (route.labels == "boxes" and not has_cascade):
        return Cascade(stages=(Stage(shape=ALONE),))
    if (route.cascade is None) == (route.stages is None):
        raise ConfigError(
            f"{where}: write either cascade (a file) or stages, such as stages: [{{shape: 2x2}}]"
        )
    overrides = {
        key: value
        for key in ("merge", "crossing", "border")
        if (value := getattr(route, key)) is not None
    }
    return _load_cascade(route, where, file).model_copy(update=overrides)


def _check_task_keys(route: RouteSettings, where: str) -> None:
    """Checks that keys which are for one task are not given for another."""
    if route.task == Task.EXTRAS:
        if route.cascade is not None or route.stages is not None:
            raise ConfigError(
                f"{where}: extras are always asked about one photo alone; "
                "leave cascade and stages out"
            )
        return
    if route.operations:
        raise ConfigError(
            f"{where}.operations: calls are handed on by a route of task extras; write them there"
        )
    if route.labels != "alone" and route.task != Task.LABELS:
        raise ConfigError(f"{where}.labels: is for a route of task labels, not of {route.task}")


def _check_learning(route: RouteSettings, where: str) -> None:
    """Checks that a route that plans itself says for what, and has a task of which grids can be
    taken apart; and that no other route has such keys."""
    goals = [key for key in ("max_drop", "save") if getattr(route, key) is not None]
    if not route.is_auto:
        for key in (*goals, *({"learn"} & route.model_fields_set)):
            raise ConfigError(f"{where}.{key}: is for a route with cascade: auto")
        return
    if len(goals) != 1:
        raise ConfigError(
            f"{where}: cascade: auto needs a goal: max_drop (such as 0.02, how much AP50 may fall) "
            "or save (such as 0.5, the share of images to save), and not both"
        )
    if route.task not in BOXED:
        raise ConfigError(
            f"{where}.cascade: auto is for tasks with boxes; {route.task} judges a whole picture: "
            "imgrid profile makes a cascade for it"
        )
    if route.stages is not None:
        raise ConfigError(f"{where}.stages: cascade: auto finds the stages; leave them out")


def _load_cascade(route: RouteSettings, where: str, file: Path) -> Cascade:
    try:
        if isinstance(route.cascade, Path):
            return load(file.parent / route.cascade)
        return Cascade(stages=route.stages or ())
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{where}.stages: {message}") from None
    except ValueError as error:
        raise ConfigError(f"{where}.cascade: {error}") from None


def check_reachable(
    routes: Sequence[RouteSettings], tenants: Set[str], kinds: Mapping[str, str], file: Path
) -> None:
    """Checks that every route names known tenants and can serve at least one request. `kinds` are
    the kinds of the providers, by name. Raises ConfigError.

    The first route for a task and a tenant serves it. Extras are answered by the client's own
    vendor, so that each vendor has its first route.
    """
    served_tenants: dict[tuple[Task, str], set[str] | None] = {}  # None: every tenant
    for index, route in enumerate(routes):
        where = f"{file}: routes[{index}]"
        if unknown := set(route.tenants) - tenants:
            raise ConfigError(f"{where}.tenants: there is no tenant {', '.join(sorted(unknown))}")
        kind = kinds.get(route.provider, "") if route.task == Task.EXTRAS else ""
        served = served_tenants.get((route.task, kind), set())
        route_tenants = set(route.tenants) or tenants
        if served is None or (route_tenants and route_tenants <= served):
            raise ConfigError(
                f"{where}: nothing can match it: an earlier route serves {route.task} for the same "
                "tenants; remove one, or name other tenants"
            )
        served_tenants[route.task, kind] = served | set(route.tenants) if route.tenants else None
