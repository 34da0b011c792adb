"""The command `calibrate`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.console import ConfigFile, Force, check_out, out, read
from gateway.config.defaults import DEFAULT_FILE
from gateway.config.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from gateway.config.settings import Settings
    from gateway.core.model import Photo
    from gateway.quality.calibration import LocalModel
    from gateway.quality.progress import Progress
    from providers.engine.machine import MachineProfile
    from providers.options import Canvas

SIZES = "320,416,512,576,640"
MINI_BATCHES = "1,2,4,8"
LocalProviders = Annotated[
    list[str] | None,
    typer.Option("--provider", help="A provider of kind onnx; by default all of them."),
]
InputSizes = Annotated[
    str, typer.Option(help="Inputs of networks with free sides: 320 is 320x320, or 640x480, …")
]


def calibrate(
    config: ConfigFile = DEFAULT_FILE,
    providers: LocalProviders = None,
    sizes: InputSizes = SIZES,
    mini_batches: Annotated[
        str, typer.Option(help="Pictures that go through the network together.")
    ] = MINI_BATCHES,
    photos: Annotated[
        Path | None,
        typer.Option(help="A folder with photos of yours; by default drawn ones of two sizes."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.05, help="How long each measurement takes.")
    ] = 1.0,
    chart: Annotated[
        Path | None, typer.Option(help="A PNG to draw: latency, first run and memory.")
    ] = None,
    out_file: Annotated[Path, typer.Option("--out", help="The machine profile to write.")] = Path(
        "machine.json"
    ),
    force: Force = False,
) -> None:
    """Measure this machine, in about a minute: how long each network of the configuration takes, by
    input size and mini-batch, and how long photos take to decode and resize.

    All cores are kept busy meanwhile, as they are in service, so leave the machine alone. The file
    is what a provider's `machine` reads, and `imgrid plan --local` and `imgrid capacity`.
    """
    from rich.progress import TimeElapsedColumn

    from gateway.cli.progress import Bars
    from gateway.quality import calibration
    from gateway.quality.report.page import need
    from providers.errors import Misconfigured

    check_out(out_file, force=force)
    if chart is not None:
        need("matplotlib")
    options = calibration.CalibrationOptions(
        parsed_sizes(sizes), _numbers("--mini-batches", mini_batches), seconds
    )
    models = models_of(read(config), config, providers or [])
    bars = Bars(out, TimeElapsedColumn)
    sample = _photos_of(photos, bars) if photos else calibration.drawn_photos()
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        profile = calibration.calibrate(models, sample, options, made_at, bars)
    except Misconfigured as error:
        raise ConfigError(f"{config}: {error}") from None
    out.print(network_table(profile), factor_table(profile), preparation_table(profile))
    profile.save(out_file)
    out.print(
        f"wrote {out_file}; name it in a provider as  [bold]machine: {out_file}[/]  and it runs "
        "as it was the fastest"
    )
    if chart is not None:
        from gateway.quality.report.machine import machine_figure

        machine_figure(profile).savefig(chart, dpi=120)
        out.print(f"drawing: [bold]{chart}[/]")


def models_of(settings: Settings, config: Path, names: list[str]) -> list[LocalModel]:
    """The providers of kind onnx by these names, or all. Raises ConfigError where there is none, or
    one of the names is of another kind."""
    from gateway.config.settings import options_of
    from gateway.quality.calibration import LocalModel
    from providers import onnx

    local = [name for name, each in settings.providers.items() if each.get("kind") == "onnx"]
    for name in names:
        if name not in local:
            known = ", ".join(local) or "none"
            raise ConfigError(
                f"--provider {name}: {config} has no such provider of kind onnx; it has {known}"
            )
    if not local:
        raise ConfigError(
            f"{config}: has no provider of kind onnx, the only one that runs networks here; write "
            "one with: imgrid config example --provider onnx"
        )
    models: list[LocalModel] = []
    for name in names or local:
        options = options_of(settings, name, config)
        assert isinstance(options, onnx.Options)
        models.append(LocalModel(name, options, config.resolve().parent))
    return models


def parsed_sizes(text: str) -> list[Canvas]:
    """The sizes of a list such as "320,640x480". Raises ConfigError."""
    from providers.engine.detector import CELL_PX
    from providers.options import parse_size

    sizes: list[Canvas] = []
    for part in text.split(","):
        word = part.strip()
        try:
            size = parse_size(word if "x" in word else f"{word}x{word}")
        except ValueError as error:
            raise ConfigError(f"--sizes: {error}") from None
        if any(side % CELL_PX or side < CELL_PX for side in size):
            raise ConfigError(f"--sizes: {word}: sides of inputs are multiples of {CELL_PX}")
        sizes.append(size)
    return sizes


def _numbers(option: str, text: str) -> list[int]:
    try:
        numbers = sorted({int(part) for part in text.split(",")})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1:
        raise ConfigError(f"{option}: {text!r} is no list of numbers from 1 on, such as 1,2,4")
    return numbers


def _photos_of(folder: Path, progress: Progress) -> list[Photo]:
    """The photos of a folder. Raises ConfigError where none can be decoded."""
    from gateway.quality.calibration import decodable
    from gateway.quality.collect.photos import read_photos

    sample = read_photos([folder], [])
    photos = list(decodable(sample.photos, sample.files, progress).values())
    if not photos:
        raise ConfigError(f"--photos {folder}: none of its photos can be decoded")
    return photos


def network_table(profile: MachineProfile) -> Table:
    """The runs of each network, the fastest of a model and size in bold."""
    from rich.table import Table

    machine = profile.machine
    table = Table(title=f"networks on {machine.cores} cores of {machine.cpu}", title_justify="left")
    table.add_column("model")
    for column in ("input", "workers x threads", "mini-batch", "L ms", "W ms", "MB", "photos/s"):
        table.add_column(column, justify="right")
    for speed in profile.networks:
        best = profile.nearest_speed(speed.model, speed.input_px)
        for run in speed.runs:
            is_best = speed is best and run is speed.fastest
            table.add_row(
                speed.model,
                f"{speed.input_px[0]}x{speed.input_px[1]}",
                f"{speed.workers} x {speed.threads}",
                str(run.mini_batch),
                f"{1e3 * run.latency_s:.1f}",
                f"{1e3 * run.warm_up_s:.1f}",
                f"{run.memory_mb:.0f}",
                f"{speed.photos_per_s(run):.1f}",
                style="bold" if is_best else None,
            )
    return table


def factor_table(profile: MachineProfile) -> Table:
    """What decides the first run and the memory: the input's size, the mini-batch, and whether the
    process has run the network before."""
    from rich.table import Table

    table = Table(title="what decides the first run and the memory", title_justify="left")
    table.add_column("model")
    columns = ("input", "load ms", "W / L cold", "W / L warm", "MB of one", "MB a further photo")
    for column in columns:
        table.add_column(column, justify="right")
    for speed in profile.networks:
        first, last = speed.runs[0], speed.runs[-1]
        further = last.mini_batch - first.mini_batch
        growth = f"{(last.memory_mb - first.memory_mb) / further:.1f}" if further else ""
        table.add_row(
            speed.model,
            f"{speed.input_px[0]}x{speed.input_px[1]}, {speed.workers} x {speed.threads}",
            f"{1e3 * speed.load_s:.0f}",
            f"{first.warm_up_s / first.latency_s:.1f}",
            f"{first.warm_start_s / first.latency_s:.1f}",
            f"{first.memory_mb:.0f}",
            growth,
        )
    return table


def preparation_table(profile: MachineProfile) -> Table:
    """How long photos take to decode and resize, by format, size and input."""
    from rich.table import Table

    table = Table(title="decoding, resizing and normalising", title_justify="left")
    for column in ("format", "photo", "input", "ms", "photos/s"):
        table.add_column(column, justify="left" if column == "format" else "right")
    for each in profile.preparations:
        table.add_row(
            each.format,
            f"{each.source_px[0]}x{each.source_px[1]}",
            f"{each.input_px[0]}x{each.input_px[1]}",
            f"{1e3 * each.photo_s:.1f}",
            f"{each.workers / each.photo_s:.1f}",
        )
    return table
