"""The command `plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.console import out
from gateway.config.errors import ConfigError


def plan(
    profiles: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of profiles; of several providers or canvases, the route's own first."
        ),
    ],
    max_drop: Annotated[
        float | None, typer.Option(min=0, max=1, help="Lose at most so much of the metric …")
    ] = None,
    save: Annotated[
        float | None, typer.Option(min=0, max=1, help="… or save so large a share of the images …")
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option(min=0, help="… or spend at most so much a month.")
    ] = None,
    photos_per_month: Annotated[
        float, typer.Option(min=1, help="What prices are told for.")
    ] = 1_000_000,
    metric: Annotated[
        str | None,
        typer.Option(
            help="ap50, map, agreement (of boxes) or labels (of the sets of labels); by ground "
            "truth where there is any, which agreement never is, else by the reference look. By "
            "default ap50; agreement where there is neither."
        ),
    ] = None,
    min_score: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="For agreement and labels: the client's threshold of the score."
        ),
    ] = 0.5,
    delta: Annotated[
        float,
        typer.Option(
            min=0.001, max=1, help="How often a promise may be wrong; 1: none, estimates decide."
        ),
    ] = 0.1,
    held_out: Annotated[
        float,
        typer.Option(
            min=0.1, max=0.9, help="Share of the photos that only the promise is made from."
        ),
    ] = 0.4,
    companion: Annotated[
        bool, typer.Option(help="Fuse the companion's answers, where they were profiled.")
    ] = True,
    photos_per_second: Annotated[
        float | None,
        typer.Option(
            min=0, help="How photos come, for how full canvases become; else all are full."
        ),
    ] = None,
    max_wait_ms: Annotated[
        float, typer.Option(min=0, help="How long the route lets them wait for company.")
    ] = 150,
    seed: Annotated[
        int,
        typer.Option(
            help="Which photos are held out. Trying several until one promises enough voids the "
            "promise."
        ),
    ] = 0,
    out_file: Annotated[Path, typer.Option("--out", help="The cascade file to write.")] = Path(
        "cascade.json"
    ),
    page: Annotated[
        Path | None,
        typer.Option("--report", help="A page to write, with the front drawn and all options."),
    ] = None,
) -> None:
    """Find the cheapest cascade for a quality, over a profile's stored answers: nobody is asked,
    nothing is paid.

    It tries shapes, rules, thresholds, fusing and asking again by what a model foresees to be
    gained. The promise is statistical: some photos are held out, and what they say has a chance of
    at most --delta of being wrong.
    """
    from rich.progress import TimeElapsedColumn

    from gateway.quality.report.page import need

    need("sklearn")
    from gateway.cli.plan_table import plan_table, verdict_lines
    from gateway.cli.progress import Bars
    from gateway.quality import plan as planning
    from thresholds import cascade as cascades
    from thresholds.made_with import made_with_in
    from thresholds.plan.cost import Traffic
    from thresholds.plan.selection import Goal

    if sum(goal is not None for goal in (max_drop, save, budget_usd)) != 1:
        raise ConfigError(
            "give one of --max-drop, --save and --budget-usd: what to lose at most, or what to pay"
        )
    goal = Goal(max_drop, save, budget_usd, photos_per_month, delta)
    traffic = Traffic(photos_per_second, max_wait_ms / 1000)
    options = planning.PlanOptions(
        planning.metric_of(metric), held_out if delta < 1 else 0.0, traffic, seed, min_score
    )
    sample, floor = planning.read(profiles, companion=companion)
    explored = planning.explore(sample, floor, options, Bars(out, TimeElapsedColumn))
    result = planning.settle(explored, goal)
    out.print(plan_table(result))
    out.print(verdict_lines(result))
    made_with = made_with_in(profiles[0])
    cascades.save(result.cascade.model_copy(update={"made_with": made_with}), out_file)
    out.print(f"wrote {out_file}; use it in a route as  [bold]cascade: {out_file}[/]")
    if page is not None:
        need("matplotlib")
        from gateway.quality.report.plan import show

        out.print(f"page: [bold]{show(result, page)}[/]")
