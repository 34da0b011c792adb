"""Routes, scripts and photos for tests of group testing.

Photos are 320 pixels wide, as is the canvas. Unsafe shapes are magenta: their score is the shorter
side of the block over 40 pixels, as it is shown. A block of 60 pixels scores 1 alone, 0.75 in a 2x2
grid and 0.5 in a 3x3 grid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

from gateway.core.model import Outcome, Photo, Route, Tenant
from gateway.testing.pictures import Block, drawn, photo
from gateway.testing.provider import Script, ScriptedProvider, about, image_of
from providers.base import Picture
from providers.detection import WHOLE, Detection, Task
from providers.prices import Price
from providers.shapes import shapes_on
from tests.support.pipeline import NEVER_S, PipelineHarness, labels_of, run_pipeline
from thresholds.cascade import Cascade, Stage
from thresholds.rules import risk
from thresholds.rules.clean import Posterior, Rule
from thresholds.shape import ALONE

ANN, BOB = Tenant("ann", "shared"), Tenant("bob", "shared")
"""Two tenants of one pool."""


def unsafe(picture: Picture, task: Task) -> Sequence[Detection]:
    """The answer of a moderation API about the whole picture: the best score of any magenta
    shape."""
    shapes = [shape for shape in shapes_on(image_of(picture)) if shape.label == "magenta"]
    best = max((shape.score for shape in shapes), default=0.0)
    return [Detection("Unsafe", best, WHOLE, details={"level": 1})] if best else []


def coloured(picture: Picture, task: Task) -> Sequence[Detection]:
    """The labels of a whole picture: its colours."""
    best_scores: dict[str, float] = {}
    for shape in shapes_on(image_of(picture)):
        best_scores[shape.label] = max(best_scores.get(shape.label, 0.0), shape.score)
    return [Detection(label, score, WHOLE, "LABEL") for label, score in best_scores.items()]


def graded(picture: Picture, task: Task) -> Sequence[Detection]:
    """A likelihood for any picture: a grade for each fifth of the score."""
    best = max((each.score for each in unsafe(picture, task)), default=0.0)
    return [
        Detection(
            "adult",
            round(4 * best) / 4,
            WHOLE,
            details={"graded": True, "likelihood": 1 + round(4 * best)},
        )
    ]


def group_cascade(
    *shapes: str, threshold: float = 0.2, positive: float = 0.5, **fields: float
) -> Cascade:
    """Stages of groups that clear their photos below the threshold, and a stage for each photo
    alone."""
    rule = Rule(threshold=threshold, positive=positive, **{"false_flags": 0.0, **fields})
    return Cascade(
        stages=[*(Stage(shape=shape, rule=rule) for shape in shapes), Stage(shape=ALONE)]
    )


def risk_cascade(*shapes: str, alone: float = 0.5, clean: float = 0.01) -> Cascade:
    """The same with a companion's stage first, whose score of `Unsafe` gives each photo its prior:
    log-odds of -6 at 0 and of 6 at 1. A canvas's score counts as a probability of its own."""
    posterior = Posterior(offset=0.0, slope=1.0, clean=clean)
    rule = Rule(threshold=0.2, posterior=posterior, false_flags=0.0, rate=0.001)
    first = Stage(
        shape=ALONE,
        provider="free",
        rule=risk.Rule(intercept=-6.0, weights={"Unsafe": 12.0}, alone=alone, skip=len(shapes) + 1),
    )
    groups = [Stage(shape=shape, rule=rule) for shape in shapes]
    return Cascade(stages=[first, *groups, Stage(shape=ALONE)])


def moderation_route(*shapes: str, name: str = "moderation", **fields: object) -> Route:
    """A route of moderation, in groups of these shapes."""
    default = group_cascade(*(shapes or ("3x3", "2x2", "2x1")))
    return Route(
        name,
        Task.MODERATION,
        "eye",
        **{"cascade": default, "max_wait_s": 0.05, "deadline_s": NEVER_S, **fields},
    )


def eye(script: Script = unsafe, **options: Any) -> ScriptedProvider:
    """A provider of every task, at 0.001 dollars an image."""
    description = about("eye", price=Price(0.001), **options.pop("about", {}))
    description = replace(description, tasks=frozenset(Task))
    return ScriptedProvider(script, about=description, **options)


def clean_photo(size: tuple[int, int] = (320, 320)) -> Photo:
    """A photo that no answer flags."""
    return photo(drawn(size, Block("blue", 100, 100, 160, 160)))


def block_photo(
    side: int = 60, size: tuple[int, int] = (320, 320), colour: str = "magenta"
) -> Photo:
    """A photo with a block, which is flagged where it is magenta."""
    return photo(drawn(size, Block(colour, 20, 20, 20 + side, 20 + side)))


def run_groups(
    provider: ScriptedProvider,
    route: Route | None = None,
    *,
    companion: ScriptedProvider | None = None,
    **options: Any,
) -> AbstractAsyncContextManager[PipelineHarness]:
    """A pipeline with one route: of moderation, where none is given."""
    providers = {"eye": provider, "free": companion or eye()}
    return run_pipeline(providers, route or moderation_route(), **options)


def labels(outcomes: Iterable[Outcome]) -> list[list[str]]:
    """The labels that each photo was answered with."""
    return [labels_of(outcome) for outcome in outcomes]


LABELS_ROUTE = Route(
    "labels",
    Task.LABELS,
    "eye",
    group_cascade("2x2", "2x1", threshold=0.2),
    0.05,
    NEVER_S,
    labels="listed",
)
"""A route of labels, whose groups serve photos with a list of labels."""
