"""The command `plan` for profiles of classifiers: a cascade of models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.cli.console import (
    Force,
    check_out,
    command_words,
    out,
    paragraph_help,
    print_next_step,
)
from gateway.cli.plan_options import BoundKind, Delta, HeldOut, Take, held_out_share
from gateway.config.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from gateway.quality.class_plan import ClassPlan

ObjectiveName = Literal["price", "time", "compute"]
"""As in `thresholds.classification.sample`, which takes long to import."""


def plan_classes(
    context: typer.Context,
    profile: Annotated[
        Path, typer.Argument(help="The folder of a profile of labels, by several models.")
    ],
    max_drop: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Lose at most so much of the accuracy …"),
    ] = None,
    save: Annotated[
        float | None, typer.Option(min=0, max=1, help="… or save so large a share of the cost.")
    ] = None,
    take: Take = None,
    objective: Annotated[
        ObjectiveName | None,
        typer.Option(
            help="The cost: price (USD), time (of this machine, measured) or compute (FLOPs). By "
            "default price where any stage has one, else time."
        ),
    ] = None,
    most_stages: Annotated[
        int, typer.Option(min=1, max=4, help="The most models that a photo may go through.")
    ] = 3,
    delta: Delta = 0.1,
    bound: Annotated[
        BoundKind,
        typer.Option(
            help="What a promise is made by: bootstrap is sharp, and for some hundred photos; "
            "exact (Clopper, Pearson) holds for any number."
        ),
    ] = "bootstrap",
    held_out: HeldOut = None,
    seed: Annotated[int, typer.Option(help="How photos are split.")] = 0,
    out_file: Annotated[Path, typer.Option("--out", help="The cascade file to write.")] = Path(
        "cascade.json"
    ),
    page: Annotated[
        Path | None,
        typer.Option(
            "--report", help="A page to write: what to do, the front, and maps over thresholds."
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Find the cheapest cascade of models for an accuracy, over a profile's stored answers: nobody
    is asked, nothing is paid.

    A photo goes on to the next model while the best label of the last scores too little, or, where
    that is enough, until two models agree. All orders are tried, at all thresholds.
    """
    from gateway.quality import class_plan
    from gateway.quality.report.page import need
    from thresholds.classification.selection import ClassGoal

    if (max_drop is not None) + (save is not None) != 1 and (take is None or save is not None):
        raise ConfigError("give one of --max-drop and --save, or --take and the number of a row")
    check_out(out_file, force=force)
    if page is not None:
        need("matplotlib")
    options = class_plan.ClassPlanOptions(
        ClassGoal(max_drop, save, delta, bound),
        objective,
        take,
        held_out_share(held_out, bound, delta),
        seed,
        most_stages,
    )
    plan = class_plan.plan(profile, options)
    out.print(*_tables(plan))
    out.print(class_plan.conclusion(plan))
    plan.save(out_file)
    out.print(f"wrote {out_file}")
    unfit = {"force", "delta"} | ({"max_drop"} if delta >= 1 else set())
    words = command_words(context, leave_out=unfit)
    print_next_step(class_plan.next_step(plan, out_file, words), out)
    if page is not None:
        from gateway.quality.report import class_plan as report

        out.print(f"page: [bold]{report.show(plan, page)}[/]")


app = typer.Typer(add_completion=False)
app.command()(paragraph_help(plan_classes))


def _tables(plan: ClassPlan) -> Iterator[Table]:
    """Each stage alone, and the front with the selected row in bold."""
    from gateway.quality import class_plan

    alone = _table(f"each alone; {class_plan.measure(plan)} of {len(plan.sample.photos)} photos")
    for row in class_plan.single_rows(plan):
        alone.add_row("", *row, style="dim")
    yield alone
    rows, count = class_plan.front_rows(plan), len(plan.explored.front)
    front = _table(f"the front ({len(rows)} of {count} rows)")
    front.caption = (
        "(0.800): goes on below; = : enough if it agrees with the one before; --take ROW"
    )
    for number, point in rows:
        style = "bold" if point == plan.point else None
        front.add_row(str(number), *class_plan.cells(plan, point), style=style)
    yield front


def _table(title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from gateway.quality import class_plan

    table = Table(title=title, box=SIMPLE_HEAD)
    for column in class_plan.COLUMNS:
        is_text = column == "cascade"
        table.add_column(column, justify="left" if is_text else "right", overflow="fold")
    return table
