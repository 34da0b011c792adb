"""The command `imgrid`."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable
from functools import partial
from importlib import metadata, resources
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape

from gateway import app as composition
from gateway import evaluating, operating, profiling, settings
from gateway.app import Parts
from gateway.evaluating import ALONE_CASCADE, Strategy
from gateway.model import Route
from gateway.profiling import Sample, parse_shapes
from gateway.server import serve as serve_app
from gateway.settings import ConfigError, Settings
from gateway.stores import Stores
from gateway.webhooks import dead, signing
from thresholds import cascade as cascades

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

app = typer.Typer(
    help="Pay vision APIs for a fraction of your images: many photos in one billed canvas, boxes mapped back to each.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="Show the configuration, or an example of one.", no_args_is_help=True)
app.add_typer(config_app, name="config")
webhooks_app = typer.Typer(help="Deliveries to clients' webhooks that failed, and secrets.", no_args_is_help=True)
app.add_typer(webhooks_app, name="webhooks")

CONFIG = "IMGRID_CONFIG"
ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", envvar=CONFIG, help="The config file; each of its keys also as IMGRID_…")
]


def main() -> None:
    """Runs the command; whatever is wrong with the configuration is one message, not a traceback."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime's own, which would tell its maker of its use
    try:
        app()
    except ConfigError as error:
        err.print(f"[bold red]imgrid:[/] {escape(str(error))}")
        raise SystemExit(2) from None


@app.command()
def serve(config: ConfigFile = settings.DEFAULT_FILE) -> None:
    """Start the gateway."""
    parts = composition.build(_read(config), config)
    logging.basicConfig(level="INFO", format="%(message)s", handlers=[RichHandler(console=err, show_path=False)])
    logging.getLogger("imgrid").setLevel(parts.settings.log_level)
    serve_app(
        composition.create_app(parts),
        parts.settings.host,
        parts.settings.port,
        lambda url: out.print(greeting(parts, url)),
        grace_s=max(route.deadline_s for route in parts.routes.values()) + parts.settings.limits.body_timeout_ms / 1000,
    )


@app.command()
def demo(
    photos: Annotated[Path | None, typer.Option(help="Find objects on the photos of this folder instead …")] = None,
    model: Annotated[Path | None, typer.Option(help="… with this detector (ONNX)")] = None,
    labels: Annotated[Path | None, typer.Option(help="and its class names; the .txt beside it if that is one.")] = None,
    clients: Annotated[int, typer.Option(min=1, max=200, help="Clients that ask at the same time.")] = 24,
    count: Annotated[int, typer.Option(min=1, help="Pictures in all.")] = 24,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for canvases (PNG) and the page.")] = Path("demo-out"),
) -> None:
    """See it work: pictures of many clients through a gateway on this machine, and what was billed.

    By default the demo draws signs, receipts and labels, and the local OCR reads them: no keys, no network.
    """
    from gateway.demo import run

    if (photos is None) != (model is None):
        raise ConfigError("--photos and --model go together: a folder of photos and a detector in ONNX")
    plan = run.text_plan(clients, count)
    if photos is not None and model is not None:
        plan = run.objects_plan(photos, model, labels, clients, count)
    file = run.run(plan, out_dir / plan.task, out)
    out.print(f"canvases and page: [bold]{file}[/]")


@app.command()
def profile(
    photos: Annotated[list[Path], typer.Option(help="A folder of photos; may be given several times.")],
    truth: Annotated[
        list[Path],
        typer.Option(
            help="Ground truth in COCO's JSON form, one for each folder of photos; only the "
            "photos it lists are asked about. Without, the answer alone counts as truth."
        ),
    ] = [],
    route: Annotated[str, typer.Option(help="The route whose provider is asked.")] = "objects",
    shapes: Annotated[str, typer.Option(help="Shapes to ask at, with commas.")] = "1x1,2x1,2x2,3x3,4x4,5x5",
    cascade: Annotated[
        list[str],
        typer.Option(
            help="Shapes of a cascade to write, coarse first, with commas; several times for "
            "several. Its last shape need not be profiled."
        ),
    ] = ["5x5,1x1"],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for answers, profile and cascades.")] = Path("profile"),
    groupings: Annotated[int, typer.Option(min=1, help="Random groupings at each shape: neighbours vary.")] = 1,
    floor: Annotated[float, typer.Option(min=0, max=1, help="Detections that score less do not count.")] = 0.3,
    factor: Annotated[float, typer.Option(min=0, help="Thresholds are this times the mean …")] = 1.0,
    deviations: Annotated[float, typer.Option(help="… plus this many standard deviations.")] = 0.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")] = False,
    config: ConfigFile = settings.DEFAULT_FILE,
) -> None:
    """Ask a route's provider about a sample at several shapes, and make cascades whose thresholds fit it.

    The price is named before it is paid. Every answer is kept: run it again to go on where it stopped, or with other
    --cascade, --factor or --deviations without paying again.
    """
    sample = Sample(photos, truth, parse_shapes(shapes), groupings, floor)
    parts = composition.build(_read(config), config)
    named = _route(parts, route, config)
    wanted = [parse_shapes(text) for text in cascade]
    profiling.run(parts, named, sample, out_dir, config_file=config, console=out, confirmed=yes).write(
        wanted, factor=factor, deviations=deviations, console=out
    )


@app.command()
def evaluate(
    photos: Annotated[list[Path], typer.Option(help="A folder of photos; may be given several times.")],
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
    cascade: Annotated[list[Path], typer.Option(help="Cascade files to try as well; may be given several times.")] = [],
    clients: Annotated[int, typer.Option(min=1, help="Photos that wait for an answer at the same time.")] = 64,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")] = False,
    config: ConfigFile = settings.DEFAULT_FILE,
) -> None:
    """Try cascades on photos: what each costs, and what it loses against asking about every photo alone.

    The photos go through a gateway's own flow in this process, in canvases of their own; a running gateway is not
    touched. The price is named before it is paid.
    """
    read = _read(config)
    parts = composition.build(read, config)
    own = _route(parts, route, config)
    sample = evaluating.read_sample(photos, truth, out)
    strategies = [Strategy("1x1", ALONE_CASCADE.model_copy(update={"border": own.cascade.border}))]
    if own.cascade.shapes != "1x1":
        strategies.append(Strategy(f"{route}: {own.cascade.shapes}", own.cascade))
    for file in cascade:
        try:
            strategies.append(Strategy(file.stem, cascades.load(file)))
        except ValueError as error:
            raise ConfigError(f"--cascade {error}") from None
    evaluating.quote(strategies, len(sample.photos), parts.providers[own.provider], out, confirmed=yes)
    index = list(parts.routes).index(route)
    builds = [
        (each, partial(evaluating.build, read, config, index, each.cascade, parts.providers)) for each in strategies
    ]
    out.print(evaluating.table(evaluating.run(builds, sample, clients=clients, console=out), sample))


@app.command()
def buffer(config: ConfigFile = settings.DEFAULT_FILE) -> None:
    """Show what waits in the shared buffer, and its dead letters: photos whose holders died, time after time."""
    read = _read(config)
    if read.redis is None:
        raise ConfigError(f"{config}: there is no redis: without it the buffer is in the gateway's own memory; its "
                          "/metrics tell how full it is")  # fmt: skip
    out.print(operating.with_stores(read, config, operating.buffer_report))


@webhooks_app.command("list")
def webhooks_list(config: ConfigFile = settings.DEFAULT_FILE) -> None:
    """List the dead deliveries: those that no receiver took, however often they were tried."""
    out.print(dead.table(operating.with_stores(_read(config), config, lambda stores: stores.deliveries.dead())))


@webhooks_app.command("replay")
def webhooks_replay(
    ids: Annotated[list[str] | None, typer.Argument(help="The deliveries, as `list` names them.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead ones.")] = False,
    config: ConfigFile = settings.DEFAULT_FILE,
) -> None:
    """Send dead deliveries again, under the same ids; a running gateway does it."""

    def work(stores: Stores) -> Awaitable[int]:
        return dead.replay(stores.deliveries, ids or [], everything=everything)

    try:
        count = operating.with_stores(_read(config), config, work)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    out.print(f"{count} {'delivery is' if count == 1 else 'deliveries are'} due again")


@webhooks_app.command("secret")
def webhooks_secret() -> None:
    """Print a new secret for `webhooks.secrets` or a tenant's webhook; receivers verify with the same one."""
    typer.echo(signing.new_secret())


@config_app.command("show")
def config_show(config: ConfigFile = settings.DEFAULT_FILE) -> None:
    """Print the configuration in force, defaults and environment included, secrets masked."""
    read = _read(config)
    parts = {name: settings.options_of(read, name, config).model_dump(mode="json") for name in read.providers}
    plain = read.model_dump(mode="json", exclude_none=True) | {"providers": parts}
    typer.echo(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).rstrip())


@config_app.command("example")
def config_example() -> None:
    """Print a config file to start from."""
    typer.echo(resources.files("gateway").joinpath("example.yaml").read_text().rstrip())


def _read(file: Path) -> Settings:
    return settings.read(file, {name: value for name, value in os.environ.items() if name != CONFIG})


def _route(parts: Parts, name: str, config: Path) -> Route:
    if name not in parts.routes:
        raise ConfigError(f"{config}: there is no route {name!r}; there are {', '.join(parts.routes)}")
    return parts.routes[name]


def greeting(parts: Parts, url: str) -> str:
    """What an operator sees when the gateway listens: where, which tasks, who may ask, and what to try."""
    lines = [f"[bold]imgrid {metadata.version('imgrid-gateway')}[/] listens on [bold]{url}[/]  (API: {url}/docs)", ""]
    for route in parts.routes.values():
        about = parts.providers[route.provider].about
        who = f" for {', '.join(sorted(route.tenants))}" if route.tenants else ""
        wait = f"waits up to {1000 * route.max_wait_s:g} ms for company"
        lines.append(f"  {route.task:<11} {about.name} ({about.kind}), {route.cascade.shapes}, {wait}{who}")
    lines += ["", _door(parts), "", "Try it:", *(f"  {line}" for line in _trials(parts, url))]
    return "\n".join(lines)


def _door(parts: Parts) -> str:
    if parts.keyring.open:
        return "[yellow]It is open: no tenants are configured, so anybody on this machine may ask.[/]"
    return f"Tenants: {', '.join(tenant.name for tenant in parts.settings.tenants)}."


def _trials(parts: Parts, url: str) -> list[str]:
    task = next(iter(parts.routes.values())).task
    operation = "detect_text" if task == "text" else "detect_labels"
    key = "" if parts.keyring.open else " -H 'Authorization: Bearer KEY'"
    access, secret = ("any", "any") if parts.keyring.open else ("ACCESS_KEY", "SECRET_KEY")
    code = (
        f"import boto3; print(boto3.client('rekognition', endpoint_url='{url}', region_name='us-east-1', "
        f"aws_access_key_id='{access}', aws_secret_access_key='{secret}')"
        f".{operation}(Image={{'Bytes': open('photo.jpg', 'rb').read()}}))"
    )
    return [escape(f"curl --data-binary @photo.jpg{key} '{url}/v1/detect?task={task}'"), escape(f'python -c "{code}"')]
