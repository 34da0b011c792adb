"""The demo of the local engine on the console."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import TimeElapsedColumn
from rich.table import Table

from gateway.cli.calibrate import network_table, preparation_table
from gateway.cli.progress import Bars
from gateway.config.errors import ConfigError
from gateway.core.limits import PhotoLimits
from gateway.core.model import Photo
from gateway.demo.local import MACHINE_FILE, foreseen_photos_per_s
from gateway.demo.local_page import (
    SpeedSummary,
    first_replies,
    speed_page,
    speed_summary,
)
from gateway.demo.plans import DemoPlan
from gateway.demo.run import PROVIDER, DemoRun, prepare, run
from gateway.intake.admission import admit
from gateway.quality import calibration
from gateway.quality.progress import Progress
from providers import onnx
from providers.base import Limits
from providers.engine.machine import MachineProfile
from providers.errors import Misconfigured

CALIBRATION = calibration.CalibrationOptions(sizes=(), mini_batches=(1,), seconds=0.2)
"""What is measured: the network has one input size, and a CPU gains nothing by mini-batches."""


def run_local_demo(plan: DemoPlan, folder: Path, console: Console) -> Path:
    """Measures this machine, runs the plan as that says, prints answers and photos a second, and
    writes the page into the folder; its path. Raises ConfigError where a package is missing, or the
    network cannot be loaded."""
    prepare(folder)
    console.print("\n[bold]moderation by a network here[/]: measuring this machine …")
    progress = Bars(console, TimeElapsedColumn)
    profile = _calibrated(plan, folder, progress)
    profile.save(folder / MACHINE_FILE)
    console.print(network_table(profile), preparation_table(profile))
    plan = replace(plan, provider={**plan.provider, "machine": MACHINE_FILE})
    console.print(f"\n{len(plan.shots)} pictures, {plan.clients} clients; starting the gateway …")
    result = run(plan, folder, progress)
    cores = f"{profile.machine.cores} cores of {profile.machine.cpu}"
    summary = speed_summary(result, foreseen_photos_per_s(profile), cores)
    console.print(_table(result))
    _print_summary(summary, console)
    file = folder / "index.html"
    file.write_text(speed_page(summary, first_replies(result)), "utf-8")
    return file


def _calibrated(plan: DemoPlan, folder: Path, progress: Progress) -> MachineProfile:
    options = onnx.Options.model_validate(plan.provider)
    models = [calibration.LocalModel(PROVIDER, options, folder.resolve())]
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        return calibration.calibrate(models, _photos(plan), CALIBRATION, made_at, progress)
    except Misconfigured as error:
        raise ConfigError(str(error)) from None


def _photos(plan: DemoPlan) -> list[Photo]:
    """Each of the plan's pictures once."""
    data = {shot.name: shot.data for shot in plan.shots}
    return [
        admit(name, jpeg, Limits(formats=frozenset({"JPEG"})), PhotoLimits())
        for name, jpeg in data.items()
    ]


def _table(result: DemoRun) -> Table:
    """A row for the first reply about each photo."""
    table = Table(title="The first answer to each photo", title_justify="left")
    table.add_column("photo")
    table.add_column("answer")
    table.add_column("ms", justify="right")
    for reply in first_replies(result):
        answer = ", ".join(reply.texts) or "nothing"
        table.add_row(reply.shot.name, answer, f"{1000 * reply.seconds:.0f}")
    return table


def _print_summary(summary: SpeedSummary, console: Console) -> None:
    answers = summary.photos - summary.failures
    console.print(
        f"[bold green]{summary.photos_per_s:.1f} photos/s through the gateway[/] with "
        f"{summary.clients} clients, {summary.share:.0%} of the {summary.foreseen_per_s:.1f} that "
        "calibration foresees for decoding and network alone; gateway and clients share the "
        f"cores.\n{answers} of {summary.photos} photos were answered. Half of the answers took "
        f"{summary.p50_ms:.0f} ms or less; {summary.seconds:.1f} s in all."
    )
