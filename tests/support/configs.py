"""Sections of a config file, and the error of one that is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.wiring.parts import build
from providers.base import Provider

ALONE: dict[str, Any] = {"stages": [{"shape": "1x1"}]}
SHAPES: dict[str, Any] = {
    "providers": {"eye": {"kind": "shapes"}},
    "routes": [{"task": "objects", "provider": "eye", **ALONE}],
}
"""A gateway that really finds coloured shapes, and asks about each photo alone."""
ROUTE: dict[str, Any] = {"task": "objects", "provider": "eye", "stages": [{"shape": "2x2"}]}
SHOP: dict[str, Any] = {"name": "shop", "keys": [{"dialect": "native", "key": "key-shop"}]}
PRESS: dict[str, Any] = {
    "name": "press",
    "keys": [{"dialect": "rekognition", "access_key": "AK", "secret_key": "sk-press"}],
}


def refusal(
    file: Path,
    environment: Mapping[str, str] | None = None,
    providers: dict[str, Provider] | None = None,
) -> str:
    """The error message of a configuration that is refused; it names the file."""
    with pytest.raises(ConfigError) as caught:
        build(settings.read(file, environment or {}), file, providers=providers)
    return str(caught.value)
