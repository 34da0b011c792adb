"""Vendors' SDKs, made quick to start for a suite that starts them hundreds of times."""

from __future__ import annotations

import sys
from typing import Any


def parse_models_once() -> None:
    """Lets botocore, where a test has imported it, parse each of its JSON files once a process
    instead of once a session: some have megabytes. It treats them as read-only within a session,
    too."""
    if (loaders := sys.modules.get("botocore.loaders")) is None:
        return
    parse, parsed = loaders.JSONFileLoader.load_file, dict[str, Any]()

    def load_file(self: Any, file_path: str) -> Any:
        if file_path not in parsed:
            parsed[file_path] = parse(self, file_path)
        return parsed[file_path]

    loaders.JSONFileLoader.load_file = load_file
