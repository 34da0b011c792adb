"""The operator's limits for photos, whatever an API accepts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PhotoLimits:
    """The limits of one photo: the bytes of its file, and its pixels."""

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 50_000_000
