"""A plan on the console: the front, what was selected from it, and what that saves."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from gateway.quality.next_step import Shortfall
from gateway.quality.plan_summary import (
    PlanSentence,
    cells,
    cheap_point,
    front_title,
    metric_name,
    shown_rows,
    traffic_rows,
    traffic_title,
)
from thresholds.plan.planner import Plan

WIDTH = 78


def reference_table(plan: Plan) -> Table:
    """Flat grids and the seed paper's cascades. It fits 80 columns."""
    table = _table("what the front is held against")
    _add_columns(table, plan)
    for point in plan.explored.references:
        table.add_row(*cells(point), style="dim")
    return table


def front_table(plan: Plan) -> Table:
    """The front, thinned out; the selected row is bold. It fits 80 columns."""
    rows, count = shown_rows(plan), len(plan.explored.front)
    table = _table(f"the front ({len(rows)} of {count} rows), {front_title(plan)}")
    table.caption = "take another row with --take and its number"
    table.add_column("row", justify="right", no_wrap=True, min_width=3)
    _add_columns(table, plan)
    for number, point in rows:
        style = "bold" if point is plan.picked.point else None
        table.add_row(str(number), *cells(point), style=style)
    return table


def _table(title: str) -> Table:
    return Table(title=title, box=SIMPLE_HEAD, width=WIDTH)


def _add_columns(table: Table, plan: Plan) -> None:
    table.add_column("cascade", overflow="fold", ratio=1)
    for column in ("images", "saved", metric_name(plan), "change"):
        table.add_column(column, justify="right", no_wrap=True)


def traffic_table(plan: Plan, missing: Shortfall | None) -> Table:
    """What the selected cascade saves at several rates of traffic, or the best estimate where that
    is 1x1."""
    point = cheap_point(plan, missing)
    table = _table(traffic_title(plan, point))
    for column in ("photos a second", "images a photo", "saved"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in traffic_rows(plan, point):
        table.add_row(*row)
    return table


def sentence_lines(sentences: Sequence[PlanSentence]) -> str:
    """The sentences, one a line, with rich's markup."""
    return "\n".join(map(_marked_up, sentences))


def _marked_up(sentence: PlanSentence) -> str:
    if not sentence.lead:
        return sentence.rest
    return f"[{'yellow' if sentence.warning else 'bold'}]{sentence.lead}[/]{sentence.rest}"
