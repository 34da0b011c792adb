"""A cascade's variants: what a client may have instead, and the levels of a route that tightens.
Pure."""

from __future__ import annotations

from collections.abc import Mapping

from thresholds.cascade import Cascade, Stage
from thresholds.rules import always
from thresholds.shape import ALONE

TARGET, EXACT, CHEAPEST = "target", "exact", "cheapest"
ALONE_CASCADE = Cascade(stages=(Stage(shape=ALONE),))
"""Each photo as it came, to the route's provider: what the API says without a gateway."""


def variants(target: Cascade, provider: str, companion: str = "") -> Mapping[str, Cascade]:
    """All there are of a route's cascade, by name; `provider` is the route's, `companion` empty
    where it has none."""
    strict = stricter(target)
    return {
        TARGET: target,
        "strict": strict,
        "finer": finer(strict, provider, companion),
        EXACT: ALONE_CASCADE,
        CHEAPEST: cheapest(target, companion),
    }


def ladder(target: Cascade, provider: str, companion: str = "") -> tuple[str, ...]:
    """The levels that a route tightens by, in turn: target, strict, finer, exact. One that asks
    what another asks is left out, so a route that asks about every photo alone has one level."""
    asked = {
        name: _asked(made, provider) for name, made in variants(target, provider, companion).items()
    }
    levels = [TARGET]
    for name in ("strict", "finer"):
        if asked[name] not in (asked[levels[-1]], asked[EXACT]):
            levels.append(name)
    return (*levels, EXACT) if asked[EXACT] != asked[levels[-1]] else tuple(levels)


def stricter(cascade: Cascade) -> Cascade:
    """The same stages, each under a stricter rule."""
    return _with(
        cascade,
        *(stage.model_copy(update={"rule": stage.rule.stricter()}) for stage in cascade.stages),
    )


def finer(cascade: Cascade, provider: str, companion: str = "") -> Cascade:
    """Without the first stage that is paid for. What is still doubtful goes to the finest of the
    later stages that is not the photo alone; where there is none, it is asked about alone."""
    free = [stage for stage in cascade.stages if stage.provider == companion]
    later = [stage for stage in cascade.stages if stage.provider != companion][1:]
    ruled = [stage for stage in later if stage.rule.reach and not _is_alone(stage, provider)]
    content = [stage for stage in later if not stage.rule.reach and not _is_alone(stage, provider)]
    last = min(content, key=lambda stage: stage.shape.cells, default=Stage(shape=ALONE))
    return _with(cascade, *free, *ruled, last)


def cheapest(cascade: Cascade, companion: str = "") -> Cascade:
    """No stage after the first that is paid for, whatever it answers; of groups the cascade itself,
    for what is flagged together is nobody's answer."""
    if cascade.groups:
        return cascade
    first = next(index for index, stage in enumerate(cascade.stages) if stage.provider != companion)
    last = cascade.stages[first].model_copy(update={"rule": always.Rule()})
    return _with(cascade, *cascade.stages[:first], last)


def _with(cascade: Cascade, *stages: Stage) -> Cascade:
    return cascade.model_copy(update={"stages": stages})


def _is_alone(stage: Stage, provider: str) -> bool:
    return stage.shape == ALONE and stage.provider in (None, provider)


def _asked(cascade: Cascade, provider: str) -> list[tuple[object, ...]]:
    return [(stage.shape, stage.provider or provider, stage.rule) for stage in cascade.stages]
