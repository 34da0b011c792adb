"""Perceptual hashes: near-duplicates differ in few of their bits."""

from __future__ import annotations

import numpy as np

from gateway.core.errors import BadFormat
from gateway.core.model import Photo, Size
from gateway.grid.tile import tile

COLUMNS, ROWS = 9, 8
MIN_RANGE = 16
"""A picture whose grey levels differ less has no hash: noise alone would decide it."""


def perceptual_hash(photo: Photo) -> int | None:
    """The difference hash of the upright photo, 64 bits: whether each of 9x8 grey cells is darker
    than its right neighbour. None for a photo that cannot be decoded, or is as good as blank.

    dHash: Neal Krawetz, "Kind of Like That" (hackerfactor.com, 2013).
    """
    try:
        cells = np.asarray(tile(photo, Size(COLUMNS, ROWS)).convert("L"), np.int16)
    except BadFormat:
        return None
    if int(np.ptp(cells)) < MIN_RANGE:
        return None
    return int.from_bytes(np.packbits(cells[:, :-1] < cells[:, 1:]).tobytes(), "big")


def distance(hash_a: int, hash_b: int) -> int:
    """The Hamming distance of two hashes: in how many bits they differ."""
    return (hash_a ^ hash_b).bit_count()
