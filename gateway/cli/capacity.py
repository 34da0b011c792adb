"""The command `capacity`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from gateway.cli.console import err, out
from gateway.config.errors import ConfigError

if TYPE_CHECKING:
    from gateway.quality.capacity_plan import CapacityPlan
    from thresholds.plan.devices import PhotoSource


class _Demand(NamedTuple):
    """The photos (None for as many as can be), the deadline, the network, and what is decoded."""

    photos: int | None
    deadline_s: float
    model: str | None
    source: PhotoSource | None


def capacity(
    deadline: Annotated[
        float, typer.Option(min=0.001, max=1e9, help="The seconds T by which all photos are done.")
    ],
    images: Annotated[
        int | None,
        typer.Option(min=1, help="The photos to do; else as many as can be by the deadline."),
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="The devices there are, equal to the measured ones; by default the machine's "
            "own. Those of a CPU are its workers.",
        ),
    ] = None,
    calibration: Annotated[
        Path, typer.Option(help="What the machine measured, as `imgrid calibrate` writes it.")
    ] = Path("machine.json"),
    machines: Annotated[
        Path | None,
        typer.Option(help="Kinds of machines with prices and counts (YAML), instead."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[@WxH[@EXECUTION]]",
            help="The network to run, if there are several, such as yolox_nano@416x416.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT@WxH",
            help="The photos to decode, such as jpeg@1920x1080; else decoding is not counted.",
        ),
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the schedule there.")
    ] = None,
) -> None:
    """Find the fewest devices, or the cheapest machines, that do so many photos by a deadline.

    It goes by measured latencies: of every mini-batch size, and of the first one after a start.
    """
    from rich.markup import escape

    from gateway.quality.capacity_plan import DeadlineMissed, summary
    from gateway.quality.report.page import need

    if machines is not None:
        if gpus is not None:
            raise ConfigError("--gpus does not go with --machines, whose kinds have counts")
        need("scipy")
    if chart is not None:
        need("matplotlib")
    demand = _Demand(images, deadline, model, _source(source))
    try:
        if machines is None:
            plan = _device_plan(calibration, gpus, demand)
        else:
            plan = _machine_plan(machines, demand)
    except DeadlineMissed as error:
        err.print(f"[bold red]imgrid:[/] {escape(str(error))}")
        raise typer.Exit(1) from None
    _print(plan)
    for sentence in summary(plan):
        out.print(f"[bold]{sentence}[/]")
    if source is None:
        out.print("decoding is not counted; --source counts it")
    if chart is not None:
        from gateway.quality.report.gantt import write_gantt

        write_gantt(plan.schedules, deadline, chart)
        out.print(f"chart: [bold]{escape(str(chart))}[/]")


def _source(text: str | None) -> PhotoSource | None:
    from thresholds.plan.devices import PhotoSource

    if text is None:
        return None
    parts = re.fullmatch(r"(\w+)@(\d+)x(\d+)", text)
    if parts is None:
        raise ConfigError(f"--source {text}: write a format and a size, such as jpeg@1920x1080")
    return PhotoSource(parts[1], (int(parts[2]), int(parts[3])))


def _device_plan(calibration: Path, count: int | None, demand: _Demand) -> CapacityPlan:
    """The plan on a machine's devices, or on so many like them."""
    from gateway.quality.capacity_input import calibrated_machine, only_network
    from gateway.quality.capacity_plan import plan_devices

    machine = calibrated_machine(calibration)
    network = only_network([machine], demand.model, calibration)
    devices = machine.devices(network, demand.source, count)
    return plan_devices(devices, network, demand.photos, demand.deadline_s)


def _machine_plan(file: Path, demand: _Demand) -> CapacityPlan:
    """The plan on the kinds of machines of a file."""
    from gateway.quality import capacity_input as read
    from gateway.quality.capacity_plan import fill_machines, plan_machines

    prices = read.read_prices(file)
    machines = read.machines_of(prices, file)
    if prices.work and (demand.photos, demand.model) != (None, None):
        raise ConfigError(f"{file}: work says models and images; leave --model and --images out")
    work = read.work_of(prices, machines, file)
    if not work:
        network = read.only_network(machines, demand.model, file)
        kinds = read.priced_kinds(prices, machines, [network], demand.source)
        if demand.photos is None:
            return fill_machines(kinds, network, demand.deadline_s)
        work = {network: demand.photos}
    kinds = read.priced_kinds(prices, machines, list(work), demand.source)
    return plan_machines(kinds, work, demand.deadline_s)


def _print(plan: CapacityPlan) -> None:
    from gateway.cli.capacity_table import machine_table, schedule_table

    if plan.shares:
        out.print(machine_table(plan))
    for network, schedule in plan.schedules.items():
        out.print(schedule_table(network, schedule, plan.deadline_s))
