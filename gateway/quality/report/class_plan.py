"""A plan of a cascade of models as one page: what to do, the front, and maps of accuracy and cost
over the thresholds. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gateway.config.errors import ConfigError
from gateway.quality import class_plan
from gateway.quality.class_plan import ClassPlan
from gateway.quality.report import page as report
from gateway.quality.report.figures import BLUE, GREEN, GREY, ORANGE, figure_of, tidy
from gateway.quality.report.page import PageSection, PageTable, picture
from thresholds.classification.sample import UNITS
from thresholds.classification.search import ClassCascade, ThresholdGrid, threshold_grid
from thresholds.fusion.arrays import Floats

MAP_LINES = 120
"""Of a map: more would be smaller than its pixels."""
DRAWN_STAGES = (2, 3)
"""A map has a threshold or two."""


def show(plan: ClassPlan, page: Path) -> Path:
    """Writes the page and its pictures, and returns the page's path. Raises ConfigError."""
    title = f"Plan: {class_plan.name_of(plan.sample, plan.point.cascade)}"
    try:
        return report.write(page, title, class_plan.conclusion(plan), list(_sections(plan)))
    except OSError as error:
        raise ConfigError(f"--report {page}: cannot be written ({error.strerror})") from None


def _sections(plan: ClassPlan) -> Iterator[PageSection]:
    measure = class_plan.measure(plan)
    rows = class_plan.front_rows(plan)
    strong = next((i for i, row in enumerate(rows) if row.point == plan.point), None)
    front_table = PageTable(
        class_plan.COLUMNS,
        [[str(number), *class_plan.cells(plan, point)] for number, point in rows],
        1,
        strong,
    )
    yield PageSection(
        "What accuracy costs",
        "To the left is cheaper, up is better. Diamonds are the models alone, for every photo; the "
        "line joins the cascades that nothing beats, on the photos that they were chosen on. In "
        "the table (0.800) means: goes on below that score; = means: enough if it agrees with the "
        "one before.",
        [
            picture(
                "class-front",
                front(plan),
                f"{measure} over cost; the front rises from left to right.",
                front(plan, narrow=True),
            ),
            front_table,
        ],
    )
    budgets = class_plan.budget_cells(plan)
    yield PageSection(
        "What holds on other photos",
        "The best of many thresholds flatters itself on the photos that it was chosen on. Here "
        "each photo was judged by the cascade that the others chose, within a budget that falls "
        "from row to row; at most is what is promised of it.",
        [PageTable(class_plan.BUDGET_COLUMNS, budgets)],
    )
    grid = grid_of(plan)
    if grid is not None:
        yield PageSection(
            "Every pair of thresholds",
            f"{measure} and cost of {' then '.join(names_of(plan, grid))} at every combination of "
            "thresholds. To the right and up more photos go on. The cross is the plan's own; where "
            "accuracy is flat and cost is low, little is lost by a threshold that is a little off.",
            [picture("class-maps", maps(plan, grid), f"Maps of {measure} and cost.")],
        )
    yield PageSection(
        "Each model alone",
        "What every photo would cost, and how often the label would be right.",
        [PageTable(class_plan.COLUMNS[1:], list(class_plan.single_rows(plan)))],
        folded=True,
    )


def front(plan: ClassPlan, *, narrow: bool = False) -> Figure:
    """The front as a line, the models alone as diamonds, and a ring around the selected cascade."""
    figure = figure_of(
        f"{class_plan.measure(plan)} and what it costs", *((4.4, 5.0) if narrow else (9, 5.0))
    )
    axes = figure.subplots()
    points = plan.explored.front
    axes.plot(
        [point.cost for point in points],
        [point.accuracy for point in points],
        color=BLUE,
        linewidth=1.4,
        label="cascades that nothing beats",
    )
    alone = [plan.explored.point(ClassCascade((index,))) for index in range(len(plan.sample.names))]
    axes.scatter(
        [point.cost for point in alone],
        [point.accuracy for point in alone],
        marker="D",
        s=28,
        color=ORANGE,
        label="a model alone",
    )
    for name, point in zip(plan.sample.names, alone, strict=True):
        axes.annotate(
            name, (point.cost, point.accuracy), (6, -10), textcoords="offset points", fontsize=8
        )
    ring = plan.point
    axes.scatter(
        [ring.cost], [ring.accuracy], s=170, facecolors="none", edgecolors="black", label="selected"
    )
    axes.axhline(plan.explored.reference.accuracy, color=GREY, linewidth=0.8, linestyle="--")
    axes.set_xlabel(f"{UNITS[plan.explored.objective]} a photo")
    axes.set_ylabel(class_plan.measure(plan))
    axes.set_xlim(left=0)
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=1 if narrow else 3)
    tidy(axes)
    return figure


def grid_of(plan: ClassPlan) -> ThresholdGrid | None:
    """The thresholds of the selected order or, where that is one model, of the front's order whose
    accuracy is nearest; None where every cascade is one model."""
    if len(plan.point.cascade.stages) in DRAWN_STAGES:
        cascade = plan.point.cascade
    else:
        points = [each for each in plan.explored.front if len(each.cascade.stages) in DRAWN_STAGES]
        if not points:
            return None
        cascade = min(points, key=lambda each: abs(each.accuracy - plan.point.accuracy)).cascade
    cells = MAP_LINES ** (len(cascade.stages) - 1)
    return threshold_grid(
        plan.sample.answers, plan.explored.costs, cascade.stages, cascade.agreements, cells
    )


def names_of(plan: ClassPlan, grid: ThresholdGrid) -> list[str]:
    """The models of a grid, in their order."""
    return [plan.sample.names[stage] for stage in grid.stages]


def maps(plan: ClassPlan, grid: ThresholdGrid) -> Figure:
    """Accuracy and cost over the thresholds: two maps for two of them, as Figures 2.2 and 2.3 of
    "Resolution cascade for a reduction of the computational cost"; two lines for one."""
    names = names_of(plan, grid)
    figure = figure_of(f"{' then '.join(names)}, by threshold", 11, 4.6)
    left, right = figure.subplots(1, 2)
    unit = UNITS[plan.explored.objective]
    tables = (
        (left, grid.accuracies, class_plan.measure(plan)),
        (right, grid.costs, f"{unit} a photo"),
    )
    chosen = plan.point.cascade.thresholds if plan.point.cascade.stages == grid.stages else ()
    for axes, values, title in tables:
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(f"threshold of {names[0]}")
        if len(grid.thresholds) == 1:
            _line(axes, grid.thresholds[0], values, chosen)
        else:
            _map(figure, axes, grid, values, chosen)
            axes.set_ylabel(f"threshold of {names[1]}")
    return figure


def _line(axes: Axes, thresholds: Floats, values: Floats, chosen: Sequence[float]) -> None:
    axes.step(_drawn(thresholds), values, where="post", color=BLUE)
    for threshold in chosen:
        axes.axvline(min(threshold, 1.0), color=GREEN, linestyle="--", label="the plan's")
        axes.legend(frameon=False, fontsize=9)
    tidy(axes)


def _map(
    figure: Figure, axes: Axes, grid: ThresholdGrid, values: Floats, chosen: Sequence[float]
) -> None:
    first, second = map(_drawn, grid.thresholds)
    mesh = axes.pcolormesh(first, second, values.T, cmap="cividis", shading="nearest")
    figure.colorbar(mesh, ax=axes)
    if chosen:
        x, y = (min(threshold, 1.0) for threshold in chosen)
        axes.plot([x], [y], marker="x", color="white", markersize=10, markeredgewidth=2.5)
    axes.tick_params(labelsize=9)


def _drawn(thresholds: Floats) -> Floats:
    """The thresholds with a place for the infinite one, just right of the largest score."""
    largest = thresholds[-2] if len(thresholds) > 1 else 1.0
    return np.minimum(thresholds, largest + 0.01)
