"""The command `imgrid`."""

from __future__ import annotations

import logging
import os
from importlib import metadata, resources
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape

from gateway import app as composition
from gateway import settings
from gateway.app import Parts
from gateway.server import serve as serve_app
from gateway.settings import ConfigError, Settings

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

CONFIG = "IMGRID_CONFIG"
ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", envvar=CONFIG, help="The config file; each of its keys also as IMGRID_…")
]


def main() -> None:
    """Runs the command; whatever is wrong with the configuration is one message, not a traceback."""
    try:
        app()
    except ConfigError as error:
        err.print(f"[bold red]imgrid:[/] {escape(str(error))}")
        raise SystemExit(2) from None


@app.command()
def serve(config: ConfigFile = settings.DEFAULT_FILE) -> None:
    """Start the gateway."""
    logging.basicConfig(level="INFO", format="%(message)s", handlers=[RichHandler(console=err, show_path=False)])
    logging.getLogger("imgrid").setLevel(os.environ.get("LOG_LEVEL", "INFO"))
    parts = composition.build(_read(config), config)
    status = serve_app(
        composition.create_app(parts),
        parts.settings.host,
        parts.settings.port,
        lambda url: out.print(greeting(parts, url)),
    )
    raise typer.Exit(status)


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
