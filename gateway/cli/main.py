"""The command `imgrid`.

Commands import what they need when they run, so that each starts quickly.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import keys, profile
from gateway.cli.calibrate import calibrate
from gateway.cli.capacity import capacity
from gateway.cli.console import ConfigFile, err, out, paragraph_help, read
from gateway.cli.evaluate import evaluate
from gateway.cli.plan import plan
from gateway.cli.plan_command import PlanCommand
from gateway.cli.reconcile import reconcile
from gateway.cli.run import run
from gateway.cli.statement import statement
from gateway.cli.usage import usage
from gateway.config.defaults import DEFAULT_FILE
from gateway.config.errors import ConfigError

if TYPE_CHECKING:
    from gateway.wiring.stores import Stores


class DemoTask(StrEnum):
    """What the demo does without photos of one's own."""

    TEXT = "text"
    OBJECTS = "objects"
    LOCAL = "local"


class ExampleProvider(StrEnum):
    """The providers that there is an example for."""

    OCR = "ocr"
    ONNX = "onnx"
    REKOGNITION = "rekognition"
    GOOGLE = "google"
    AZURE = "azure"


app = typer.Typer(
    help="Pay vision APIs for a fraction of your images: many photos in one billed canvas, boxes "
    "mapped back to each.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="Show the configuration, or an example of one.", no_args_is_help=True)
webhooks_app = typer.Typer(
    help="Deliveries to clients' webhooks that failed, and secrets.", no_args_is_help=True
)


def main() -> None:
    """Runs the command. An unusable configuration is one message, not a traceback."""
    # onnxruntime would otherwise report its use to its maker
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        app()
    except ConfigError as error:
        from rich.markup import escape

        err.print(f"[bold red]imgrid:[/] {escape(str(error))}")
        raise SystemExit(2) from None


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        typer.echo(f"imgrid {metadata.version('imgrid-gateway')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command()
@paragraph_help
def serve(
    config: ConfigFile = DEFAULT_FILE,
    listen: Annotated[
        str | None, typer.Option(metavar="ADDRESS:PORT", help="Listen here, not as the file says.")
    ] = None,
) -> None:
    """Start the gateway."""
    from gateway import app as composition
    from gateway.api.server import StopTimes
    from gateway.api.server import serve as serve_app
    from gateway.cli.greeting import greeting
    from gateway.cli.log_output import start_log
    from gateway.wiring.parts import build

    parts = build(read(config, listen=listen), config)
    start_log(parts.settings.log_format, parts.settings.log_level)
    serve_app(
        composition.create_app(parts),
        parts.settings.host,
        parts.settings.port,
        lambda url: out.print(greeting(parts, url)),
        times=StopTimes(parts.settings.drain_ms / 1000, composition.grace_s(parts)),
        tls=parts.tls,
    )


@app.command()
@paragraph_help
def demo(
    task: Annotated[
        DemoTask,
        typer.Option(
            help="Read drawn signs, find drawn crates and balls, or moderate sample photos."
        ),
    ] = DemoTask.TEXT,
    photos: Annotated[
        Path | None, typer.Option(help="Find objects on the photos of this folder instead …")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="… with this detector (ONNX)")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="and its class names; the .txt beside it if that is one.")
    ] = None,
    clients: Annotated[
        int, typer.Option(min=1, max=200, help="Clients that ask at the same time.")
    ] = 24,
    count: Annotated[int, typer.Option(min=1, help="Pictures in all.")] = 24,
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder for canvases (PNG) and the page.")
    ] = Path("demo-out"),
) -> None:
    """See it work: pictures of many clients through a gateway on this machine, and what was billed.

    The demo draws signs, receipts and labels, which the local OCR reads, or tables with crates and
    balls, which the kind `shapes` finds: no keys, no network. The task `local` measures this
    machine, and moderates sample photos by a network that runs here; `make demo-local` installs it.
    """
    if (photos is None) != (model is None):
        raise ConfigError(
            "--photos and --model go together: a folder of photos and a detector in ONNX"
        )

    if task is DemoTask.LOCAL and photos is None:
        from gateway.cli.demo_local import run_local_demo
        from gateway.demo.local import installed_files, local_plan

        folder = out_dir / task
        local = local_plan(installed_files(), folder, clients, count)
        file = run_local_demo(local, folder, out)
        out.print(f"answers and page: [bold]{file}[/]")
        return

    from gateway.cli.demo import run_demo
    from gateway.demo.plans import objects_plan, scenes_plan, text_plan

    demo_plan = (text_plan if task is DemoTask.TEXT else scenes_plan)(clients, count)
    if photos is not None and model is not None:
        demo_plan = objects_plan(photos, model, labels, clients, count)
    file = run_demo(demo_plan, out_dir / demo_plan.task, out)
    out.print(f"canvases and page: [bold]{file}[/]")


@app.command()
@paragraph_help
def buffer(config: ConfigFile = DEFAULT_FILE) -> None:
    """Show what waits in the shared buffer, and its dead letters: photos whose holders died, time
    after time."""
    from gateway.cli import stores

    settings = read(config)
    if settings.redis is None:
        raise ConfigError(
            f"{config}: there is no redis: without it the buffer is in the gateway's own memory; "
            "its /metrics tell how full it is"
        )
    out.print(stores.with_stores(settings, config, stores.buffer_report))


app.command(cls=PlanCommand)(paragraph_help(plan))
app.command()(paragraph_help(capacity))
app.command()(paragraph_help(evaluate))
app.command()(paragraph_help(usage))
app.command()(paragraph_help(statement))
app.command()(paragraph_help(reconcile))
app.command()(paragraph_help(calibrate))
app.command()(run)
app.add_typer(profile.app, name="profile")
app.add_typer(keys.app, name="keys")
app.add_typer(config_app, name="config")
app.add_typer(webhooks_app, name="webhooks")


@webhooks_app.command("list")
@paragraph_help
def webhooks_list(config: ConfigFile = DEFAULT_FILE) -> None:
    """List the dead deliveries: those that no receiver took, however often they were tried."""
    from gateway.cli.stores import with_stores
    from gateway.cli.webhook_table import delivery_table

    deliveries = with_stores(
        read(config), config, lambda stores: stores.deliveries.dead_deliveries()
    )
    out.print(delivery_table(deliveries))


@webhooks_app.command("replay")
@paragraph_help
def webhooks_replay(
    ids: Annotated[
        list[str] | None, typer.Argument(help="The deliveries, as `list` names them.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead ones.")] = False,
    config: ConfigFile = DEFAULT_FILE,
) -> None:
    """Send dead deliveries again, under the same ids; a running gateway does it."""
    from gateway.cli.stores import with_stores
    from gateway.jobs.webhooks.dead_letters import replay

    def work(stores: Stores) -> Awaitable[int]:
        return replay(stores.deliveries, ids or [], everything=everything)

    try:
        count = with_stores(read(config), config, work)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    out.print(f"{count} {'delivery is' if count == 1 else 'deliveries are'} due again")


@webhooks_app.command("test")
@paragraph_help
def webhooks_test(
    url: Annotated[str, typer.Argument(help="The receiver's URL.")],
    tenant: Annotated[str, typer.Option(help="Sign as for this tenant.")] = "",
    config: ConfigFile = DEFAULT_FILE,
) -> None:
    """Send one signed message of the type webhook.test, as the gateway would, and show the
    receiver's answer. Exits with 1 where it is not 2xx."""
    from gateway.cli.webhook_message import send_test

    status, seconds = send_test(read(config), config, url, tenant)
    out.print(f"{status} after {1000 * seconds:.0f} ms")
    if not 200 <= status < 300:
        raise typer.Exit(1)


@webhooks_app.command("secret")
@paragraph_help
def webhooks_secret() -> None:
    """Print a new secret for `webhooks.secrets` or a tenant's webhook; receivers verify with the
    same one."""
    from gateway.jobs.webhooks.signing import new_secret

    typer.echo(new_secret())


@config_app.command("show")
@paragraph_help
def config_show(config: ConfigFile = DEFAULT_FILE) -> None:
    """Print the configuration in force, defaults and environment included, secrets masked."""
    import yaml

    from gateway.config.masking import masked
    from gateway.config.settings import options_of

    settings = read(config)
    providers = {}
    for name in settings.providers:
        providers[name] = options_of(settings, name, config).model_dump(mode="json")
    content = settings.model_dump(mode="json", exclude_none=True) | {"providers": providers}
    typer.echo(yaml.safe_dump(masked(content), sort_keys=False, allow_unicode=True).rstrip())


@config_app.command("check")
@paragraph_help
def config_check(config: ConfigFile = DEFAULT_FILE) -> None:
    """Check all that a start would check, models and files included, without listening or asking
    anybody."""
    from gateway.cli.greeting import route_lines
    from gateway.observe.log import write_mismatches
    from gateway.wiring.parts import build

    parts = build(read(config), config)
    write_mismatches(parts.routes.values())
    out.print("\n".join([f"{config} is in order:", "", *route_lines(parts)]))


@config_app.command("example")
@paragraph_help
def config_example(
    provider: Annotated[
        ExampleProvider, typer.Option(help="Whose example: a cloud's, or a local one's.")
    ] = ExampleProvider.OCR,
) -> None:
    """Print a config file to start from."""
    from importlib import resources

    folder = resources.files("gateway.cli").joinpath("examples")
    typer.echo(folder.joinpath(f"{provider}.yaml").read_text().rstrip())
