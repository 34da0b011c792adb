"""Checks that a route fits the providers that there are.

Each check raises ConfigError naming file and key, and the way out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.config.routes import RouteSettings, looks_of
from gateway.config.settings import Settings
from providers.base import Provider
from providers.detection import BOXED, Task
from thresholds.cascade import Cascade, Stage
from thresholds.shape import ALONE

MIN_CELL_PX = 16
"""The least side of a cell."""


def check_route(
    config: Settings, index: int, cascade: Cascade, providers: Mapping[str, Provider], *, file: Path
) -> None:
    """All checks of one route; `providers` are by name."""
    route, where = config.routes[index], f"{file}: routes[{index}]"
    _check_groups(route, cascade, where)
    for stage in (*cascade.stages, *looks_of(route)):
        _check_stage(stage, route, providers, where)
    if cascade.merge == "fuse" and route.task == "text":
        raise ConfigError(f"{where}.merge: text is not fused; use discard")
    _check_cache(route, f"{where}.cache.near_distance")
    if route.is_auto:
        _check_lasting(config, index, file)
    if route.companion:
        _check_companion(route, cascade, providers, f"{where}.companion")
    if route.fallback is not None:
        _check_fallback(route, cascade, providers, f"{where}.fallback")
        _check_fallback_times(config, index, file)


def _check_groups(route: RouteSettings, cascade: Cascade, where: str) -> None:
    """Checks that groups are used for tasks that judge a whole picture, and only with rules
    `clean`."""
    where = f"{where}.{'stages' if route.cascade is None else 'cascade'}"
    if route.task in BOXED:
        if cascade.groups:
            raise ConfigError(
                f"{where}: rules clean are for tasks that judge a whole picture; {route.task} has "
                "boxes, which are taken apart by photo"
            )
        return
    grids = [stage.shape for stage in cascade.stages if stage.shape != ALONE]
    if grids and not cascade.groups:
        raise ConfigError(
            f"{where}: of {route.task} a canvas says only whether any photo on it is meant; give "
            f"{grids[0]} a rule clean, as imgrid profile makes them, or ask about 1x1 only"
        )
    if route.task == Task.LABELS and bool(cascade.groups) != (route.labels == "listed"):
        raise ConfigError(
            f"{where}: groups are for routes with labels: listed, and those need a cascade of "
            "groups, as imgrid profile --labels makes it; with the others ask about 1x1 only"
        )


def _check_stage(
    stage: Stage, route: RouteSettings, providers: Mapping[str, Provider], where: str
) -> None:
    """Checks that the stage's provider serves the task, and that its canvas is large enough and its
    answers are long enough for the shape."""
    name = stage.provider or route.provider
    if name not in providers:
        raise ConfigError(
            f"{where}.provider: there is no provider {name!r}; there are {', '.join(providers)}"
        )
    about = providers[name].about
    if route.task not in about.tasks:
        tasks = ", ".join(sorted(about.tasks))
        raise ConfigError(
            f"{where}: nothing can match it: "
            f"provider {name} does not serve {route.task}, but {tasks}"
        )
    canvas_width, canvas_height = about.for_task(route.task).canvas_px
    width, height = canvas_width // stage.shape.cols, canvas_height // stage.shape.rows
    if min(width, height) < MIN_CELL_PX:
        raise ConfigError(
            f"{where}: cells of a {stage.shape} grid on {name}'s canvas would be "
            f"{width} x {height} pixels, {MIN_CELL_PX} is the least; "
            "take fewer cells or a larger canvas"
        )
    max_detections = about.most.get(route.task)
    if max_detections is not None and stage.shape.cells > max_detections:
        raise ConfigError(
            f"{where}: a {stage.shape} grid has {stage.shape.cells} photos, and an answer of "
            f"{name} holds at most {max_detections} detections of {route.task}, "
            f"of all of them together; take at most {max_detections} cells"
        )


def _check_cache(route: RouteSettings, where: str) -> None:
    """Checks that answers of near-duplicates are watched, for they may be wrong."""
    if route.cache is None or route.cache.near_distance is None:
        return
    if route.task == Task.EXTRAS:
        raise ConfigError(
            f"{where}: the answers of extras cannot be compared, so nothing would show where a "
            "near-duplicate's is wrong; leave near_distance out: equal photos are cached all the "
            "same"
        )
    if not route.watch.share:
        raise ConfigError(
            f"{where}: nothing would show where a near-duplicate's answer is wrong, because "
            "watch.share is 0; set watch.share, or leave near_distance out"
        )


def _check_lasting(config: Settings, index: int, file: Path) -> None:
    """Checks that a route learns of one model only: what it learned holds for no other."""
    route = config.routes[index]
    for name in filter(None, (route.provider, route.companion)):
        if config.providers[name].get("reload_s"):
            raise ConfigError(
                f"{file}: routes[{index}].cascade: auto learns what one model does, and "
                f"providers.{name}.reload_s takes others while it runs; leave reload_s out, and "
                "restart for a new model"
            )


def _check_companion(
    route: RouteSettings, cascade: Cascade, providers: Mapping[str, Provider], where: str
) -> None:
    """Checks that the companion is another provider, serves the task, and has the first stage. A
    cascade without a stage of it does not use it, which is allowed."""
    name, stages = route.companion, cascade.stages
    if name not in providers:
        raise ConfigError(
            f"{where}: there is no provider {name!r}; there are {', '.join(providers)}"
        )
    if name == route.provider:
        raise ConfigError(f"{where}: {name} is the route's provider itself; name another, or none")
    if route.task not in (tasks := providers[name].about.tasks):
        raise ConfigError(
            f"{where}: provider {name} does not serve {route.task}, but {', '.join(sorted(tasks))}"
        )
    indices = [index for index, stage in enumerate(stages) if stage.provider == name]
    if indices and (indices != [0] or stages[0].shape != ALONE or len(stages) == 1):
        raise ConfigError(
            f"{where}: {name} sees every photo whole and before anybody else, so in the cascade it "
            "has one stage: the first, 1x1, with others after it; imgrid plan makes such cascades "
            "from a profile with a companion"
        )


def _check_fallback(
    route: RouteSettings, cascade: Cascade, providers: Mapping[str, Provider], where: str
) -> None:
    """Checks that the fallback is another provider and fits every stage that it may stand in
    for."""
    name = route.fallback.provider if route.fallback is not None else ""
    if name in (route.provider, route.companion):
        role = "provider" if name == route.provider else "companion"
        raise ConfigError(
            f"{where}.provider: {name} is the route's {role} itself; name another, or no fallback"
        )
    for stage in (*cascade.stages, *looks_of(route)):
        if stage.provider != route.companion:
            shape = stage.shape if route.task in BOXED else ALONE
            fallback_stage = stage.model_copy(update={"provider": name, "shape": shape})
            _check_stage(fallback_stage, route, providers, where)
    if route.task != Task.EXTRAS:
        return
    kind, fallback_kind = providers[route.provider].about.kind, providers[name].about.kind
    if fallback_kind != kind:
        raise ConfigError(
            f"{where}.provider: what a vendor alone can say only another provider of kind {kind} "
            f"can say in its place; {name} is of kind {fallback_kind}"
        )


def _check_fallback_times(config: Settings, index: int, file: Path) -> None:
    """Checks that the fallback can ever answer after calls that got no answer."""
    route = config.routes[index]
    fallback = route.fallback
    if fallback is None or "no_answer" not in fallback.on:
        return
    where = f"{file}: routes[{index}].fallback.on: no_answer"
    if config.billed_unknown == "fail" and "on" in fallback.model_fields_set:
        raise ConfigError(
            f"{where}: billed_unknown: fail forbids asking again what may be billed; leave "
            "no_answer out, or set billed_unknown: retry"
        )
    timeout_ms = settings.options_of(config, route.provider, file).timeout_ms
    if config.billed_unknown == "retry" and timeout_ms >= route.deadline_ms:
        raise ConfigError(
            f"{where}: providers.{route.provider}.timeout_ms ({timeout_ms}) leaves no time within "
            f"routes[{index}].deadline_ms ({route.deadline_ms:g}) for another provider; take a "
            "shorter time-out, a longer deadline, or leave no_answer out"
        )
