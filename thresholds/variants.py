"""The variants of a cascade: those that a client may request, and the levels of a route that
tightens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from thresholds.cascade import Cascade, Stage
from thresholds.fusion.looks import LookKind
from thresholds.rules import always
from thresholds.shape import ALONE

TARGET, EXACT, CHEAPEST = "target", "exact", "cheapest"
FRESH = "fresh"
"""The target for a route that gives photos the answers of near-duplicates: without those."""
ALONE_CASCADE = Cascade(stages=(Stage(shape=ALONE),))
"""Each photo alone to the route's provider: the API's answer without a gateway."""


def look_name(stage: Stage) -> str:
    """The name of the variant of one stage alone, such as `look 2x2` or `look det:1x1`."""
    return f"look {LookKind(stage.shape, stage.provider or '')}"


def is_look(variant: str) -> bool:
    """Whether the variant is one stage alone, by which routes learn."""
    return variant.startswith("look ")


def variants(
    target: Cascade, provider: str, companion: str = "", looks: Sequence[Stage] = ()
) -> Mapping[str, Cascade]:
    """All variants of a route's cascade by name. `provider` is the route's, `companion` empty where
    it has none; each of the `looks` is a variant by itself."""
    strict = stricter(target)
    return {
        TARGET: target,
        FRESH: target,
        "strict": strict,
        "finer": finer(strict, provider, companion),
        EXACT: ALONE_CASCADE,
        CHEAPEST: cheapest(target, companion),
        **{look_name(stage): Cascade(stages=(stage,)) for stage in looks},
    }


def ladder(
    target: Cascade, provider: str, companion: str = "", *, takes_near: bool = False
) -> tuple[str, ...]:
    """The levels by which a route tightens: target, fresh, strict, finer, exact.

    There is a fresh level where the target `takes_near`-duplicates' answers. Other levels with the
    same stages as another are left out, so a route that asks about every photo alone has no more.
    """
    stages = {}
    for name, cascade in variants(target, provider, companion).items():
        stages[name] = _comparable(cascade, provider)
    levels = [TARGET, FRESH] if takes_near else [TARGET]
    for name in ("strict", "finer"):
        if stages[name] not in (stages[levels[-1]], stages[EXACT]):
            levels.append(name)
    if stages[EXACT] != stages[levels[-1]]:
        levels.append(EXACT)
    return tuple(levels)


def stricter(cascade: Cascade) -> Cascade:
    """The same stages, each with a stricter rule."""
    return _with_stages(
        cascade,
        *(stage.model_copy(update={"rule": stage.rule.stricter()}) for stage in cascade.stages),
    )


def finer(cascade: Cascade, provider: str, companion: str = "") -> Cascade:
    """The cascade without its first paid stage. After the stages with a rule comes the finest of
    the other stages, or the photo alone where there is none."""
    free = [stage for stage in cascade.stages if stage.provider == companion]
    paid = [stage for stage in cascade.stages if stage.provider != companion]
    with_rule, accepting = list[Stage](), list[Stage]()
    for stage in paid[1:]:
        if not _is_alone(stage, provider):
            (with_rule if stage.rule.reach else accepting).append(stage)
    last = min(accepting, key=lambda stage: stage.shape.cells, default=Stage(shape=ALONE))
    return _with_stages(cascade, *free, *with_rule, last)


def cheapest(cascade: Cascade, companion: str = "") -> Cascade:
    """The stages up to the first paid one, whose answers are all accepted. With group testing it is
    the cascade itself: an answer about a flagged group is no photo's answer."""
    if cascade.groups:
        return cascade
    first = next(index for index, stage in enumerate(cascade.stages) if stage.provider != companion)
    last = cascade.stages[first].model_copy(update={"rule": always.Rule()})
    return _with_stages(cascade, *cascade.stages[:first], last)


def _with_stages(cascade: Cascade, *stages: Stage) -> Cascade:
    return cascade.model_copy(update={"stages": stages})


def _is_alone(stage: Stage, provider: str) -> bool:
    return stage.shape == ALONE and stage.provider in (None, provider)


def _comparable(cascade: Cascade, provider: str) -> list[tuple[object, ...]]:
    """The stages in a form that is equal where they ask the same."""
    return [(stage.shape, stage.provider or provider, stage.rule) for stage in cascade.stages]
