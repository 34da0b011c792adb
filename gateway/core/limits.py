"""The operator's limits for photos, whatever an API accepts, and for decoding them."""

from __future__ import annotations

from dataclasses import dataclass

LARGE_BYTES = 64 * 1024 * 1024
"""A photo that takes more memory than this to decode is decoded in a process of its own."""


@dataclass(frozen=True, slots=True)
class PhotoLimits:
    """The limits of one photo: the bytes of its file, and its pixels."""

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 50_000_000


@dataclass(frozen=True, slots=True)
class DecoderLimits:
    """The processes that decode large photos: how many, and what each may take for one photo."""

    processes: int = 1
    max_bytes: int = 1280 * 1024 * 1024
    timeout_s: float = 20.0
