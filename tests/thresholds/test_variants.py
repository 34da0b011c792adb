"""Variants of a cascade: what clients may have instead, and how a route tightens."""

from __future__ import annotations

import pytest

from thresholds.cascade import Cascade, Stage
from thresholds.rules import registry as rules
from thresholds.shape import Shape
from thresholds.variants import ALONE_CASCADE, ladder, variants

RULE = rules.read({"kind": "imgrid", "area": {"mean": 0.2}})
STRICT = RULE.stricter()


def cascade(*stages, **settings):
    """A stage is written `3x3`, or `3x3@provider`; all but the last are under a rule, and a last
    one with a `?` too."""
    made = []
    for number, text in enumerate(stages):
        shape, _, provider = text.rstrip("?").partition("@")
        ruled = {"rule": RULE} if number < len(stages) - 1 or text.endswith("?") else {}
        made.append(Stage(shape=Shape.parse(shape), provider=provider or None, **ruled))
    return Cascade(stages=made, **settings)


def told(made):
    """The stages as `cascade` takes them; a stricter rule is a `!`."""
    marks = ((RULE, "?"), (STRICT, "!"))
    return [
        f"{stage.shape}{f'@{stage.provider}' if stage.provider else ''}"
        f"{next((mark for rule, mark in marks if rule == stage.rule), '')}"
        for stage in made.stages
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
def test_variants(
    target: tuple[str, ...], strict: list[str], finer: list[str], cheapest: list[str]
) -> None:
    """Strict has stricter rules; finer goes without the first stage that is paid for; cheapest pays
    once. The companion's stage stays in all of them."""
    made = variants(cascade(*target), "own", "det")
    assert {name: told(made[name]) for name in ("strict", "finer", "cheapest")} == {
        "strict": strict,
        "finer": finer,
        "cheapest": cheapest,
    }
    assert made["target"] == cascade(*target)


def test_exact() -> None:
    """Exact is the photo as it came, asked of the route's provider, whatever the cascade does to
    photos and answers."""
    made = variants(cascade("1x1@det", "2x2", merge="fuse", border="black"), "own", "det")
    assert made["exact"] == ALONE_CASCADE
    assert (told(ALONE_CASCADE), ALONE_CASCADE.merge, ALONE_CASCADE.border) == (
        ["1x1"],
        "discard",
        "none",
    )


def test_the_rest_stays() -> None:
    """What a cascade says beside its stages holds for its variants too."""
    made = variants(
        cascade("5x5", "2x2", "1x1", merge="fuse", crossing="discard", border="black"), "own"
    )
    for name in ("strict", "finer", "cheapest"):
        assert (made[name].merge, made[name].crossing, made[name].border) == (
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
def test_levels(target: tuple[str, ...], levels: list[str]) -> None:
    """A route tightens by strict, finer and exact, less those that would ask what the one before
    them asks."""
    assert list(ladder(cascade(*target), "own", "det")) == levels


def test_groups() -> None:
    """Where photos are cleared together, strict has lower thresholds, finer no first shape, exact
    no groups; cheapest is the cascade itself, for what a canvas shows is nobody's answer."""
    rule = rules.read({"kind": "clean", "threshold": 0.2})
    stages = [Stage(shape=Shape.parse(shape), rule=rule) for shape in ("3x3", "2x2")]
    target = Cascade(stages=[*stages, Stage(shape=Shape(1, 1))])
    made = variants(target, "own")
    assert [stage.rule for stage in made["strict"].stages][:2] == [rule.stricter()] * 2
    assert [str(stage.shape) for stage in made["finer"].stages] == ["2x2", "1x1"]
    assert made["finer"].stages[0].rule == rule.stricter()
    assert made["cheapest"] == target
    assert list(ladder(target, "own")) == ["target", "strict", "finer", "exact"]
