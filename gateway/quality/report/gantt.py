"""The drawing of a schedule by a deadline. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gateway.config.errors import ConfigError
from gateway.quality.report.figures import BLUE, GREEN, ORANGE, figure_of, tidy
from gateway.quality.report.page import picture
from thresholds.plan.capacity import DeviceRun, Schedule

MOST_ROWS = 60
"""More devices than that are not drawn; the title says so."""
MOST_MARKS = 60
"""Repetitions are told apart up to so many a device; the borders of more would be a blur."""


def write_gantt(schedules: Mapping[str, Schedule], deadline_s: float, file: Path) -> None:
    """Writes the chart as PNG. Raises ConfigError where the file cannot be written."""
    image = picture(file.stem, gantt(schedules, deadline_s), "what each device does, and when")
    try:
        file.write_bytes(image.png)
    except OSError as error:
        raise ConfigError(f"--chart {file}: cannot be written ({error.strerror})") from None


def gantt(schedules: Mapping[str, Schedule], deadline_s: float) -> Figure:
    """A row for each device: its mini-batches, of which the first has the warm-up, and the
    deadline."""
    rows = [(network, run) for network, schedule in schedules.items() for run in schedule]
    shown = rows[:MOST_ROWS]
    title = "Photos by the deadline, by device"
    if len(rows) > len(shown):
        title += f" (the first {len(shown)} of {len(rows)})"
    figure = figure_of(title, 9, 1.6 + 0.34 * len(shown))
    axes = figure.subplots()
    several = len(schedules) > 1
    names = []
    for place, (network, run) in enumerate(shown):
        names.append(_row_name(run) + (f"\n{network}" if several else ""))
        warm_up_s, rest_s = run.batch.warm_up_s, run.repetitions * run.batch.latency_s
        axes.barh(place, warm_up_s, color=ORANGE, label=None if place else "first mini-batch (W)")
        axes.barh(place, rest_s, left=warm_up_s, color=BLUE, label=None if place else "repetitions")
        _mark_repetitions(axes, place, run)
    axes.axvline(deadline_s, color=GREEN, linestyle="--", linewidth=1.5, label="deadline")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.04 * deadline_s)
    axes.set_xlabel("seconds")
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=3)
    tidy(axes)
    return figure


def _row_name(run: DeviceRun) -> str:
    """The device, and its mini-batches times their size."""
    return f"{run.device.name}: {run.repetitions + 1:,} x {run.batch.size}"


def _mark_repetitions(axes: Axes, place: int, run: DeviceRun) -> None:
    """Draws the borders between repetitions, where they are few enough to be told apart."""
    if run.repetitions <= MOST_MARKS:
        batch = run.batch
        borders = [
            batch.warm_up_s + number * batch.latency_s for number in range(1, run.repetitions)
        ]
        axes.vlines(borders, place - 0.4, place + 0.4, color="white", linewidth=0.8)
