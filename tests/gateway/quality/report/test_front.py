"""The drawing of a plan's front: what is drawn is whole, and nothing covers anything else."""

from __future__ import annotations

from itertools import combinations

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from gateway.quality.plan_summary import shown_rows
from gateway.quality.report.front import MOST_IMAGES, apart, front, left_out
from tests.support.plans import plan_of
from thresholds.plan.planner import Plan
from thresholds.plan.selection import Goal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(Goal(save=0.6))


@pytest.fixture(scope="module", params=[False, True], ids=["wide", "narrow"])
def figure(request: pytest.FixtureRequest, plan: Plan) -> Figure:
    drawing = front(plan, narrow=request.param)
    drawing.draw_without_rendering()
    return drawing


def numbers(figure: Figure) -> dict[str, Bbox]:
    """Where each row's number stands, in pixels."""
    texts = [text for text in figure.axes[0].texts if isinstance(text, Annotation)]
    return {text.get_text(): text.get_window_extent() for text in texts}


def holds(outer: Bbox, inner: Bbox) -> bool:
    """Whether a rectangle lies within another."""
    low, high = outer.min <= inner.min + 0.5, inner.max <= outer.max + 0.5
    return bool(low.all() and high.all())


def test_numbers_are_those_of_the_table(figure: Figure, plan: Plan) -> None:
    """Every number in the drawing is that of a row of the table, the selected one's among them."""
    rows = {str(row.number): row.point for row in shown_rows(plan)}
    assert set(numbers(figure)) <= set(rows)
    selected = next(number for number, point in rows.items() if point is plan.picked.point)
    assert selected in numbers(figure)
    assert len(numbers(figure)) > 3


def test_no_number_covers_another(figure: Figure) -> None:
    """Numbers that would overlap are left out."""
    pairs = combinations(numbers(figure).values(), 2)
    assert not any(first.overlaps(second) for first, second in pairs)


def test_nothing_is_clipped(figure: Figure) -> None:
    """Numbers, titles and legend lie within the drawing, and all dots within the axes."""
    axes, whole = figure.axes[0], figure.bbox
    texts = [axes.xaxis.label, axes.yaxis.label, *figure.texts]
    for box in [*numbers(figure).values(), *(text.get_window_extent() for text in texts)]:
        assert holds(whole, box)
    assert holds(whole, figure.legends[0].get_window_extent())
    for dots in axes.collections:
        for place in axes.transData.transform(dots.get_offsets()):
            assert axes.bbox.contains(*place)


def test_the_legend_covers_no_dot(figure: Figure) -> None:
    """The legend stands under the axes."""
    assert not figure.legends[0].get_window_extent().overlaps(figure.axes[0].bbox)


def test_dots_that_are_left_out_are_counted(plan: Plan) -> None:
    """The page can say how many cascades are outside of the drawing."""
    costly = sum(point.images > MOST_IMAGES for point in plan.explored.points)
    assert left_out(plan) >= costly
    drawn = sum(len(dots.get_offsets()) for dots in front(plan).axes[0].collections[:-1])
    assert drawn <= len(plan.explored.points) - left_out(plan)


def test_with_room_enough_every_row_has_its_number(plan: Plan) -> None:
    """Rows lose their numbers to nearness only: all of the front is drawn, whatever it loses."""
    drawn = [row for row in shown_rows(plan) if row.point.images <= MOST_IMAGES]
    assert len(apart(plan, (0.0, 0.0))) == len(drawn)
