"""What stored answers depend on beside the photos."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.config import settings
from gateway.config.settings import Settings
from providers.detection import Task
from providers.options import Options
from thresholds.cascade import Border

Digests = Mapping[str, str]
"""The first 16 hexadecimal digits of the SHA-256 of files, by the option that names each."""
FILES = ("model", "labels")
"""Options that name a file whose content answers depend on."""
VOLATILE = {
    "concurrency",
    "mini_batch",
    "max_run_ms",
    "machine",
    "timeout_ms",
    "usd_per_image",
    "access_key",
    "secret_key",
    "api_key",
    "key",
    "profile",
    "reload_s",
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
    digests: Digests | None = None,
) -> dict[str, Any]:
    """The task, the border, the provider's options but the volatile ones, and the digests of the
    files they name, as they are now unless given. `canvas` replaces the configured canvas size.

    Raises OSError where one of the files cannot be read.
    """
    options = settings.options_of(config, provider, config_file)
    content = options.model_dump(mode="json")
    if canvas:
        content["canvas"] = canvas
    if digests is None:
        digests = digests_of(options, config_file)
    lasting = {key: value for key, value in content.items() if key not in VOLATILE}
    return {"task": str(task), "border": border, "provider": lasting, "sha256": dict(digests)}


def model_files(options: Options, config_file: Path) -> dict[str, Path]:
    """The files whose content a provider's answers depend on, by option."""
    folder = config_file.resolve().parent
    paths = {name: getattr(options, name, None) for name in FILES}
    return {name: folder / path for name, path in paths.items() if isinstance(path, Path)}


def digests_of(options: Options, config_file: Path) -> Digests:
    """The digests of those files now, by option. Raises OSError."""
    return {name: _digest(file) for name, file in model_files(options, config_file).items()}


class ServedDigests:
    """The digests of the files that providers were loaded from, by provider. Holds them from the
    first question on: a file that changes later is not what its provider runs."""

    def __init__(self, config: Settings, config_file: Path) -> None:
        self._config = config
        self._config_file = config_file
        self._digests: dict[str, Digests] = {}

    def of(self, provider: str) -> Digests:
        """The digests of one provider's files. Raises OSError."""
        if provider not in self._digests:
            options = settings.options_of(self._config, provider, self._config_file)
            self._digests[provider] = digests_of(options, self._config_file)
        return self._digests[provider]

    def with_new(self, provider: str) -> ServedDigests:
        """The same, but for the files of one provider as they are now. Raises OSError."""
        fresh = ServedDigests(self._config, self._config_file)
        fresh._digests = {name: each for name, each in self._digests.items() if name != provider}
        fresh.of(provider)
        return fresh


def _digest(path: Path) -> str:
    """The first 16 hexadecimal digits of the content's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
