"""What commands share: the consoles, the option for the config file, and how it is read."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console

from gateway.config.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config.settings import Settings
    from gateway.core.model import Route
    from gateway.quality.next_step import NextStep
    from gateway.wiring.routes import Routing

out = Console(emoji=False, highlight=False, soft_wrap=True)
err = Console(stderr=True, emoji=False, highlight=False, soft_wrap=True)

CONFIG = "IMGRID_CONFIG"
KEY = "IMGRID_KEY"
ConfigFile = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar=CONFIG, help="The config file; each of its keys also as IMGRID_…"
    ),
]
Command = TypeVar("Command", bound=Callable[..., Any])
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file of --out.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")]


def paragraph_help(command: Command) -> Command:
    """The command with each paragraph of its docstring on one line. Typer would keep the line
    breaks in its help."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    command.__doc__ = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return command


def print_next_step(step: NextStep, console: Console) -> None:
    """Says what to do next; the command stands on a line of its own, to be copied."""
    from rich.markup import escape

    console.print(f"next: {escape(step.text)}:\n  [bold]{escape(step.command)}[/]")


def command_words(context: typer.Context, leave_out: Collection[str] = ()) -> list[str]:
    """The words of the command after its name, as they were given; without parameters of those
    names."""
    words: list[str] = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source and source.name == "COMMANDLINE" and name not in leave_out:
            words += _parameter_words(parameter, context.params[name])
    return words


def _parameter_words(parameter: Any, value: Any) -> list[str]:
    """An option's name and value, for each of its values; of a flag its name, of an argument its
    value."""
    if isinstance(value, bool):
        return [parameter.opts[0] if value else parameter.secondary_opts[0]]
    is_argument = parameter.param_type_name == "argument"
    option = [] if is_argument else [max(parameter.opts, key=len)]
    words: list[str] = []
    for each in value if isinstance(value, list | tuple) else [value]:
        words += [*option, str(each)]
    return words


def check_out(file: Path, *, force: bool) -> None:
    """Raises ConfigError where the file would be overwritten unasked, before any work is done."""
    if file.exists() and not force:
        raise ConfigError(
            f"--out {file}: is there already, and a gateway may be using it; name another file "
            f"(--out other{file.suffix}), or add --force to overwrite it"
        )


def read(file: Path, *, listen: str | None = None) -> Settings:
    """The settings of a config file and the environment; `listen` overrides both. Raises
    ConfigError."""
    from gateway.config import settings

    variables = {name: value for name, value in os.environ.items() if name not in (CONFIG, KEY)}
    return settings.read(file, variables, listen=listen)


def read_routing(file: Path) -> Routing:
    """The providers and routes of a config file. Raises ConfigError."""
    from gateway.wiring.routes import make_routing

    return make_routing(read(file), file)


def route_of(routing: Routing, name: str) -> Route:
    """The route of that name. Raises ConfigError where there is none."""
    if name not in routing.routes:
        raise ConfigError(
            f"{routing.file}: there is no route {name!r}; there are {', '.join(routing.routes)}"
        )
    return routing.routes[name]
