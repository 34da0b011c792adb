"""Which dialects there are, found by the entry points `imgrid.dialects`."""

from __future__ import annotations

from typing import cast

from gateway.dialects.base import Dialect
from providers.plugins import load_plugin, plugin_names

GROUP = "imgrid.dialects"


def load_all() -> list[Dialect]:
    """Every dialect that is installed, by name."""
    return [cast(Dialect, load_plugin(GROUP, name)) for name in plugin_names(GROUP)]
