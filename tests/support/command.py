"""The command `imgrid` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

RunCommand = Callable[..., subprocess.CompletedProcess[str]]
CONFIG = {
    "providers": {"eye": {"kind": "shapes"}},
    "routes": [{"task": "objects", "provider": "eye", "stages": [{"shape": "3x3"}]}],
}


def command_in(folder: Path) -> RunCommand:
    """`run(*words, **config)`: the command in that folder, with that config."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("IMGRID_")
    }
    program = Path(sys.executable).with_name("imgrid")

    def run(*words: str, **config: Any) -> subprocess.CompletedProcess[str]:
        (folder / "imgrid.yaml").write_text(yaml.safe_dump(CONFIG | config))
        return subprocess.run(
            [program, *words],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=folder,
            env=environment | {"COLUMNS": "200"},
        )

    return run
