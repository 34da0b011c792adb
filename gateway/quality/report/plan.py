"""`imgrid plan --report`: a plan as one page, with the front drawn. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from gateway.config.errors import ConfigError
from gateway.quality.plan import NAMES, Exploration, Plan, cells, verdict
from gateway.quality.report import page as report
from gateway.quality.report.figures import BLUE, GREEN, GREY, ORANGE, figure_of, tidy
from gateway.quality.report.page import PageSection, PageTable, picture
from thresholds.plan.candidates import OperatingPoint
from thresholds.plan.selection import held_out


def show(plan: Plan, page: Path) -> Path:
    """Writes the page, and its picture beside it; the page's path. Raises ConfigError."""
    explored = plan.explored
    fit, held = len(explored.study.lesson.fit), len(held_out(explored.study))
    lead = (
        f"{len(explored.points)} cascades, simulated over the stored answers about {fit} photos"
        + (f"; {held} more were held out for the promise." if held else "; nothing is promised.")
    )
    try:
        return report.write(
            page, f"Plan: {plan.picked.point.option.name}", lead, list(_sections(plan))
        )
    except OSError as error:
        raise ConfigError(f"--report {page}: cannot be written ({error.strerror})") from None


def _sections(plan: Plan) -> Iterator[PageSection]:
    explored, name = plan.explored, NAMES[plan.explored.study.lesson.quality.metric]
    plain = verdict(plan).replace("[bold]", "").replace("[/]", "").replace("[yellow]", "")
    yield PageSection("What was picked", plain.replace("\n", ". ") + ".")
    yield PageSection(
        "What saving costs",
        "Each dot is a cascade. To the left is cheaper, up is better; the line joins those that nothing beats. "
        f"{name} is estimated by models that had not seen the photo that they judged, but the best of many estimates "
        "flatter.",
        [picture("plan-front", front(plan), f"Dots of {name} over images a photo.")],
    )
    yield PageSection(
        "The front",
        "All cascades that nothing beats, the cheapest first. One image a photo is what asking about each alone costs.",
        [_table(explored.front, name)],
    )
    yield PageSection(
        "What it is held against",
        "Flat grids, and the seed paper's cascades.",
        [_table(explored.references, name)],
    )


def _table(points: Sequence[OperatingPoint], name: str) -> PageTable:
    return PageTable(
        ("cascade", "images", "saved", name, "change"), [cells(point) for point in points]
    )


def front(plan: Plan) -> Figure:
    """All options, what the seed paper's and flat grids reach, the front, and the one picked."""
    explored, name = plan.explored, NAMES[plan.explored.study.lesson.quality.metric]
    figure = figure_of(f"{name} and what it costs", 9, 5.4)
    axes = figure.subplots()
    for label, points, colour, marker in _groups(explored):
        axes.scatter(
            [point.images for point in points],
            [point.change for point in points],
            s=16,
            color=colour,
            marker=marker,
            alpha=0.75,
            linewidths=0,
            label=label,
        )
    best = [point for point in explored.front if point.images <= 1.25]
    axes.plot(
        [point.images for point in best],
        [point.change for point in best],
        color=BLUE,
        linewidth=1.4,
    )
    picked = plan.picked.point
    axes.scatter(
        [picked.images],
        [picked.change],
        s=150,
        facecolors="none",
        edgecolors="black",
        label="picked",
    )
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle="--")
    axes.set_xlim(0, 1.25)
    axes.set_ylim(
        min(-0.2, *(point.change for point in best)) - 0.01,
        max(point.change for point in best) + 0.02,
    )
    axes.set_xlabel("images billed a photo")
    axes.set_ylabel(f"change of {name} against 1x1")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    tidy(axes)
    return figure


def _groups(explored: Exploration) -> Iterator[tuple[str, list[OperatingPoint], str, str]]:
    """By what asks again: name, points, colour and marker."""
    points = explored.points
    yield "asks again by gain", [p for p in points if p.option.price is not None], BLUE, "o"
    yield (
        "asks again by ImGrid's rule",
        [p for p in points if p.option.factor is not None],
        ORANGE,
        "^",
    )
    yield "flat", [p for p in points if len(p.option.paths) == 1], GREEN, "s"
