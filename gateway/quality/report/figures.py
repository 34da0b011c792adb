"""The figures of a profile. Colour-blind readers can tell the colours apart: they are Okabe and
Ito's, and cividis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from math import ceil

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from thresholds.profile.input_size import Probe
from thresholds.profile.profile import LabelScores, Profile
from thresholds.profile.shape_stats import AtShape
from thresholds.shape import Shape

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7a828e"
MOST_LABELS = 11
"""Panels of the heat map beside the one of all labels: the labels with the most objects."""
COLUMNS = 4
FEW = 5
"""A mean of fewer objects is in italics, and a tenth of the scores with fewer is not drawn."""
Table = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def figure_of(title: str, width: float, height: float) -> Figure:
    """An empty figure with a title; width and height in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, fontsize=12, fontweight="bold")
    return figure


def tidy(axes: Axes) -> None:
    """Gives axes the look that all figures share."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e2e6ec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)


def _shade(index: int, count: int) -> tuple[float, float, float, float]:
    """From dark for the first to bright for the last, but never so bright that it vanishes on
    white."""
    red, green, blue, alpha = colormaps["cividis"](0.9 * index / max(count - 1, 1))
    return red, green, blue, alpha


def heat(profile: Profile) -> Figure:
    """Mean score by shape and by the largest shape that finds the object, a panel a label."""
    shapes = sorted({group.shape for group in profile.groups}, key=lambda shape: shape.cells)
    objects = Counter[str]()
    for group in profile.groups:
        if group.shape == group.largest:
            objects[group.label] += group.score.count
    panels = [("all labels", objects.total(), _table(profile.groups, shapes))]
    for label, count in objects.most_common(MOST_LABELS):
        groups = [group for group in profile.groups if group.label == label]
        panels.append((label, count, _table(groups, shapes)))
    rows = ceil(len(panels) / COLUMNS)
    figure = figure_of(
        "Mean score of objects, by the shape asked and the largest shape that still finds them",
        13,
        0.9 + 3.05 * rows,
    )
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes, (name, count, table) in zip(grid.flat, panels, strict=False):
        _panel(axes, f"{name} ({count})", table, shapes)
    for axes in grid.flat[len(panels) :]:
        axes.axis("off")
    figure.supxlabel("shape asked", fontsize=10)
    figure.supylabel("largest shape that finds the object", fontsize=10)
    return figure


def _table(groups: Sequence[LabelScores], shapes: Sequence[Shape]) -> Table:
    """The mean score and the count of objects, (largest shape, shape, 2); NaN where there are
    none."""
    table = np.full((len(shapes), len(shapes), 2), np.nan)
    for (largest, shape), members in groupby(sorted(groups, key=_key), key=_key):
        scores = [group.score for group in members]
        count = sum(score.count for score in scores)
        mean = sum(score.count * score.mean for score in scores) / max(count, 1)
        table[shapes.index(largest), shapes.index(shape)] = mean, count
    return table


def _key(group: LabelScores) -> tuple[Shape, Shape]:
    return group.largest, group.shape


def _panel(axes: Axes, title: str, table: Table, shapes: Sequence[Shape]) -> None:
    axes.imshow(table[..., 0], cmap="cividis", vmin=0.3, vmax=1.0)
    for row, col in np.argwhere(~np.isnan(table[..., 0])):
        mean, count = table[row, col]
        colour = "black" if mean > 0.68 else "white"
        axes.text(
            col,
            row,
            f"{mean:.2f}".lstrip("0"),
            ha="center",
            va="center",
            fontsize=7.5,
            color=colour,
            fontstyle="italic" if count < FEW else "normal",
        )
    axes.set_title(title, fontsize=10)
    names = [str(shape) for shape in shapes]
    axes.set_xticks(range(len(shapes)), names, fontsize=7.5)
    axes.set_yticks(range(len(shapes)), names, fontsize=7.5)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def quality(shapes: Sequence[AtShape], width: float = 8) -> Figure:
    """AP50 and agreement with the answer alone, by shape; width in inches."""
    figure = figure_of("How good answers are, by shape", width, 4.2)
    axes = figure.subplots()
    places = range(len(shapes))
    ap50, agreement = [at.ap50 for at in shapes], [at.agreement for at in shapes]
    _line(axes, agreement, ap50, ORANGE, "s", "agreement (mean F1)")
    _line(axes, ap50, agreement, BLUE, "o", "AP50 against ground truth")
    axes.set_xticks(places, [f"{at.shape}\n{1 / at.shape.cells:.3g}" for at in shapes])
    axes.set_xlabel("shape, and images billed a photo in full canvases")
    axes.set_ylim(0, 1.08)
    axes.legend(frameon=False, fontsize=9, loc="lower left")
    tidy(axes)
    return figure


def _line(
    axes: Axes,
    values: Sequence[float | None],
    other_values: Sequence[float | None],
    colour: str,
    marker: str,
    name: str,
) -> None:
    """Draws a line, with its values on the side away from the other line."""
    points = [(place, value) for place, value in enumerate(values) if value is not None]
    if not points:
        return
    axes.plot(*zip(*points, strict=True), color=colour, marker=marker, linewidth=2, label=name)
    for place, value in points:
        above = value >= (other_values[place] or 0.0)
        axes.annotate(
            f"{value:.2f}",
            (place, value),
            (0, 7 if above else -14),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=colour,
        )


def canvas(probe: Probe, configured: str) -> Figure:
    """AP50, and agreement with the largest canvas, by the longer side of the canvas."""
    figure = figure_of(
        f"Answers by canvas size ({probe.photos} photos in grids of {probe.shape})", 8, 4.2
    )
    axes = figure.subplots()
    sides = [max(size.width_px, size.height_px) for size in probe.sizes]
    if probe.sizes[0].ap50 is not None:
        ap50 = [size.ap50 or 0.0 for size in probe.sizes]
        errors = [size.error or 0.0 for size in probe.sizes]
        axes.errorbar(
            sides,
            ap50,
            errors,
            color=BLUE,
            marker="o",
            linewidth=2,
            capsize=3,
            label="AP50 of all labels (bars: standard error of the distance to the best)",
        )
    axes.plot(
        sides,
        [size.agreement for size in probe.sizes],
        color=ORANGE,
        marker="s",
        linewidth=2,
        label="agreement with the largest (mean F1)",
    )
    axes.axvline(sides[probe.enough], color=GREEN, linestyle="--", linewidth=1.5)
    axes.annotate(
        f"{probe.sizes[probe.enough]} is enough",
        (sides[probe.enough], 0.03),
        (6, 0),
        textcoords="offset points",
        color=GREEN,
        fontsize=9,
    )
    axes.set_xscale("log", base=2)
    axes.set_xticks(
        sides,
        [f"{size}\nconfigured" if str(size) == configured else str(size) for size in probe.sizes],
        fontsize=8,
    )
    axes.minorticks_off()
    axes.set_xlabel("canvas sent, width x height in pixels")
    axes.set_ylim(0, 1.08)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    tidy(axes)
    return figure


def _panels(
    title: str,
    shapes: Sequence[AtShape],
    draw: Callable[[Axes, AtShape], None],
    labels: tuple[str, str],
) -> Figure:
    """A square panel from 0 to 1 for each shape, with the line on which both sides are equal."""
    rows = ceil(len(shapes) / COLUMNS)
    figure = figure_of(title, 11, 0.8 + 2.6 * rows)
    grid = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True)
    for index, (axes, at) in enumerate(zip(grid.flat, shapes, strict=False)):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
        draw(axes, at)
        axes.set_title(str(at.shape), fontsize=10)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
        tidy(axes)
        axes.tick_params(labelbottom=index + COLUMNS >= len(shapes))
    for axes in grid.flat[len(shapes) :]:
        axes.axis("off")
    figure.supxlabel(labels[0], fontsize=10)
    figure.supylabel(labels[1], fontsize=10)
    return figure


def reliability(shapes: Sequence[AtShape]) -> Figure:
    """Share of true detections by score, a panel a shape."""

    def draw(axes: Axes, at: AtShape) -> None:
        rows = [row for row in at.reliability if row[2] >= FEW]
        if rows:
            scores, shares, counts = zip(*rows, strict=True)
            axes.plot(scores, shares, color=BLUE, linewidth=1.5)
            axes.scatter(
                scores,
                shares,
                np.clip(np.sqrt(counts), 3, 20) * 4,
                color=BLUE,
                clip_on=False,
                zorder=3,
            )

    return _panels(
        "Are scores what they say? Share of detections that are true, by score",
        shapes,
        draw,
        ("score (mean of a tenth; the larger the dot, the more detections)", "share that is true"),
    )


def scores(shapes: Sequence[AtShape]) -> Figure:
    """The same object's score alone by its score at a shape, a panel a shape."""

    def draw(axes: Axes, at: AtShape) -> None:
        if at.to_alone:
            axes.plot(
                *zip(*at.to_alone, strict=True), color=ORANGE, linewidth=2, marker="o", markersize=3
            )

    return _panels(
        "What an object that scores so much in a grid scores alone",
        shapes,
        draw,
        ("score at the shape", "mean score alone"),
    )


def seams(shapes: Sequence[AtShape]) -> Figure:
    """Objects that grids lose at the edges of photos, and boxes that leak in from neighbours."""
    figure = figure_of("What a grid takes away, and what it adds", 11, 4.2)
    losses, leaks = figure.subplots(1, 2)
    _draw_losses(losses, shapes)
    _draw_leaks(leaks, shapes)
    return figure


def _draw_losses(axes: Axes, shapes: Sequence[AtShape]) -> None:
    with_losses = [at for at in shapes if at.losses]
    losses = [at.losses for at in with_losses if at.losses]
    bars = {
        "touching their photo's edge": (ORANGE, [100 * loss.lost for loss in losses]),
        "inside, of the same sizes": (BLUE, [100 * loss.lost_inside for loss in losses]),
    }
    _bars(axes, with_losses, bars)
    if not losses:
        message = "no object touches an edge"
        axes.text(0.5, 0.5, message, transform=axes.transAxes, ha="center", color=GREY)
    axes.set_title("Objects that are found alone and lost in the grid", fontsize=10)
    axes.set_ylabel("% of objects")


def _draw_leaks(axes: Axes, shapes: Sequence[AtShape]) -> None:
    with_leaks = [at for at in shapes if at.leaks]
    leaks = [at.leaks for at in with_leaks if at.leaks]

    def per_100_photos(counts: Sequence[int]) -> list[float]:
        pairs = zip(counts, leaks, strict=True)
        return [100 * count / max(leak.cells, 1) for count, leak in pairs]

    bars = {
        "nothing alone bears them out": (GREY, per_100_photos([leak.strangers for leak in leaks])),
        "of these leaked in from a neighbour": (
            ORANGE,
            per_100_photos([leak.leaked for leak in leaks]),
        ),
        "called leaked by chance": (BLUE, per_100_photos([leak.by_chance for leak in leaks])),
    }
    _bars(axes, with_leaks, bars)
    axes.set_title("Boxes that are found in the grid only", fontsize=10)
    axes.set_ylabel("boxes in 100 photos")


def _bars(
    axes: Axes, shapes: Sequence[AtShape], rows: Mapping[str, tuple[str, Sequence[float]]]
) -> None:
    """Draws bars side by side at each shape; `rows` are colours and values by label."""
    width = 0.8 / len(rows)
    for number, (name, (colour, values)) in enumerate(rows.items()):
        places = [place + (number - (len(rows) - 1) / 2) * width for place in range(len(shapes))]
        axes.bar(places, values, width * 0.92, color=colour, label=name)
    axes.set_xticks(range(len(shapes)), [str(at.shape) for at in shapes])
    axes.set_ylim(0, max([1.0, *(value for _, values in rows.values() for value in values)]) * 1.3)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    tidy(axes)
