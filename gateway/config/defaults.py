"""Defaults that are needed before the configuration is read."""

from __future__ import annotations

from pathlib import Path

DEFAULT_FILE = Path("imgrid.yaml")
