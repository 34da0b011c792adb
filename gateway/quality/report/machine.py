"""The drawing of a machine profile, as in "On Serving Image Classification Models": latency, first
run and memory by mini-batch. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gateway.quality.report.figures import figure_of, tidy
from providers.engine.machine import BatchRun, MachineProfile, NetworkSpeed

PANELS: tuple[tuple[str, Callable[[NetworkSpeed, BatchRun], float]], ...] = (
    ("latency L of a mini-batch, ms", lambda _, run: 1e3 * run.latency_s),
    ("first run W, ms", lambda _, run: 1e3 * run.warm_up_s),
    ("memory, MB", lambda _, run: run.memory_mb),
    ("photos/s of all workers", lambda speed, run: speed.photos_per_s(run)),
)


def machine_figure(profile: MachineProfile) -> Figure:
    """Four panels with a line for each network and input size."""
    machine = profile.machine
    figure = figure_of(f"{machine.cores} cores of {machine.cpu}", 11, 7.5)
    for axes, (label, value) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        for speed in profile.networks:
            _line(axes, speed, value)
        axes.set_xlabel("mini-batch")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        tidy(axes)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside lower center", ncols=4)
    return figure


def _line(
    axes: Axes, speed: NetworkSpeed, value: Callable[[NetworkSpeed, BatchRun], float]
) -> None:
    width, height = speed.input_px
    label = f"{speed.model} {width}x{height}, {speed.workers} x {speed.threads}"
    sizes = [run.mini_batch for run in speed.runs]
    values = [value(speed, run) for run in speed.runs]
    axes.plot(sizes, values, marker="o", markersize=4, linewidth=1.2, label=label)
