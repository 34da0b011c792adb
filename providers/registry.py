"""The kinds of provider there are, found by the entry points `imgrid.providers`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

from providers.base import Provider
from providers.options import Options as ProviderOptions
from providers.plugins import PluginError, PluginGroup, members_of


class ProviderKind(Protocol):
    """The module (or other object) that an entry point names."""

    Options: type[ProviderOptions]

    def create(self, name: str, options: ProviderOptions, folder: Path) -> Provider:
        """The provider; relative paths in its options start at `folder`.

        Raises `Misconfigured` (a missing file, a package that is not installed) with the way out.
        """
        ...


PROVIDERS = PluginGroup("imgrid.providers", "provider kind", members_of(ProviderKind))


def kinds() -> list[str]:
    """The names of all kinds that are installed, sorted."""
    return PROVIDERS.names()


def load(kind: str) -> ProviderKind:
    """The kind of that name. Raises PluginError where there is none, or it cannot be used."""
    plugin = cast(ProviderKind, PROVIDERS.load(kind))
    if not (isinstance(plugin.Options, type) and issubclass(plugin.Options, ProviderOptions)):
        raise PluginError(
            f"provider kind {kind!r}: its Options must derive from providers.options.Options"
        )
    return plugin
