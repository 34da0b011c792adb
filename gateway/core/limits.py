"""Limits that this gateway sets for photos, whatever an API would take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PhotoLimits:
    """Limits that this gateway sets for itself, whatever an API would take."""

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 50_000_000
