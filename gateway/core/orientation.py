"""EXIF orientations: how a camera was held."""

from __future__ import annotations

SIDEWAYS = frozenset({5, 6, 7, 8})
"""EXIF orientations that swap width and height."""
