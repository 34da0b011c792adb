"""Evaluations on the console."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

if TYPE_CHECKING:
    from gateway.quality.evaluate.remote import QualityResult
    from gateway.quality.evaluate.scores import ScoreTable, Strategy
    from gateway.quality.evaluate.stored import Replay


def score_table(scores: ScoreTable) -> Table:
    """The seed paper's table (EECS-2023-182, section 4): inferences a photo, saved, precision and
    its change against the first row.

    Without ground truth there is only agreement. It fits 80 columns.
    """
    base = scores.rows[0].precision
    title = scores.title + ("" if base else ", no ground truth")
    table = Table(title=title, box=SIMPLE_HEAD, caption=scores.caption)
    table.add_column("strategy", overflow="fold")
    precision_columns = ("AP50", "change", "mAP", "change") if base else ()
    for column in ("images", "saved", *precision_columns, "agrees"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in scores.rows:
        cells = [row.name, f"{row.images:.3f}", f"{1 - row.images:.1%}"]
        for figure, base_figure in zip(row.precision or (), base or (), strict=True):
            cells += [f"{figure:.3f}", f"{figure - base_figure:+.3f}"]
        table.add_row(*cells, f"{row.agrees:.3f}")
    return table


def paths_table(strategies: Sequence[Strategy], replays: Sequence[Replay]) -> Table:
    """The share of photos by path, the commonest first, for cascades of several stages."""
    table = Table(title="the stages that photos went through", box=SIMPLE_HEAD)
    table.add_column("cascade", overflow="fold")
    table.add_column("asked at", overflow="fold")
    table.add_column("photos", justify="right", no_wrap=True)
    for strategy, replay in zip(strategies, replays, strict=True):
        if len(strategy.cascade.stages) > 1:
            for number, (path, count) in enumerate(replay.paths.most_common()):
                name = strategy.name if number == 0 else ""
                share = f"{count / replay.paths.total():.1%}"
                table.add_row(name, ", ".join(map(str, path)), share)
    return table


def delay_table(results: Sequence[QualityResult]) -> Table:
    """How long clients waited for an answer, and the errors that others got instead."""
    table = Table(title="how long clients waited", box=SIMPLE_HEAD)
    table.add_column("quality")
    for column in ("answered", "p50 ms", "p99 ms"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("without an answer", overflow="fold")
    for result in results:
        waits_ms = [1000 * reply.seconds for reply in result.answered.values()]
        percentiles = ["", ""]
        if waits_ms:
            percentiles = [f"{wait_ms:.0f}" for wait_ms in np.percentile(waits_ms, [50, 99])]
        codes = Counter(reply.code for reply in result.replies.values() if reply.code)
        failures = ", ".join(f"{count} {code}" for code, count in codes.most_common())
        table.add_row(result.quality, str(len(waits_ms)), *percentiles, failures)
    return table
