"""Whether a route can be as its settings say, by the providers that there are.

Each check raises ConfigError naming file and key, and the way out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.config.routes import RouteSettings
from gateway.config.settings import Settings
from providers.base import Provider
from providers.detection import BOXED, Task
from thresholds.cascade import Cascade, Stage
from thresholds.shape import ALONE

LEAST_CELL_PX = 16


def check_route(
    config: Settings, index: int, cascade: Cascade, made: Mapping[str, Provider], *, file: Path
) -> None:
    """All there is to check of one route; `made` are the providers by name."""
    route, where = config.routes[index], f"{file}: routes[{index}]"
    _check_groups(route, cascade, where)
    for stage in cascade.stages:
        _check_stage(stage, route, made, where)
    if cascade.merge == "fuse" and route.task == "text":
        raise ConfigError(f"{where}.merge: text is not fused; use discard")
    if route.companion:
        _check_companion(route, cascade, made, f"{where}.companion")
    if route.fallback is not None:
        _check_fallback(route, cascade, made, f"{where}.fallback")
        _check_times(config, route, index, file)


def _check_fallback(
    route: RouteSettings, cascade: Cascade, made: Mapping[str, Provider], where: str
) -> None:
    """That it is another provider, and takes the route's task at the shapes of all stages that it
    may stand in for."""
    name = route.fallback.provider if route.fallback is not None else ""
    if name in (route.provider, route.companion):
        whose = "provider" if name == route.provider else "companion"
        raise ConfigError(
            f"{where}.provider: {name} is the route's {whose} itself; name another, or no fallback"
        )
    for stage in cascade.stages:
        if stage.provider != route.companion:
            shape = stage.shape if route.task in BOXED else ALONE
            _check_stage(
                stage.model_copy(update={"provider": name, "shape": shape}), route, made, where
            )
    if route.task == Task.EXTRAS and made[name].about.kind != (
        kind := made[route.provider].about.kind
    ):
        raise ConfigError(
            f"{where}.provider: what a vendor alone can say only another provider of kind {kind} can say "
            f"in its place; {name} is of kind {made[name].about.kind}"
        )


def _check_times(config: Settings, route: RouteSettings, index: int, file: Path) -> None:
    """That a fallback for calls without an answer can ever be asked."""
    other = route.fallback
    if other is None or "no_answer" not in other.on:
        return
    where = f"{file}: routes[{index}].fallback.on: no_answer"
    if config.billed_unknown == "fail" and "on" in other.model_fields_set:
        raise ConfigError(
            f"{where}: billed_unknown: fail forbids asking again what may be billed; leave no_answer "
            "out, or set billed_unknown: retry"
        )
    timeout_ms = settings.options_of(config, route.provider, file).timeout_ms
    if config.billed_unknown == "retry" and timeout_ms >= route.deadline_ms:
        raise ConfigError(
            f"{where}: providers.{route.provider}.timeout_ms ({timeout_ms}) leaves no time within "
            f"routes[{index}].deadline_ms ({route.deadline_ms:g}) for another provider; take a shorter "
            "time-out, a longer deadline, or leave no_answer out"
        )


def _check_companion(
    route: RouteSettings, cascade: Cascade, made: Mapping[str, Provider], where: str
) -> None:
    """That it is another provider, of the route's task. A cascade without a stage of it does not
    ask it."""
    name, stages = route.companion, cascade.stages
    if name not in made:
        raise ConfigError(f"{where}: there is no provider {name!r}; there are {', '.join(made)}")
    if name == route.provider:
        raise ConfigError(f"{where}: {name} is the route's provider itself; name another, or none")
    if route.task not in (tasks := made[name].about.tasks):
        raise ConfigError(
            f"{where}: provider {name} does not serve {route.task}, but {', '.join(sorted(tasks))}"
        )
    places = [index for index, stage in enumerate(stages) if stage.provider == name]
    if places and (places != [0] or stages[0].shape != ALONE or len(stages) == 1):
        raise ConfigError(
            f"{where}: {name} sees every photo whole and before anybody else, so in the cascade it has "
            "one stage: the first, 1x1, with others after it; imgrid plan makes such cascades from a "
            "profile with a companion"
        )


def _check_groups(route: RouteSettings, cascade: Cascade, where: str) -> None:
    """That photos are cleared together where that can be, by rules `clean` and no others."""
    where = f"{where}.{'stages' if route.cascade is None else 'cascade'}"
    if cascade.groups and route.task in BOXED:
        raise ConfigError(
            f"{where}: rules clean are for tasks that judge a whole picture; {route.task} has boxes, "
            "which are taken apart by photo"
        )
    together = [stage for stage in cascade.stages if stage.shape != ALONE]
    if together and not cascade.groups and route.task not in BOXED:
        shape = together[0].shape
        raise ConfigError(
            f"{where}: of {route.task} a canvas says only whether any photo on it is meant; give {shape} "
            "a rule clean, as imgrid profile makes them, or ask about 1x1 only"
        )
    if route.task == Task.LABELS and bool(cascade.groups) != (route.labels == "listed"):
        raise ConfigError(
            f"{where}: groups are for routes with labels: listed, and those need a cascade of groups, "
            "as imgrid profile --labels makes it; with the others ask about 1x1 only"
        )


def _check_stage(
    stage: Stage, route: RouteSettings, made: Mapping[str, Provider], where: str
) -> None:
    key = stage.provider or route.provider
    if key not in made:
        raise ConfigError(
            f"{where}.provider: there is no provider {key!r}; there are {', '.join(made)}"
        )
    about = made[key].about
    if route.task not in about.tasks:
        tasks = ", ".join(sorted(about.tasks))
        raise ConfigError(
            f"{where}: nothing can match it: provider {key} does not serve {route.task}, but {tasks}"
        )
    canvas_px = about.for_task(route.task).canvas_px
    width, height = canvas_px[0] // stage.shape.cols, canvas_px[1] // stage.shape.rows
    if min(width, height) < LEAST_CELL_PX:
        raise ConfigError(
            f"{where}: cells of a {stage.shape} grid on {key}'s canvas would be {width} x {height} "
            f"pixels, {LEAST_CELL_PX} is the least; take fewer cells or a larger canvas"
        )
    most = about.most.get(route.task)
    if most is not None and stage.shape.cells > most:
        raise ConfigError(
            f"{where}: a {stage.shape} grid has {stage.shape.cells} photos, and an answer of {key} holds "
            f"at most {most} detections of {route.task}, of all of them together; take at most {most} "
            "cells"
        )
