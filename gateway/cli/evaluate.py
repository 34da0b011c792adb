"""The command `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.console import KEY, ConfigFile, Yes, out, read_routing, route_of
from gateway.config.defaults import DEFAULT_FILE
from gateway.config.errors import ConfigError

if TYPE_CHECKING:
    from gateway.quality.collect.photos import LabelledPhotos


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
            help="Ground truth in COCO's JSON form, one for each folder of photos. Without, only "
            "agreement with the answer alone is told."
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
            help="Go by the answers in a profile's folder and ask nobody; several times for "
            "profiles of several providers, the route's own first.",
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
    yes: Yes = False,
    config: ConfigFile = DEFAULT_FILE,
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
        _evaluate_stored(profiles, cascade, flat=flat or not cascade)
    elif not photos:
        raise typer.BadParameter("name a folder of photos, or a --profile", param_hint="--photos")
    elif not url:
        sample = _read_sample(photos, truth)
        _evaluate_live(sample, route, cascade, config, clients=clients, confirmed=yes)
    elif cascade:
        raise ConfigError(
            "--url: the gateway there goes by its own cascades: leave out --cascade, or --url"
        )
    else:
        _evaluate_remote(
            url, key, route, quality, folders=photos, truths=truth, clients=clients, confirmed=yes
        )


def _read_sample(folders: list[Path], truths: list[Path]) -> LabelledPhotos:
    """The photos of the folders. Those that are left out are named."""
    from gateway.cli.progress import print_unreadable
    from gateway.quality.evaluate.live import read_sample

    photos = read_sample(folders, truths)
    print_unreadable(photos, out)
    return photos


def _evaluate_stored(profiles: list[Path], cascades: list[Path], *, flat: bool) -> None:
    from rich.progress import TimeRemainingColumn

    from gateway.cli.evaluate_tables import paths_table, score_table
    from gateway.cli.progress import Bars
    from gateway.quality.evaluate import stored
    from gateway.quality.evaluate.scores import read_cascades

    sample = stored.read(profiles)
    strategies = stored.strategies(sample, read_cascades(cascades), flat=flat)
    bars = Bars(out, TimeRemainingColumn)
    with bars.together():
        replays = stored.run(strategies, sample, bars)
    out.print(score_table(stored.score_table(strategies, replays, sample)))
    paths = paths_table(strategies, replays)
    if paths.row_count:
        out.print(paths)


def _evaluate_live(
    sample: LabelledPhotos,
    route_name: str,
    cascades: list[Path],
    config: Path,
    *,
    clients: int,
    confirmed: bool,
) -> None:
    from rich.progress import TimeRemainingColumn

    from gateway.cli.evaluate_tables import score_table
    from gateway.cli.progress import Bars, goes_on, print_price, print_total
    from gateway.quality.evaluate import live
    from gateway.quality.evaluate.scores import read_cascades

    routing = read_routing(config)
    route = route_of(routing, route_name)
    strategies = live.strategies(route, read_cascades(cascades))
    index = list(routing.routes).index(route_name)
    gateways = [(strategy, live.build(routing, index, strategy)) for strategy in strategies]
    count, names = len(sample.photos), "; ".join(strategy.name for strategy in strategies)
    out.print(
        f"{count} photos by {len(strategies)} strategies ({names}), in full canvases and where no "
        "photo ends before its last stage:"
    )
    quote = live.quote(strategies, routing, route, count)
    for item in quote.items:
        print_price(f"about {item.images} images to ask {item.provider} about", item, out)
    print_total(quote, out)
    if not goes_on(confirmed=confirmed):
        raise typer.Exit(1)
    bars = Bars(out, TimeRemainingColumn)
    with bars.together():
        results = live.run(gateways, sample, clients=clients, progress=bars)
    out.print(score_table(live.score_table(results, sample)))


def _evaluate_remote(
    url: str,
    key: str,
    route_name: str,
    qualities: list[str],
    *,
    folders: list[Path],
    truths: list[Path],
    clients: int,
    confirmed: bool,
) -> None:
    from rich.progress import TimeRemainingColumn

    from gateway.cli.evaluate_tables import delay_table, score_table
    from gateway.cli.progress import Bars, goes_on
    from gateway.quality.evaluate import remote
    from thresholds.variants import EXACT

    remote.check(qualities)
    address = remote.GatewayAddress(url, key)
    route = remote.route_of(address, route_name)
    sample = _read_sample(folders, truths)
    count, compared = len(sample.photos), list(dict.fromkeys([EXACT, *qualities]))
    images = sum(remote.full_images(route, quality, count) for quality in compared)
    out.print(
        f"{count} photos by {' and '.join(compared)} through {url}: about [bold]{images} "
        "images[/], in full canvases and where no photo ends before its last stage; what an "
        "image costs is known there alone"
    )
    if not goes_on(confirmed=confirmed):
        raise typer.Exit(1)
    bars = Bars(out, TimeRemainingColumn)
    with bars.together():
        results = remote.run(
            address, route.task, compared, sample.photos, clients=clients, progress=bars
        )
    out.print(score_table(remote.score_table(results, sample.known, route, count)))
    out.print(delay_table(results))
