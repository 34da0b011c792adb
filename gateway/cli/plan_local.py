"""The command `plan --local`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.calibrate import SIZES, InputSizes, LocalProviders, models_of, parsed_sizes
from gateway.cli.console import ConfigFile, Force, check_out, out, paragraph_help, read
from gateway.config.defaults import DEFAULT_FILE
from gateway.config.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from gateway.quality.collect.photos import LabelledPhotos
    from gateway.quality.engine_plan import EngineStudy, Variant
    from gateway.quality.progress import Progress
    from thresholds.plan.engine_plan import EngineGoal, EnginePoint


def plan_local(
    config: ConfigFile = DEFAULT_FILE,
    photos: Annotated[
        list[Path] | None, typer.Option(help="A folder with photos of yours; may be repeated.")
    ] = None,
    truths: Annotated[
        list[Path] | None,
        typer.Option("--truth", help="Their ground truth (COCO), one for each folder."),
    ] = None,
    providers: LocalProviders = None,
    sizes: InputSizes = SIZES,
    machine: Annotated[
        Path | None,
        typer.Option(help="Plan for the machine of this profile, of `imgrid calibrate` there."),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Lose at most so much AP50 against the best …"),
    ] = None,
    min_quality: Annotated[
        float | None, typer.Option(min=0, max=1, help="… or reach this AP50 …")
    ] = None,
    min_photos_per_s: Annotated[float | None, typer.Option(min=0, help="… or be so fast …")] = None,
    deadline_ms: Annotated[
        float | None, typer.Option(min=0, help="… or answer a photo in so long.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--report", help="A page to write, with the front drawn.")
    ] = None,
    out_file: Annotated[
        Path, typer.Option("--out", help="The provider's settings to write (YAML).")
    ] = Path("engine.yaml"),
    force: Force = False,
) -> None:
    """Find which network at which input size answers your photos well enough, and the fastest on
    this machine. Nothing is paid.

    Every network of kind onnx answers all photos at every size, padded and in the photos' own
    proportions, and is timed with all cores busy. AP50 is by --truth; without it by what the
    dearest variant detects on the photos mirrored and a little smaller.
    """
    from rich.progress import TimeElapsedColumn

    from gateway.cli.progress import Bars
    from gateway.quality import engine_plan
    from gateway.quality.report.page import need
    from providers.engine.machine import MachineProfile
    from providers.errors import Misconfigured

    _check(photos, out_file, [max_drop, min_quality, min_photos_per_s, deadline_ms], force=force)
    if page is not None:
        need("matplotlib")
    bars = Bars(out, TimeElapsedColumn)
    sample = _sample(photos or [], truths or [], bars)
    try:
        profile = MachineProfile.load(machine) if machine else None
        study = engine_plan.study(
            models_of(read(config), config, providers or []),
            sample,
            parsed_sizes(sizes),
            bars,
            profile,
        )
    except (Misconfigured, ValueError) as error:
        raise ConfigError(str(error)) from None
    goal = _goal(study, max_drop, min_quality, min_photos_per_s, deadline_ms)
    point = study.plan.best(goal)
    out.print(front_table(study, point))
    if point is None:
        raise ConfigError("no row reaches the goal; the table has what there is")
    variant = study.variants[point]
    rate = study.plan.rate(point)
    if machine is None:
        measured = engine_plan.measured_photos_per_s(variant, sample.photos)
        out.print(f"measured in a provider: {measured:.1f} photos/s, foreseen {rate:.1f}")
    out_file.write_text(settings_yaml(variant, point))
    out.print(f"wrote {out_file}: the provider's settings, to put into {config}")
    if page is not None:
        from gateway.quality.report import engine_plan as report

        out.print(f"page: [bold]{report.show(study, point, page)}[/]")


app = typer.Typer(add_completion=False)
app.command()(paragraph_help(plan_local))


def _check(
    photos: list[Path] | None, out_file: Path, goals: list[float | None], *, force: bool
) -> None:
    """Raises ConfigError before any work is done."""
    if not photos:
        raise ConfigError("--photos: name a folder with photos like those that will come")
    if sum(goal is not None for goal in goals) != 1:
        raise ConfigError(
            "give one of --max-drop, --min-quality, --min-photos-per-s and --deadline-ms"
        )
    check_out(out_file, force=force)


def _sample(photos: list[Path], truths: list[Path], progress: Progress) -> LabelledPhotos:
    """The photos that can be decoded. Raises ConfigError where there are none."""
    from gateway.quality.calibration import decodable
    from gateway.quality.collect.photos import read_photos

    sample = read_photos(photos, truths)
    whole = decodable(sample.photos, sample.files, progress)
    if not whole:
        raise ConfigError(f"--photos {photos[0]}: none of its photos can be decoded")
    known = {key: truth for key, truth in sample.known.items() if key in whole}
    return replace(sample, photos=whole, known=known)


def _goal(
    study: EngineStudy,
    max_drop: float | None,
    min_quality: float | None,
    min_photos_per_s: float | None,
    deadline_ms: float | None,
) -> EngineGoal:
    from thresholds.plan.engine_plan import EngineGoal

    if max_drop is not None:
        min_quality = max(point.quality for point in study.plan.points) - max_drop
    deadline_s = None if deadline_ms is None else deadline_ms / 1000
    return EngineGoal(min_quality, min_photos_per_s, deadline_s)


def front_table(study: EngineStudy, taken: EnginePoint | None) -> Table:
    """All points by their photos/s, those of the front marked, the one that is taken in bold."""
    from rich.table import Table

    from gateway.quality.report.engine_rows import COLUMNS, rows_of

    source = "ground truth" if study.has_truth else "the reference look"
    table = Table(
        title=f"{study.photos} photos, AP50 by {source}; * nothing is faster and better",
        title_justify="left",
    )
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in COLUMNS[:2] else "right")
    for point, row in rows_of(study.plan):
        table.add_row(*row, style="bold" if point is taken else None)
    return table


def settings_yaml(variant: Variant, point: EnginePoint) -> str:
    """The provider's settings as YAML."""
    import yaml

    width, height = variant.input_px
    settings = variant.model.options.model_dump(mode="json", exclude_unset=True)
    settings |= {"input_size": f"{width}x{height}", "rectangular": variant.rectangular}
    if point.mini_batch > 1:
        settings["mini_batch"] = point.mini_batch
    return yaml.safe_dump({variant.model.name: settings}, sort_keys=False)
