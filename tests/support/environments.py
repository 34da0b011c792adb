"""Python environments that tests make, with packages from the index."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def environment(folder: Path) -> Path:
    """The Python of a new, empty environment, without pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def install(python: Path, *requirements: str | Path) -> None:
    """Installs into the environment of that Python, from the index."""
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile"]
    subprocess.run([*pip, "--disable-pip-version-check", *requirements], check=True)
