"""What commands share: where they print, and how they read the config file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.config.settings import Settings
from gateway.core.model import Route
from gateway.wiring.parts import Parts

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

CONFIG = "IMGRID_CONFIG"
KEY = "IMGRID_KEY"
ConfigFile = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar=CONFIG, help="The config file; each of its keys also as IMGRID_…"
    ),
]


def read(file: Path) -> Settings:
    """The settings, the environment's among them. Raises ConfigError."""
    return settings.read(
        file, {name: value for name, value in os.environ.items() if name not in (CONFIG, KEY)}
    )


def route_of(parts: Parts, name: str, config: Path) -> Route:
    """Raises ConfigError where there is no route of that name."""
    if name not in parts.routes:
        raise ConfigError(
            f"{config}: there is no route {name!r}; there are {', '.join(parts.routes)}"
        )
    return parts.routes[name]
