"""A plan on the console: the front, and what was selected from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from gateway.quality.plan import Plan
from gateway.quality.plan_summary import PlanSentence, cells, metric_name, verdict
from thresholds.plan.candidates import OperatingPoint
from thresholds.plan.selection import held_out_photos
from thresholds.plan.study import Study

MOST_ROWS = 16


def plan_table(plan: Plan) -> Table:
    """The references and the front, thinned out. It fits 80 columns."""
    explored, picked = plan.explored, plan.picked.point
    table = Table(title=_title(explored.study), box=SIMPLE_HEAD)
    table.add_column("cascade", overflow="fold")
    for column in ("images", "saved", metric_name(plan), "change"):
        table.add_column(column, justify="right", no_wrap=True)
    for point in explored.references:
        table.add_row(*cells(point), style="dim")
    table.add_section()
    for point in _thinned(explored.front, picked):
        table.add_row(*cells(point), style="bold" if point is picked else None)
    return table


def _title(study: Study) -> str:
    fit, held_out = len(study.training.photos), len(held_out_photos(study))
    return f"estimated on {fit} photos, cross-fitted" + (
        f"; {held_out} held out" if held_out else ""
    )


def _thinned(points: Sequence[OperatingPoint], picked: OperatingPoint) -> list[OperatingPoint]:
    """At most `MOST_ROWS` points, evenly spaced by cost, with both ends, and the selected one."""
    if len(points) <= MOST_ROWS:
        return list(points)
    costs = np.array([point.images for point in points])
    indices = {index for index, point in enumerate(points) if point is picked}
    for cost in np.linspace(costs[0], costs[-1], MOST_ROWS):
        indices.add(int(np.abs(costs - cost).argmin()))
    return [points[index] for index in sorted(indices)]


def verdict_lines(plan: Plan) -> str:
    """The sentences on what was selected, one a line, with rich's markup."""
    return "\n".join(map(_marked_up, verdict(plan)))


def _marked_up(sentence: PlanSentence) -> str:
    if not sentence.lead:
        return sentence.rest
    return f"[{'yellow' if sentence.warning else 'bold'}]{sentence.lead}[/]{sentence.rest}"
