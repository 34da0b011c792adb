"""The chart of a schedule by a deadline."""

from __future__ import annotations

import pytest

from gateway.quality.report.gantt import MOST_ROWS, gantt
from thresholds.plan.capacity import Device, MiniBatch, relaxed

DEVICE = Device("gpu 1", (MiniBatch(4, 1.0, 3.0),))


def bars(count: int) -> list[tuple[float, float]]:
    """Where the bars of so many devices begin, and how long they are, for a deadline of 8 s."""
    axes = gantt({"net": relaxed([DEVICE] * count, 8.5)}, 8.5).axes[0]
    return [(patch.get_x(), patch.get_width()) for patch in axes.patches]


def test_a_row_is_a_warm_up_and_its_repetitions() -> None:
    """A device's bars are its first mini-batch, and the others after it."""
    assert bars(1) == [(0, 3.0), (3.0, 5.0)]


def test_rows_name_the_device_and_its_mini_batches() -> None:
    """A row is named by its device and the mini-batches times their size; by several networks, the
    network too."""
    schedule = relaxed([DEVICE], 8.5)
    (axes,) = gantt({"net": schedule}, 8.5).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["gpu 1: 6 x 4"]
    (axes,) = gantt({"net": schedule, "other": schedule}, 8.5).axes
    assert axes.get_yticklabels()[1].get_text() == "gpu 1: 6 x 4\nother"


def test_the_deadline_is_drawn() -> None:
    """A line is at the deadline."""
    (axes,) = gantt({"net": relaxed([DEVICE], 8.5)}, 8.5).axes
    assert [line.get_xdata()[0] for line in axes.lines] == [8.5]


@pytest.mark.parametrize(("count", "rows"), [(MOST_ROWS, MOST_ROWS), (MOST_ROWS + 9, MOST_ROWS)])
def test_a_chart_has_a_readable_number_of_rows(count: int, rows: int) -> None:
    """Of many devices the first are drawn."""
    assert len(bars(count)) == 2 * rows
