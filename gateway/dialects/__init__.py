"""Wire formats that clients speak: one module each, which has a `DIALECT`."""

from __future__ import annotations

import importlib
import pkgutil
from typing import cast

from gateway.dialects.base import Dialect


def load_all() -> list[Dialect]:
    """Every dialect there is, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    kinds = [name for name in names if name != "base" and not name.startswith("_")]
    return [cast(Dialect, importlib.import_module(f"gateway.dialects.{name}").DIALECT) for name in kinds]
