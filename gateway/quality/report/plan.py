"""A plan as one page, with the front drawn. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gateway.config.errors import ConfigError
from gateway.quality.plan import Exploration, Plan
from gateway.quality.plan_summary import cells, metric_name, verdict
from gateway.quality.report import page as report
from gateway.quality.report.figures import BLUE, GREEN, GREY, ORANGE, figure_of, tidy
from gateway.quality.report.page import PageSection, PageTable, picture
from thresholds.plan.candidates import OperatingPoint
from thresholds.plan.selection import held_out_photos

MOST_IMAGES = 1.25
"""Points of more images a photo are not drawn."""


def show(plan: Plan, file: Path) -> Path:
    """Writes the page and its picture, and returns the page's path. Raises ConfigError."""
    title = f"Plan: {plan.picked.point.candidate.name}"
    try:
        return report.write(file, title, _lead(plan.explored), list(_sections(plan)))
    except OSError as error:
        raise ConfigError(f"--report {file}: cannot be written ({error.strerror})") from None


def _lead(explored: Exploration) -> str:
    fit, held = len(explored.study.training.photos), len(held_out_photos(explored.study))
    promise = f"; {held} more were held out for the promise." if held else "; nothing is promised."
    points = len(explored.points)
    return f"{points} cascades, simulated over the stored answers about {fit} photos{promise}"


def _sections(plan: Plan) -> Iterator[PageSection]:
    explored, metric = plan.explored, metric_name(plan)
    yield PageSection("What was picked", ". ".join(map(str, verdict(plan))) + ".")
    yield PageSection(
        "What saving costs",
        "Each dot is a cascade. To the left is cheaper, up is better; the line joins those that "
        f"nothing beats. {metric} is estimated by models that had not seen the photo that they "
        "judged, but the best of many estimates flatter.",
        [picture("plan-front", front(plan), f"Dots of {metric} over images a photo.")],
    )
    yield PageSection(
        "The front",
        "All cascades that nothing beats, the cheapest first. One image a photo is what asking "
        "about each alone costs.",
        [_table(explored.front, metric)],
    )
    yield PageSection(
        "What it is held against",
        "Flat grids, and the seed paper's cascades.",
        [_table(explored.references, metric)],
    )


def _table(points: Sequence[OperatingPoint], metric: str) -> PageTable:
    columns = ("cascade", "images", "saved", metric, "change")
    return PageTable(columns, [cells(point) for point in points])


def front(plan: Plan) -> Figure:
    """All cascades as dots, the front as a line, and a ring around the selected cascade."""
    metric = metric_name(plan)
    best = [point for point in plan.explored.front if point.images <= MOST_IMAGES]
    figure = figure_of(f"{metric} and what it costs", 9, 5.4)
    axes = figure.subplots()
    for label, points, colour, marker in _groups(plan.explored.points):
        _scatter(axes, points, label, s=16, color=colour, marker=marker, alpha=0.75, linewidths=0)
    axes.plot(*_coordinates(best), color=BLUE, linewidth=1.4)
    _scatter(axes, [plan.picked.point], "picked", s=150, facecolors="none", edgecolors="black")
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle="--")
    axes.set_xlim(0, MOST_IMAGES)
    changes = [point.change for point in best]
    axes.set_ylim(min(-0.2, *changes) - 0.01, max(changes) + 0.02)
    axes.set_xlabel("images billed a photo")
    axes.set_ylabel(f"change of {metric} against 1x1")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    tidy(axes)
    return figure


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
