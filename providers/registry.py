"""Which kinds of provider there are, found by the entry points `imgrid.providers`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

from providers.base import Provider
from providers.options import Options as ProviderOptions
from providers.plugins import load_plugin, plugin_names

GROUP = "imgrid.providers"


class ProviderKind(Protocol):
    """The module (or other object) that an entry point names."""

    Options: type[ProviderOptions]

    def create(self, name: str, options: ProviderOptions, folder: Path) -> Provider:
        """The provider; relative paths in its options start at `folder`.

        Raises `Misconfigured` (a missing file, a package that is not installed) with the way out.
        """
        ...


def kinds() -> list[str]:
    """The names of all kinds that are installed, sorted."""
    return plugin_names(GROUP)


def load(kind: str) -> ProviderKind:
    """The kind of that name. Raises LookupError naming the kinds there are."""
    if kind not in kinds():
        raise LookupError(f"there is no provider kind {kind!r}; known: {', '.join(kinds())}")
    return cast(ProviderKind, load_plugin(GROUP, kind))
