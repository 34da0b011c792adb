"""The commands `profile` and `profile show`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    from gateway.wiring.routes import Routing

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
BOXES = "tasks with boxes"
GROUPS = "moderation and labels, in groups"
MODELS = "labels, by several models"
GRID_OPTIONS = {"shapes", "groupings", "companion"}
OPTIONS = {
    BOXES: {*GRID_OPTIONS, *BOX_OPTIONS},
    GROUPS: {*GRID_OPTIONS, "recall", "positive", "rate", "labels"},
    MODELS: {"stage", "truth", "labels", "max_drop"},
}
"""By what is profiled, the options of `profile` that not everything has."""


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
            "photos it lists are asked about. Of labels also a table (labels.csv with the columns "
            "file and label), or folders: named by their labels. Without, the answer alone counts "
            "as truth."
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
    stage: Annotated[
        list[str],
        typer.Option(
            help="Of labels: a provider to ask before the route's own, for a cascade of models; "
            "several times for several. By default, where the route's own is a local network, all "
            "local networks that serve labels."
        ),
    ] = [],
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

    from gateway.quality.errors import QuoteDeclined

    routing = read_routing(config)
    profiled = route_of(routing, route)
    kind = _kind_of(routing, profiled, by_models=bool(stage or truth))
    _check_options(context, profiled, kind)
    given = {**context.params, "photos": photos, "truth": truth, "out_dir": out_dir}
    try:
        if kind == BOXES:
            _profile_boxes(context, routing, profiled, given)
        elif kind == GROUPS:
            _profile_groups(routing, profiled, given)
        else:
            _profile_classes(routing, profiled, given)
    except QuoteDeclined:
        raise typer.Exit(1) from None


def _kind_of(routing: Routing, route: Route, *, by_models: bool) -> str:
    """What is profiled. A grid saves nothing of a network of one's own, so where such a one serves
    labels its smaller ones are tried instead."""
    from providers.detection import BOXED, Task

    if route.task in BOXED:
        return BOXES
    is_local = routing.providers[route.provider].about.in_process
    return MODELS if route.task == Task.LABELS and (by_models or is_local) else GROUPS


def _profile_boxes(
    context: typer.Context, routing: Routing, route: Route, given: Mapping[str, Any]
) -> None:
    """Profiles grids of a task with boxes, and writes the cascades of the seed's rule."""
    from gateway.cli.profile_runs import default_cascade, print_cascade, run_profile
    from gateway.quality.next_step import after_profile
    from gateway.quality.profile import ProfileOptions, parse_shapes

    options = ProfileOptions(
        parse_shapes(given["shapes"] or SHAPES),
        given["groupings"],
        given["floor"],
        given["companion"],
        given["probe"],
        given["reference"],
        tuple(command_words(context, leave_out={"yes", "probe", "max_drop"})),
    )
    cascades = list(map(parse_shapes, given["cascade"])) or [default_cascade(options.shapes)]
    result = run_profile(
        routing,
        route,
        (given["photos"], given["truth"]),
        options,
        folder=given["out_dir"],
        max_drop=given["max_drop"],
        confirmed=given["yes"],
        console=out,
    )
    result.save()
    for shapes in cascades:
        spread = {"factor": given["factor"], "deviations": given["deviations"]}
        print_cascade(result.write_cascade(shapes, **spread), out)
    print_next_step(after_profile(given["out_dir"], given["max_drop"]), out)


def _profile_groups(routing: Routing, route: Route, given: Mapping[str, Any]) -> None:
    """Profiles groups of a task that judges a whole picture, and writes their cascade."""
    from gateway.cli.profile_runs import run_group_profile
    from gateway.quality.profile import parse_shapes
    from gateway.quality.profile_groups import GroupProfileOptions

    options = GroupProfileOptions(
        parse_shapes(given["shapes"] or GROUP_SHAPES),
        given["groupings"],
        given["recall"],
        given["rate"],
        given["positive"],
        _label_names(given["labels"]),
        given["companion"],
    )
    run_group_profile(
        routing,
        route,
        given["photos"],
        options,
        folder=given["out_dir"],
        confirmed=given["yes"],
        console=out,
    )


def _profile_classes(routing: Routing, route: Route, given: Mapping[str, Any]) -> None:
    """Profiles several models of labels, for a cascade of them."""
    from gateway.cli.profile_runs import run_class_profile
    from gateway.quality.next_step import after_profile
    from gateway.quality.profile_classes import ClassProfileOptions

    run_class_profile(
        routing,
        route,
        (given["photos"], given["truth"]),
        ClassProfileOptions(tuple(given["stage"]), _label_names(given["labels"])),
        folder=given["out_dir"],
        confirmed=given["yes"],
        console=out,
    )
    print_next_step(after_profile(given["out_dir"], given["max_drop"]), out)


def _label_names(text: str) -> tuple[str, ...]:
    """The labels of a list with commas."""
    return tuple(label.strip() for label in text.split(",") if label.strip())


def _check_options(context: typer.Context, route: Route, kind: str) -> None:
    """Raises ConfigError for options that are of something else than what is profiled."""
    misplaced = []
    for name in sorted(set().union(*OPTIONS.values()) - OPTIONS[kind]):
        source = context.get_parameter_source(name)
        if source and source.name == "COMMANDLINE":
            misplaced.append(name)
    if misplaced:
        kinds = [each for each, names in OPTIONS.items() if misplaced[0] in names]
        options = ", ".join(f"--{name.replace('_', '-')}" for name in misplaced)
        raise ConfigError(
            f"{options}: of {' or '.join(kinds)}, and route {route.name} is of task {route.task}, "
            f"profiled as {kind}; leave {'it' if len(misplaced) == 1 else 'them'} out"
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
