"""The command `imgrid`."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable
from importlib import metadata, resources
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.logging import RichHandler
from rich.markup import escape

from gateway import app as composition
from gateway.api.server import serve as serve_app
from gateway.cli import keys, quality
from gateway.cli import stores as operating
from gateway.cli.console import ConfigFile, err, out, read
from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.jobs.webhooks import dead_letters, signing
from gateway.wiring.parts import Parts, build
from gateway.wiring.stores import Stores
from providers.plugins import PluginError

app = typer.Typer(
    help="Pay vision APIs for a fraction of your images: many photos in one billed canvas, boxes mapped back to each.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(quality.app)
app.add_typer(keys.app, name="keys")
config_app = typer.Typer(help="Show the configuration, or an example of one.", no_args_is_help=True)
app.add_typer(config_app, name="config")
webhooks_app = typer.Typer(
    help="Deliveries to clients' webhooks that failed, and secrets.", no_args_is_help=True
)
app.add_typer(webhooks_app, name="webhooks")


def main() -> None:
    """Runs the command; whatever is wrong with the configuration is one message, not a
    traceback."""
    os.environ.setdefault(
        "ORT_DISABLE_TELEMETRY", "1"
    )  # onnxruntime's own, which would tell its maker of its use
    try:
        app()
    except (ConfigError, PluginError) as error:
        err.print(f"[bold red]imgrid:[/] {escape(str(error))}")
        raise SystemExit(2) from None


@app.command()
def serve(config: ConfigFile = settings.DEFAULT_FILE) -> None:
    """Start the gateway."""
    parts = build(read(config), config)
    logging.basicConfig(
        level="INFO", format="%(message)s", handlers=[RichHandler(console=err, show_path=False)]
    )
    logging.getLogger("imgrid").setLevel(parts.settings.log_level)
    serve_app(
        composition.create_app(parts),
        parts.settings.host,
        parts.settings.port,
        lambda url: out.print(greeting(parts, url)),
        grace_s=composition.grace_s(parts),
        tls=parts.tls,
    )


@app.command()
def demo(
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

    By default the demo draws signs, receipts and labels, and the local OCR reads them: no keys, no
    network.
    """
    from gateway.demo import run

    if (photos is None) != (model is None):
        raise ConfigError(
            "--photos and --model go together: a folder of photos and a detector in ONNX"
        )
    plan = run.text_plan(clients, count)
    if photos is not None and model is not None:
        plan = run.objects_plan(photos, model, labels, clients, count)
    file = run.run(plan, out_dir / plan.task, out)
    out.print(f"canvases and page: [bold]{file}[/]")


@app.command()
def buffer(config: ConfigFile = settings.DEFAULT_FILE) -> None:
    """Show what waits in the shared buffer, and its dead letters: photos whose holders died, time
    after time."""
    found = read(config)
    if found.redis is None:
        raise ConfigError(
            f"{config}: there is no redis: without it the buffer is in the gateway's own memory; its "
            "/metrics tell how full it is"
        )
    out.print(operating.with_stores(found, config, operating.buffer_report))


@webhooks_app.command("list")
def webhooks_list(config: ConfigFile = settings.DEFAULT_FILE) -> None:
    """List the dead deliveries: those that no receiver took, however often they were tried."""
    out.print(
        dead_letters.table(
            operating.with_stores(read(config), config, lambda stores: stores.deliveries.dead())
        )
    )


@webhooks_app.command("replay")
def webhooks_replay(
    ids: Annotated[
        list[str] | None, typer.Argument(help="The deliveries, as `list` names them.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead ones.")] = False,
    config: ConfigFile = settings.DEFAULT_FILE,
) -> None:
    """Send dead deliveries again, under the same ids; a running gateway does it."""

    def work(stores: Stores) -> Awaitable[int]:
        return dead_letters.replay(stores.deliveries, ids or [], everything=everything)

    try:
        count = operating.with_stores(read(config), config, work)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    out.print(f"{count} {'delivery is' if count == 1 else 'deliveries are'} due again")


@webhooks_app.command("secret")
def webhooks_secret() -> None:
    """Print a new secret for `webhooks.secrets` or a tenant's webhook; receivers verify with the
    same one."""
    typer.echo(signing.new_secret())


@config_app.command("show")
def config_show(config: ConfigFile = settings.DEFAULT_FILE) -> None:
    """Print the configuration in force, defaults and environment included, secrets masked."""
    found = read(config)
    parts = {
        name: settings.options_of(found, name, config).model_dump(mode="json")
        for name in found.providers
    }
    plain = found.model_dump(mode="json", exclude_none=True) | {"providers": parts}
    typer.echo(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).rstrip())


@config_app.command("example")
def config_example() -> None:
    """Print a config file to start from."""
    typer.echo(resources.files("gateway.cli").joinpath("example.yaml").read_text().rstrip())


def greeting(parts: Parts, url: str) -> str:
    """What an operator sees when the gateway listens: where, which tasks, who may ask, and what to
    try."""
    lines = [
        f"[bold]imgrid {metadata.version('imgrid-gateway')}[/] listens on [bold]{url}[/]  (API: {url}/docs)"
    ]
    if parts.grpc is not None:
        lines.append(
            f"gRPC for Google's clients on [bold]{parts.grpc.address}[/] ({'TLS' if parts.grpc.secure else 'no TLS'})"
        )
    lines.append("")
    for route in parts.routes.values():
        about = parts.providers[route.provider].about
        who = f" for {', '.join(sorted(route.tenants))}" if route.tenants else ""
        wait = f"waits up to {1000 * route.max_wait_s:g} ms for company"
        lines.append(
            f"  {route.task:<11} {about.name} ({about.kind}), {route.cascade.shapes}, {wait}{who}"
        )
    lines += ["", _door(parts), "", "Try it:", *(f"  {line}" for line in _trials(parts, url))]
    return "\n".join(lines)


def _door(parts: Parts) -> str:
    if parts.keyring.open:
        return (
            "[yellow]It is open: no tenants are configured, so anybody on this machine may ask.[/]"
        )
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
    return [
        escape(f"curl --data-binary @photo.jpg{key} '{url}/v1/detect?task={task}'"),
        escape(f'python -c "{code}"'),
    ]
