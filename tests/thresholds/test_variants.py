"""Variants of a cascade: the qualities that clients may request instead, and how a route
tightens."""

from __future__ import annotations

from typing import Any

import pytest

from thresholds.cascade import Cascade, Stage
from thresholds.rules import registry as rules
from thresholds.shape import Shape
from thresholds.variants import ALONE_CASCADE, ladder, variants

RULE = rules.read({"kind": "imgrid", "area": {"mean": 0.2}})
STRICT = RULE.stricter()


def cascade_of(*stages: str, **settings: Any) -> Cascade:
    """A cascade of stages written `3x3` or `3x3@provider`; all but the last have the rule RULE, and
    so has a last one with a `?`."""
    cascade_stages = []
    for number, text in enumerate(stages):
        shape, _, provider = text.rstrip("?").partition("@")
        rule = {"rule": RULE} if number < len(stages) - 1 or text.endswith("?") else {}
        cascade_stages.append(Stage(shape=Shape.parse(shape), provider=provider or None, **rule))
    return Cascade(stages=cascade_stages, **settings)


def stage_texts(cascade: Cascade) -> list[str]:
    """The stages as `cascade_of` takes them; a stricter rule is a `!`."""
    marks = ((RULE, "?"), (STRICT, "!"))
    return [
        f"{stage.shape}{f'@{stage.provider}' if stage.provider else ''}"
        f"{next((mark for rule, mark in marks if rule == stage.rule), '')}"
        for stage in cascade.stages
    ]


@pytest.mark.parametrize(
    ("target", "strict", "finer", "cheapest"),
    [
        (("5x5", "2x2", "1x1"), ["5x5!", "2x2!", "1x1"], ["2x2!", "1x1"], ["5x5"]),
        (("5x5", "2x1"), ["5x5!", "2x1"], ["2x1"], ["5x5"]),
        (("2x2",), ["2x2"], ["1x1"], ["2x2"]),
        (("1x1",), ["1x1"], ["1x1"], ["1x1"]),
        (
            ("1x1@det", "3x3", "1x1"),
            ["1x1@det!", "3x3!", "1x1"],
            ["1x1@det!", "1x1"],
            ["1x1@det?", "3x3"],
        ),
        (("3x3", "2x2?"), ["3x3!", "2x2!"], ["2x2!", "1x1"], ["3x3"]),
        (
            ("5x5", "1x1@other", "1x1"),
            ["5x5!", "1x1@other!", "1x1"],
            ["1x1@other!", "1x1"],
            ["5x5"],
        ),
        (("2x2", "1x1@own"), ["2x2!", "1x1@own"], ["1x1"], ["2x2"]),
    ],
)
def test_variants_keep_the_companions_stage(
    target: tuple[str, ...], strict: list[str], finer: list[str], cheapest: list[str]
) -> None:
    """Strict has stricter rules, finer leaves out the first paid stage, cheapest pays once, and all
    of them keep the companion's stage."""
    cascades = variants(cascade_of(*target), "own", "det")
    assert {name: stage_texts(cascades[name]) for name in ("strict", "finer", "cheapest")} == {
        "strict": strict,
        "finer": finer,
        "cheapest": cheapest,
    }
    assert cascades["target"] == cascade_of(*target)


def test_exact_asks_about_the_photo_alone() -> None:
    """Exact asks the route's provider about the photo alone, whatever the cascade does to photos
    and answers."""
    cascades = variants(cascade_of("1x1@det", "2x2", merge="fuse", border="black"), "own", "det")
    assert cascades["exact"] == ALONE_CASCADE
    assert (stage_texts(ALONE_CASCADE), ALONE_CASCADE.merge, ALONE_CASCADE.border) == (
        ["1x1"],
        "discard",
        "none",
    )


def test_variants_keep_the_other_settings() -> None:
    """Variants keep all that a cascade sets beside its stages."""
    cascades = variants(
        cascade_of("5x5", "2x2", "1x1", merge="fuse", crossing="discard", border="black"), "own"
    )
    for name in ("strict", "finer", "cheapest"):
        assert (cascades[name].merge, cascades[name].crossing, cascades[name].border) == (
            "fuse",
            "discard",
            "black",
        )


@pytest.mark.parametrize(
    ("target", "levels"),
    [
        (("5x5", "2x2", "1x1"), ["target", "strict", "finer", "exact"]),
        (("5x5", "1x1"), ["target", "strict", "exact"]),
        (("5x5", "2x1"), ["target", "strict", "finer", "exact"]),
        (("2x2",), ["target", "exact"]),
        (("1x1",), ["target"]),
        (("1x1@own",), ["target"]),
        (("1x1@det", "3x3", "1x1"), ["target", "strict", "finer", "exact"]),
        (("1x1@det", "1x1"), ["target", "strict", "exact"]),
    ],
)
def test_a_route_tightens_in_distinct_levels(target: tuple[str, ...], levels: list[str]) -> None:
    """A route tightens by strict, finer and exact, except those that ask the same as the level
    before them."""
    assert list(ladder(cascade_of(*target), "own", "det")) == levels


def test_variants_of_groups_lower_thresholds_and_drop_shapes() -> None:
    """In a cascade of groups strict has lower thresholds, finer leaves out the first shape, exact
    has no groups, and cheapest is the cascade itself."""
    rule = rules.read({"kind": "clean", "threshold": 0.2})
    stages = [Stage(shape=Shape.parse(shape), rule=rule) for shape in ("3x3", "2x2")]
    target = Cascade(stages=[*stages, Stage(shape=Shape(1, 1))])
    cascades = variants(target, "own")
    assert [stage.rule for stage in cascades["strict"].stages][:2] == [rule.stricter()] * 2
    assert [str(stage.shape) for stage in cascades["finer"].stages] == ["2x2", "1x1"]
    assert cascades["finer"].stages[0].rule == rule.stricter()
    assert cascades["cheapest"] == target
    assert list(ladder(target, "own")) == ["target", "strict", "finer", "exact"]
