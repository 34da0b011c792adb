"""The command `plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.console import Force, check_out, command_words, out, print_next_step
from gateway.cli.plan_options import BoundKind, Delta, HeldOut, Take, held_out_share
from gateway.config.errors import ConfigError


def plan(
    context: typer.Context,
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
    take: Take = None,
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
    delta: Delta = 0.1,
    bound: Annotated[
        BoundKind,
        typer.Option(
            help="What a promise is made by: bootstrap is sharp, and for some hundred photos; "
            "exact holds for any number."
        ),
    ] = "bootstrap",
    held_out: HeldOut = None,
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
            help="How photos are split. Trying several until one promises enough voids the promise."
        ),
    ] = 0,
    out_file: Annotated[Path, typer.Option("--out", help="The cascade file to write.")] = Path(
        "cascade.json"
    ),
    page: Annotated[
        Path | None,
        typer.Option(
            "--report",
            help="A page to write: what to do, the front drawn, and the photos that lose most.",
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Find the cheapest cascade for a quality, over a profile's stored answers: nobody is asked,
    nothing is paid.

    It tries shapes, rules, thresholds, fusing and asking again by what a model foresees to be
    gained. The promise is statistical: it is made from each photo by a plan that has not seen it,
    and has a chance of at most --delta of being wrong.

    With --local, which has other options (imgrid plan --local --help), it finds the fastest network
    and input size of a local engine.
    """
    from rich.progress import TimeElapsedColumn

    from gateway.quality.report.page import need

    need("sklearn")
    from gateway.cli.plan_table import front_table, reference_table, sentence_lines, traffic_table
    from gateway.cli.progress import Bars
    from gateway.quality import plan_input
    from gateway.quality.next_step import PlanFiles, after_plan, shortfall
    from gateway.quality.plan_summary import verdict
    from thresholds import cascade as cascades
    from thresholds.plan import planner
    from thresholds.plan.cost import Traffic
    from thresholds.plan.selection import Goal

    _check_goal(max_drop, save, budget_usd, take)
    check_out(out_file, force=force)
    goal = Goal(max_drop, save, budget_usd, photos_per_month, delta, bound)
    traffic = Traffic(photos_per_second, max_wait_ms / 1000)
    options = planner.PlanOptions(
        plan_input.metric_of(metric),
        held_out_share(held_out, bound, delta),
        traffic,
        seed,
        min_score,
    )
    sample, floor = plan_input.read(profiles, companion=companion)
    try:
        explored = planner.explore(sample, floor, options, Bars(out, TimeElapsedColumn).stage)
        result = planner.settle(explored, goal, take)
    except planner.PlanError as error:
        raise ConfigError(str(error)) from None
    missing = shortfall(result)
    out.print(reference_table(result), front_table(result), traffic_table(result, missing))
    out.print(sentence_lines(verdict(result, missing)))
    expected = {"images": round(result.picked.point.images, 4)}
    cascades.save(result.cascade.of_profile(profiles[0]).model_copy(update=expected), out_file)
    out.print(f"wrote {out_file}; use it in a route as  [bold]cascade: {out_file}[/]")
    words = command_words(context, leave_out={"force", "delta"})
    files = PlanFiles(profiles[0], out_file, words)
    print_next_step(after_plan(result, missing, files), out)
    if page is not None:
        need("matplotlib")
        from gateway.quality.report.plan import show

        out.print(f"page: [bold]{show(result, missing, files, page)}[/]")


def _check_goal(
    max_drop: float | None, save: float | None, budget_usd: float | None, take: int | None
) -> None:
    """Raises ConfigError where there is not one goal; a row that is taken needs none."""
    count = sum(goal is not None for goal in (max_drop, save, budget_usd))
    if count > 1 or (count == 0 and take is None):
        raise ConfigError(
            "give one of --max-drop, --save and --budget-usd: what to lose at most, or what to "
            "pay; or --take and the number of a row"
        )
