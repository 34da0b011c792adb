"""What stored answers depend on beside the photos."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from gateway.config import settings
from gateway.config.settings import Settings
from providers.detection import Task
from thresholds.cascade import Border

FILES = ("model", "labels")
"""Options that name a file whose content answers depend on."""
VOLATILE = {
    "concurrency",
    "timeout_ms",
    "usd_per_image",
    "access_key",
    "secret_key",
    "api_key",
    "key",
    "profile",
    "threads",
    "transport",
}
"""Options that answers do not depend on."""


def provenance(
    config: Settings,
    config_file: Path,
    provider: str,
    task: Task,
    *,
    border: Border = "none",
    canvas: str = "",
) -> dict[str, Any]:
    """The task, the border, the provider's options but the volatile ones, and the digests of the
    files they name. `canvas` replaces the configured canvas size.

    Raises OSError where one of the files cannot be read.
    """
    options = settings.options_of(config, provider, config_file).model_dump(mode="json")
    if canvas:
        options["canvas"] = canvas
    digests = {}
    for name in FILES:
        if options.get(name):
            digests[name] = _digest(config_file.resolve().parent / options[name])
    lasting = {key: value for key, value in options.items() if key not in VOLATILE}
    return {"task": str(task), "border": border, "provider": lasting, "sha256": digests}


def _digest(path: Path) -> str:
    """The first 16 hexadecimal digits of the content's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
