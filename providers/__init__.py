"""Providers: each module of this package named after a `kind` answers one picture with detections.

`load("onnx")` finds the module `providers.onnx`; such a module has `Options` (its settings) and `create`.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Protocol, cast

from providers.base import Options as ProviderOptions
from providers.base import Provider


class Kind(Protocol):
    """What a provider's module offers."""

    Options: type[ProviderOptions]

    def create(self, name: str, options: ProviderOptions, folder: Path) -> Provider:
        """The provider; relative paths in its options start at `folder`.

        Raises `Misconfigured` (a file that is not there, a package that is not installed) with the way out.
        """
        ...


def kinds() -> list[str]:
    """The names of all kinds there are; modules whose names begin with an underscore are parts that kinds share."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in names if name != "base" and not name.startswith("_"))


def load(kind: str) -> Kind:
    """The module of that kind. Raises LookupError naming the kinds there are."""
    if kind not in kinds():
        raise LookupError(f"there is no provider kind {kind!r}; known: {', '.join(kinds())}")
    return cast(Kind, importlib.import_module(f"providers.{kind}"))
