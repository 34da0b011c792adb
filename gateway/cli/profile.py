"""The commands `profile` and `profile show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.console import (
    ConfigFile,
    Yes,
    command_words,
    out,
    paragraph_help,
    print_next_step,
    read_routing,
    route_of,
)
from gateway.config.defaults import DEFAULT_DROP, DEFAULT_FILE
from gateway.config.errors import ConfigError

if TYPE_CHECKING:
    from gateway.core.model import Route

app = typer.Typer(invoke_without_command=True)

SHAPES = "1x1,2x1,2x2,3x2,3x3,4x3,4x4,5x5"
GROUP_SHAPES = "4x3,3x3,3x2,2x2,2x1"
BOX_OPTIONS = (
    "truth",
    "reference",
    "cascade",
    "floor",
    "factor",
    "deviations",
    "probe",
    "max_drop",
)
GROUP_OPTIONS = "recall", "positive", "rate", "labels"
"""Options of `profile` that are for tasks of one kind."""


@app.callback()
@paragraph_help
def profile(
    context: typer.Context,
    photos: Annotated[
        list[Path],
        typer.Option(help="A folder of photos; may be given several times, and must be once."),
    ] = [],
    truth: Annotated[
        list[Path],
        typer.Option(
            help="Ground truth in COCO's JSON form, one for each folder of photos; only the "
            "photos it lists are asked about. Without, the answer alone counts as truth."
        ),
    ] = [],
    route: Annotated[str, typer.Option(help="The route whose provider is asked.")] = "objects",
    shapes: Annotated[
        str | None,
        typer.Option(
            help=f"Shapes to ask at, with commas; 1x1 always is. By default {SHAPES}; of whole "
            f"pictures {GROUP_SHAPES}."
        ),
    ] = None,
    cascade: Annotated[
        list[str],
        typer.Option(
            help="Shapes of a cascade to write, coarse first, with commas; several times for "
            "several. Its last shape need not be profiled. Where none is given, the coarsest of "
            "--shapes and then 1x1."
        ),
    ] = [],
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder for answers, profile and cascades.")
    ] = Path("profile"),
    groupings: Annotated[
        int,
        typer.Option(
            min=1,
            help="Random groupings at each shape but 1x1: neighbours vary. With the usual shapes "
            "3 pay for 4.6 images a photo, 2 for 3.4, 1 for 2.2.",
        ),
    ] = 3,
    companion: Annotated[
        str,
        typer.Option(
            help="A local provider to ask about each photo alone as well; its answers join the "
            "plans'. Of whole pictures they are each photo's prior."
        ),
    ] = "",
    floor: Annotated[
        float, typer.Option(min=0, max=1, help="Detections that score less do not count.")
    ] = 0.3,
    factor: Annotated[
        float, typer.Option(min=0, help="Thresholds are this times the mean …")
    ] = 1.0,
    deviations: Annotated[float, typer.Option(help="… plus this many standard deviations.")] = 0.0,
    recall: Annotated[
        float,
        typer.Option(
            min=0.5,
            max=0.9999,
            help="Of moderation and labels: the share of flagged photos to find.",
        ),
    ] = 0.99,
    positive: Annotated[
        float,
        typer.Option(min=0.01, max=1, help="… the score from which on a photo alone is flagged …"),
    ] = 0.5,
    rate: Annotated[
        float, typer.Option(min=0, max=1, help="… the share of flagged photos to expect …")
    ] = 0.02,
    labels: Annotated[
        str, typer.Option(help="… and of labels those that clients ask about, with commas.")
    ] = "",
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Ask about some of them in canvases of several sizes, too: which is enough?",
        ),
    ] = False,
    max_drop: Annotated[
        float,
        typer.Option(
            min=0.001,
            max=1,
            help="The loss that a plan is to promise: how many photos that takes is told before "
            "anything is paid.",
        ),
    ] = DEFAULT_DROP,
    reference: Annotated[
        bool | None,
        typer.Option(
            "--reference/--no-reference",
            help="Ask about each photo mirrored, too: what answers are measured by without --truth "
            "(an image a photo). By default only without --truth.",
            show_default=False,
        ),
    ] = None,
    yes: Yes = False,
    config: ConfigFile = DEFAULT_FILE,
) -> None:
    """Ask a route's provider about a sample at several shapes, and make cascades whose thresholds
    fit it.

    The price is named before it is paid. Every answer is kept: run it again to go on where it
    stopped, or with other --cascade, --factor or --deviations without paying again. `imgrid profile
    show` draws what came of it.
    """
    if context.invoked_subcommand is not None:
        return
    if not photos:
        raise typer.BadParameter("name a folder of photos", context, param_hint="--photos")

    from gateway.cli.profile_runs import (
        default_cascade,
        print_cascade,
        run_group_profile,
        run_profile,
    )
    from gateway.quality.errors import QuoteDeclined
    from gateway.quality.next_step import after_profile
    from gateway.quality.profile import ProfileOptions, parse_shapes
    from gateway.quality.profile_groups import GroupProfileOptions
    from providers.detection import BOXED

    routing = read_routing(config)
    profiled = route_of(routing, route)
    boxed = profiled.task in BOXED
    _check_options(context, profiled, boxed=boxed)
    try:
        if not boxed:
            group_options = GroupProfileOptions(
                parse_shapes(shapes or GROUP_SHAPES),
                groupings,
                recall,
                rate,
                positive,
                _label_names(labels),
                companion,
            )
            run_group_profile(
                routing,
                profiled,
                photos,
                group_options,
                folder=out_dir,
                confirmed=yes,
                console=out,
            )
            return
        options = ProfileOptions(
            parse_shapes(shapes or SHAPES),
            groupings,
            floor,
            companion,
            probe,
            reference,
            tuple(command_words(context, leave_out={"yes", "probe", "max_drop"})),
        )
        cascades = list(map(parse_shapes, cascade)) or [default_cascade(options.shapes)]
        result = run_profile(
            routing,
            profiled,
            (photos, truth),
            options,
            folder=out_dir,
            max_drop=max_drop,
            confirmed=yes,
            console=out,
        )
    except QuoteDeclined:
        raise typer.Exit(1) from None
    result.save()
    for cascade_shapes in cascades:
        file = result.write_cascade(cascade_shapes, factor=factor, deviations=deviations)
        print_cascade(file, out)
    print_next_step(after_profile(out_dir, max_drop), out)


def _label_names(text: str) -> tuple[str, ...]:
    """The labels of a list with commas."""
    return tuple(label.strip() for label in text.split(",") if label.strip())


def _check_options(context: typer.Context, route: Route, *, boxed: bool) -> None:
    """Raises ConfigError for options that the route's task has no use for."""
    misplaced = []
    for name in GROUP_OPTIONS if boxed else BOX_OPTIONS:
        source = context.get_parameter_source(name)
        if source and source.name == "COMMANDLINE":
            misplaced.append(f"--{name.replace('_', '-')}")
    if misplaced:
        kind = "moderation and labels" if boxed else "tasks with boxes"
        raise ConfigError(
            f"{', '.join(misplaced)}: of {kind}, and route {route.name} is of task {route.task}; "
            f"leave {'it' if len(misplaced) == 1 else 'them'} out"
        )


@app.command("show")
@paragraph_help
def profile_show(
    folder: Annotated[Path, typer.Argument(help="The folder of a profile: its --out.")] = Path(
        "profile"
    ),
) -> None:
    """Draw a profile: pictures (PNG) and one page that stands alone, in the profile's folder under
    report."""
    from gateway.quality.report.page import need

    need("matplotlib")
    from gateway.quality.report.profile import show

    out.print(f"pictures and page: [bold]{show(folder)}[/]")
