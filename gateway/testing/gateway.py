"""A gateway for tests, which runs in a thread.

Its photos can be those of `gateway.testing.pictures`: plain coloured rectangles, which the provider
kind `shapes` really detects.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import yaml

from gateway.api import server
from gateway.app import create_app
from gateway.config import settings
from gateway.wiring.parts import Parts, build
from gateway.wiring.routes import Routing, make_routing
from providers.base import Provider


def parts_of(
    folder: Path, config: Mapping[str, Any], providers: Mapping[str, Provider] | None = None
) -> Parts:
    """The parts of a gateway, from a config that is written into `folder`; `providers` replace
    those of the same names.

    Routes without a `watch` section are not watched, so that no bill depends on chance.
    """
    file = _write(folder, config)
    return build(settings.read(file, {}), file, providers=providers)


def routing_of(
    folder: Path, config: Mapping[str, Any], providers: Mapping[str, Provider] | None = None
) -> Routing:
    """The providers and routes of a gateway as `parts_of` builds it."""
    file = _write(folder, config)
    return make_routing(settings.read(file, {}), file, providers)


def _write(folder: Path, config: Mapping[str, Any]) -> Path:
    file = folder / "imgrid.yaml"
    routes = [{"watch": {"share": 0}, **route} for route in config["routes"]]
    file.write_text(yaml.safe_dump({**config, "routes": routes}))
    return file


def serving(parts: Parts) -> AbstractContextManager[str]:
    """The address of a gateway of these parts, which runs in a thread while the block lasts."""
    return server.serving(create_app(parts), parts.tls)
