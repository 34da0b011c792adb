"""A local engine's plan as one page: what to take, and the front of quality and photos a second.
Needs matplotlib."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from gateway.config.errors import ConfigError
from gateway.quality.engine_plan import EngineStudy
from gateway.quality.report import page as report
from gateway.quality.report.engine_rows import COLUMNS, rows_of
from gateway.quality.report.figures import BLUE, GREEN, ORANGE, figure_of, tidy
from gateway.quality.report.page import PageSection, PageTable, picture
from thresholds.plan.engine_plan import EnginePlan, EnginePoint


def show(study: EngineStudy, point: EnginePoint, page: Path) -> Path:
    """Writes the page and its picture, and returns the page's path. Raises ConfigError."""
    plan = study.plan
    width, height = point.input_px
    proportions = "in each photo's own proportions" if point.rectangular else "padded"
    source = "ground truth" if study.has_truth else "the reference look"
    lead = (
        f"Take {point.model} at {width}x{height}, {proportions}: {plan.rate(point):.1f} photos a "
        f"second at an AP50 of {point.quality:.3f} by {source}, on {study.photos} photos."
    )
    rows = list(rows_of(plan))
    strong = next(index for index, (each, _) in enumerate(rows) if each is point)
    table = PageTable(COLUMNS, [row for _, row in rows], 1, strong)
    alt = "Dots of AP50 over photos a second; the front falls from left to right."
    section = PageSection(
        "How fast, and how good",
        "Each dot is a network at an input size. To the right is faster, up is better; the line "
        "joins those that nothing beats in both. Photos a second are foreseen from what a photo "
        "takes with all cores busy.",
        [picture("engine-front", front(plan, point), alt), table],
    )
    try:
        return report.write(page, "Plan of the local engine", lead, [section])
    except OSError as error:
        raise ConfigError(f"--report {page}: cannot be written ({error.strerror})") from None


def front(plan: EnginePlan, taken: EnginePoint) -> Figure:
    """All points as dots, the front as a line, and a ring around the one that is taken."""
    figure = figure_of("AP50 and photos a second", 9, 5.6)
    axes = figure.subplots()
    for label, colour, rectangular in (("rect", BLUE, True), ("padded", ORANGE, False)):
        points = [point for point in plan.points if point.rectangular is rectangular]
        rates = [plan.rate(point) for point in points]
        axes.scatter(rates, [point.quality for point in points], color=colour, label=label, s=28)
    axes.plot(
        [plan.rate(point) for point in plan.front],
        [point.quality for point in plan.front],
        color=GREEN,
        linewidth=1.4,
        label="nothing beats these",
    )
    axes.scatter([plan.rate(taken)], [taken.quality], s=170, facecolors="none", edgecolors="black")
    for point in plan.front:
        axes.annotate(
            f"{point.model} {point.input_px[0]}x{point.input_px[1]}",
            (plan.rate(point), point.quality),
            (6, 6),
            textcoords="offset points",
            fontsize=8,
        )
    axes.set_xlabel("photos a second, foreseen")
    axes.set_ylabel("AP50")
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)
    return figure
