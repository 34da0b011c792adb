"""Defaults that are needed before the configuration is read."""

from __future__ import annotations

from pathlib import Path

DEFAULT_FILE = Path("imgrid.yaml")
DEFAULT_DROP = 0.02
"""The loss of the metric that a profile and its page reckon with, where none is named."""
