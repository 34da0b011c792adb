"""A demo on the console."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import TimeElapsedColumn
from rich.table import Table

from gateway.cli.progress import Bars
from gateway.demo.plans import DemoPlan
from gateway.demo.report import Summary
from gateway.demo.result import shapes_of, summary_of, write_page
from gateway.demo.run import DemoRun, prepare, run


def run_demo(plan: DemoPlan, folder: Path, console: Console) -> Path:
    """Runs the plan, prints its result, and writes pictures and page into the folder; the page's
    path. Raises ConfigError where a package is missing."""
    prepare(folder)
    console.print(
        f"\n[bold]{plan.task}[/]: {len(plan.shots)} pictures, {plan.clients} clients, "
        f"cells of {plan.stages[0]['shape']}; starting the gateway …"
    )
    result = run(plan, folder, Bars(console, TimeElapsedColumn))
    console.print(_table(result))
    summary = summary_of(result)
    _print_summary(summary, console)
    return write_page(result, summary, folder)


def _table(result: DemoRun) -> Table:
    """A row a reply."""
    table = Table(title="Who asked for what, and its share of the bill in images", expand=True)
    for column, width in (("client", 9), ("picture", 15), ("shapes", 12), ("share", 5)):
        table.add_column(column, width=width, overflow="ellipsis", no_wrap=True)
    table.add_column("answer", ratio=1, overflow="ellipsis", no_wrap=True)
    for reply in result.replies:
        share = result.outcomes[reply.shot.data].share
        shapes, texts = shapes_of(reply, result), ", ".join(reply.texts)
        table.add_row(reply.client, reply.shot.name, shapes, f"{share:.3f}", texts)
    return table


def _print_summary(summary: Summary, console: Console) -> None:
    shapes = ", ".join(f"{count} of {shape}" for shape, count in sorted(summary.shapes.items()))
    console.print(
        f"[bold green]{summary.billed} images billed for {summary.photos} pictures[/], "
        f"{summary.saved:.0%} saved  ({shapes}; {summary.asked_again} asked again)\n"
        f"{summary.quality}  {summary.seconds:.1f} s in all."
    )
