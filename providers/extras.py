"""The extras of this project: packages that only some configurations need."""

from __future__ import annotations

import importlib
from typing import Any

from providers.errors import Misconfigured


def install_hint(extra: str) -> str:
    """How to install an extra, or several with commas: from an index, or in a checkout."""
    return (
        f"install the extra {extra}: pip install 'imgrid-gateway[{extra}]', or in a checkout "
        f"pip install -e '.[{extra}]'"
    )


def import_package(package: str, extra: str) -> Any:
    """The imported package. Raises Misconfigured naming the extra that installs it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise Misconfigured(f"{error}; {install_hint(extra)}") from error
