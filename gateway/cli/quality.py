"""The commands that measure, plan and evaluate: `profile`, `plan`, `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.api.resources.routes import RouteOut
from gateway.cli.console import KEY, ConfigFile, out, read, route_of
from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.core.model import Route
from gateway.quality import profile as profiling
from gateway.quality import profile_groups
from gateway.quality.evaluate import live, remote, score_table, stored
from gateway.quality.evaluate.score_table import Strategy
from gateway.quality.profile import ProfileOptions, parse_shapes
from gateway.quality.report import page as report
from gateway.wiring.parts import build
from providers.detection import BOXED
from thresholds import cascade as cascades
from thresholds.shape import ALONE
from thresholds.variants import ALONE_CASCADE, EXACT

app = typer.Typer()
profile_app = typer.Typer(invoke_without_command=True)
app.add_typer(profile_app, name="profile")

SHAPES = "1x1,2x1,2x2,3x2,3x3,4x3,4x4,5x5"
OF_BOXES = "truth", "cascade", "companion", "floor", "factor", "deviations", "probe"
OF_WHOLE = "recall", "positive", "rate", "labels"
"""Options of `profile` that are for tasks of one kind."""


@profile_app.callback()
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
            help=f"Shapes to ask at, with commas; 1x1 always is. By default {SHAPES}; of whole pictures "
            f"{profile_groups.SHAPES}."
        ),
    ] = None,
    cascade: Annotated[
        list[str],
        typer.Option(
            help="Shapes of a cascade to write, coarse first, with commas; several times for several. Its last shape "
            "need not be profiled. Where none is given, the coarsest of --shapes and then 1x1."
        ),
    ] = [],
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder for answers, profile and cascades.")
    ] = Path("profile"),
    groupings: Annotated[
        int,
        typer.Option(
            min=1,
            help="Random groupings at each shape but 1x1: neighbours vary. With the usual shapes 3 pay for 4.6 images "
            "a photo, 2 for 3.4, 1 for 2.2.",
        ),
    ] = 3,
    companion: Annotated[
        str,
        typer.Option(
            help="A local provider to ask about each photo alone as well; its answers join the plans'."
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
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")] = False,
    config: ConfigFile = settings.DEFAULT_FILE,
) -> None:
    """Ask a route's provider about a sample at several shapes, and make cascades whose thresholds
    fit it.

    The price is named before it is paid. Every answer is kept: run it again to go on where it stopped, or with other
    --cascade, --factor or --deviations without paying again. `imgrid profile show` draws what came of it.
    """
    if context.invoked_subcommand is not None:
        return
    if not photos:
        raise typer.BadParameter("name a folder of photos", context, param_hint="--photos")
    parts = build(read(config), config)
    named = route_of(parts, route, config)
    _check_options(context, named)
    if named.task not in BOXED:
        listed = tuple(label.strip() for label in labels.split(",") if label.strip())
        whole = profile_groups.GroupProfileOptions(
            photos,
            parse_shapes(shapes or profile_groups.SHAPES),
            groupings,
            recall,
            rate,
            positive,
            listed,
        )
        profile_groups.run(
            parts, named, whole, out_dir, console=out, confirmed=yes, config_file=config
        )
        return
    sample = ProfileOptions(
        photos, truth, parse_shapes(shapes or SHAPES), groupings, floor, companion, probe
    )
    wanted = [parse_shapes(text) for text in cascade] or [
        [max(sample.shapes, key=lambda shape: shape.cells), ALONE]
    ]
    profiling.run(
        parts, named, sample, out_dir, config_file=config, console=out, confirmed=yes
    ).write(wanted, factor=factor, deviations=deviations, console=out)


def _check_options(context: typer.Context, route: Route) -> None:
    """Raises ConfigError for options that the route's task has no use for."""
    boxed = route.task in BOXED
    given = [
        f"--{name}"
        for name in (OF_WHOLE if boxed else OF_BOXES)
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    ]
    if given:
        kind = "moderation and labels" if boxed else "tasks with boxes"
        raise ConfigError(
            f"{', '.join(given)}: of {kind}, and route {route.name} is of task {route.task}; "
            f"leave {'it' if len(given) == 1 else 'them'} out"
        )


@profile_app.command("show")
def profile_show(
    folder: Annotated[Path, typer.Argument(help="The folder of a profile: its --out.")] = Path(
        "profile"
    ),
) -> None:
    """Draw a profile: pictures (PNG) and one page that stands alone, in the profile's folder under
    report."""
    report.need("matplotlib")
    from gateway.quality.report import profile as showing

    out.print(f"pictures and page: [bold]{showing.show(folder)}[/]")


@app.command()
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
        typer.Option(help="ap50, map or agreement with 1x1; ap50 where there is ground truth."),
    ] = None,
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
            help="Which photos are held out. Trying several until one promises enough voids the promise."
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
    report.need("sklearn")
    from gateway.quality import plan as planning

    if sum(goal is not None for goal in (max_drop, save, budget_usd)) != 1:
        raise ConfigError(
            "give one of --max-drop, --save and --budget-usd: what to lose at most, or what to pay"
        )
    goal = planning.Goal(max_drop, save, budget_usd, photos_per_month, delta)
    traffic = planning.Traffic(photos_per_second, max_wait_ms / 1000)
    wish = planning.PlanOptions(
        planning.metric_of(metric), held_out if delta < 1 else 0.0, traffic, seed
    )
    sample, floor = planning.read(profiles, companion=companion)
    made = planning.settle(planning.explore(sample, floor, wish, out), goal)
    out.print(planning.table(made))
    out.print(planning.verdict(made))
    cascades.save(made.cascade, out_file)
    out.print(f"wrote {out_file}; use it in a route as  [bold]cascade: {out_file}[/]")
    if page is not None:
        report.need("matplotlib")
        from gateway.quality.report import plan as planned

        out.print(f"page: [bold]{planned.show(made, page)}[/]")


@app.command()
def evaluate(
    photos: Annotated[
        list[Path],
        typer.Option(
            help="A folder of photos; may be given several times, and must be but for --profile."
        ),
    ] = [],
    truth: Annotated[
        list[Path],
        typer.Option(
            help="Ground truth in COCO's JSON form, one for each folder of photos. Without, only agreement "
            "with the answer alone is told."
        ),
    ] = [],
    route: Annotated[
        str, typer.Option(help="The route whose provider is asked, and whose cascade is tried.")
    ] = "objects",
    cascade: Annotated[
        list[Path], typer.Option(help="Cascade files to try as well; may be given several times.")
    ] = [],
    clients: Annotated[
        int, typer.Option(min=1, help="Photos that wait for an answer at the same time.")
    ] = 64,
    profiles: Annotated[
        list[Path],
        typer.Option(
            "--profile",
            help="Go by the answers in a profile's folder and ask nobody; several times for profiles of several "
            "providers, the route's own first.",
        ),
    ] = [],
    flat: Annotated[
        bool,
        typer.Option(
            "--flat",
            help="With --profile, each profiled shape as well; without --cascade it always is.",
        ),
    ] = False,
    url: Annotated[
        str, typer.Option(help="Ask a gateway that runs there, next to its own exact.")
    ] = "",
    key: Annotated[
        str, typer.Option(envvar=KEY, help="With --url, the key of one of its tenants.")
    ] = "",
    quality: Annotated[
        list[str],
        typer.Option(help="With --url: exact, target or cheapest; may be given several times."),
    ] = ["target"],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")] = False,
    config: ConfigFile = settings.DEFAULT_FILE,
) -> None:
    """Try cascades on photos: what each costs, and what it loses against asking about every photo
    alone.

    The photos go through a gateway's own flow in this process, in canvases of their own; a running
    gateway is not touched. With --url they go through a running one, and with --profile nobody is
    asked at all. The price is named before it is paid.
    """
    if profiles:
        if photos or truth or url:
            raise ConfigError(
                "--profile has photos and answers of its own: leave out --photos, --truth and --url"
            )
        return _replay(profiles, cascade, flat=flat or not cascade)
    if not photos:
        raise typer.BadParameter("name a folder of photos, or a --profile", param_hint="--photos")
    if not url:
        sample = live.read_sample(photos, truth, out)
        return _evaluate(sample, route, cascade, clients=clients, yes=yes, config=config)
    if cascade:
        raise ConfigError(
            "--url: the gateway there goes by its own cascades: leave out --cascade, or --url"
        )
    remote.check(quality)
    place = remote.GatewayAddress(url, key)
    serving = remote.route_of(place, route)
    sample = live.read_sample(photos, truth, out)
    return _visit(place, serving, sample, [EXACT, *quality], clients=clients, yes=yes)


def _replay(profiles: list[Path], files: list[Path], *, flat: bool) -> None:
    sample = stored.read(profiles)
    wanted = stored.strategies(sample, score_table.read_cascades(files), flat=flat)
    done = stored.run(wanted, sample, out)
    out.print(stored.table(wanted, done, sample))
    if (ways := stored.paths(wanted, done)) is not None:
        out.print(ways)


def _evaluate(
    sample: live.LabelledPhotos,
    name: str,
    files: list[Path],
    *,
    clients: int,
    yes: bool,
    config: Path,
) -> None:
    found = read(config)
    parts = build(found, config)
    own = route_of(parts, name, config)
    if own.labels == "listed":
        raise ConfigError(
            f"route {name} is for clients that name labels, and imgrid evaluate names none: each photo "
            "would be asked about alone"
        )
    wanted = [Strategy("1x1", ALONE_CASCADE.model_copy(update={"border": own.cascade.border}))]
    if own.cascade.shapes != "1x1":
        wanted.append(Strategy(f"{name}: {own.cascade.shapes}", own.cascade))
    wanted += score_table.read_cascades(files)
    index = list(parts.routes).index(name)
    tried = [(each, live.build(found, config, index, each, parts.providers)) for each in wanted]
    live.quote(wanted, parts, own, len(sample.photos), console=out, confirmed=yes)
    out.print(live.table(live.run(tried, sample, clients=clients, console=out), sample))


def _visit(
    place: remote.GatewayAddress,
    route: RouteOut,
    sample: live.LabelledPhotos,
    qualities: list[str],
    *,
    clients: int,
    yes: bool,
) -> None:
    wanted = list(dict.fromkeys(qualities))
    remote.quote(place, route, wanted, len(sample.photos), console=out, confirmed=yes)
    visits = remote.run(place, route.task, wanted, sample.photos, clients=clients, console=out)
    out.print(remote.table(visits, sample.known, route, len(sample.photos)))
    out.print(remote.delays(visits))
