"""The drawing of a plan's front. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gateway.quality.plan_summary import FrontRow, metric_name, shown_rows
from gateway.quality.report.figures import BLUE, GREEN, GREY, ORANGE, figure_of, tidy
from thresholds.plan.candidates import OperatingPoint
from thresholds.plan.planner import Plan

MOST_IMAGES = 1.25
"""Points of more images a photo are not drawn, nor those that lose more than all of the front."""
GAP = 0.04, 0.045
"""Numbers nearer than both of these shares of the drawing would overlap."""


def front(plan: Plan, *, narrow: bool = False) -> Figure:
    """All cascades as dots, the front as a line with the numbers of its rows, and a ring around the
    selected cascade; `narrow` is for windows of a telephone's width."""
    metric = metric_name(plan)
    best = _drawn(plan, plan.explored.front)
    points = _drawn(plan, plan.explored.points)
    figure = figure_of(f"{metric} and what it costs", *((4.4, 5.0) if narrow else (9, 5.6)))
    axes = figure.subplots()
    for label, group, colour, marker in _groups(points):
        _scatter(axes, group, label, s=16, color=colour, marker=marker, alpha=0.75, linewidths=0)
    axes.plot(*_coordinates(best), color=BLUE, linewidth=1.4)
    ring = {"s": 150, "facecolors": "none", "edgecolors": "black"}
    _scatter(axes, _drawn(plan, [plan.picked.point]), "selected", **ring)
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle="--")
    changes = [0.0, *(point.change for point in points)]
    axes.set_xlim(-0.03, MOST_IMAGES + 0.03)
    height = max(changes) - min(changes) + 0.02
    axes.set_ylim(min(changes) - 0.04 * height, max(changes) + 0.1 * height)
    scale = 2.2 if narrow else 1.0
    for number, point in apart(plan, (scale * GAP[0], scale * GAP[1] * height)):
        _number(axes, number, point)
    axes.set_xlabel("images billed a photo")
    axes.set_ylabel(f"change of {metric} against 1x1")
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=1 if narrow else 4)
    tidy(axes)
    return figure


def left_out(plan: Plan) -> int:
    """How many cascades are outside of the drawing."""
    points = plan.explored.points
    return len(points) - len(_drawn(plan, points))


def _drawn(plan: Plan, points: Sequence[OperatingPoint]) -> list[OperatingPoint]:
    """Those of the points that are drawn."""
    lowest = min(point.change for point in plan.explored.front)
    return [point for point in points if point.images <= MOST_IMAGES and point.change >= lowest]


def apart(plan: Plan, gap: tuple[float, float]) -> list[FrontRow]:
    """The rows whose numbers can stand at their points without overlapping: the selected one, and
    in the table's order each that is far enough from those before in cost or in quality."""
    rows = [row for row in shown_rows(plan) if _drawn(plan, [row.point])]
    selected = [row for row in rows if row.point is plan.picked.point]
    numbered: list[FrontRow] = []
    for row in [*selected, *rows]:
        if all(_is_apart(row.point, other.point, gap) for other in numbered):
            numbered.append(row)
    return numbered


def _is_apart(point: OperatingPoint, other: OperatingPoint, gap: tuple[float, float]) -> bool:
    far_in_cost = abs(point.images - other.images) > gap[0]
    return far_in_cost or abs(point.change - other.change) > gap[1]


def _number(axes: Axes, number: int, point: OperatingPoint) -> None:
    """The row's number, up and left of its point, where nothing else can be."""
    axes.annotate(
        str(number),
        (point.images, point.change),
        (-5, 5),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=8,
        color=BLUE,
    )


def _scatter(axes: Axes, points: Sequence[OperatingPoint], label: str, **style: Any) -> None:
    axes.scatter(*_coordinates(points), label=label, **style)


def _coordinates(points: Sequence[OperatingPoint]) -> tuple[list[float], list[float]]:
    """Images a photo, and the change of the metric."""
    return [point.images for point in points], [point.change for point in points]


def _groups(
    points: Sequence[OperatingPoint],
) -> Iterator[tuple[str, list[OperatingPoint], str, str]]:
    """The cascades by what asks again: label, points, colour and marker."""
    gain = [point for point in points if point.candidate.price is not None]
    yield "asks again by gain", gain, BLUE, "o"
    imgrid = [point for point in points if point.candidate.factor is not None]
    yield "asks again by ImGrid's rule", imgrid, ORANGE, "^"
    flat = [point for point in points if len(point.candidate.paths) == 1]
    yield "flat", flat, GREEN, "s"
