"""The difference filter: which frames need no answer of their own, as they hardly differ from one
that has an answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thresholds.fusion.arrays import Floats, Ints

THUMBNAIL_PX = 32
"""The side of the grey thumbnails that frames are compared by."""
WHITE = 255.0
MIN_BLOCK, MAX_BLOCK = 4, 64
"""Frames that are compared at once: few after a change, then twice as many after each block without
one."""
BYTE_BITS = np.array([byte.bit_count() for byte in range(256)], np.uint8)

Thumbnails = NDArray[np.uint8]
Hashes = NDArray[np.uint64]


def differences(thumbnails: Thumbnails, reference: Thumbnails) -> Floats:
    """The root mean square difference (n,) of thumbnails (n, h, w) from one (h, w), as a share of
    the distance from black to white."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    deviations = flat - reference.reshape(1, -1).astype(np.float32)
    squares = np.einsum("np,np->n", deviations, deviations) / flat.shape[1]
    return np.asarray(np.sqrt(squares) / WHITE, np.float64)


class DifferenceFilter:
    """Decides on frames in their order. Holds the last frame that needs an answer of its own: its
    index and thumbnail.

    Kang, Emmons, Abuzaid, Bailis, Zaharia, "NoScope: optimizing neural network queries over video
    at scale" (VLDB 2017), section 5, against the last frame that was answered instead of one a
    fixed time ago: differences cannot creep.
    """

    def __init__(self, threshold: float) -> None:
        """Raises ValueError for a threshold that is not from 0 to 1."""
        if not 0 <= threshold <= 1:
            raise ValueError(f"a threshold of {threshold:g} is not from 0 to 1, white's distance")
        self._threshold = threshold
        self._count = 0
        self._source = 0
        self._reference: Thumbnails | None = None

    def sources(self, thumbnails: Thumbnails) -> Ints:
        """For each of the next frames (n, h, w) the index (n,) of the frame whose answer it takes,
        counted from the first frame ever: its own where it needs one. A frame takes the answer of
        the last one that has its own where it differs from it by no more than the threshold."""
        sources = np.empty(len(thumbnails), np.int64)
        start, size = 0, MIN_BLOCK
        while start < len(thumbnails):
            block = thumbnails[start : start + size]
            alike = self._alike(block)
            sources[start : start + alike] = self._source
            start, size = start + alike, min(2 * size, MAX_BLOCK)
            if alike < len(block):
                self._source, self._reference = self._count + start, thumbnails[start].copy()
                size = MIN_BLOCK
        self._count += len(thumbnails)
        return sources

    def _alike(self, thumbnails: Thumbnails) -> int:
        """How many of the frames, from the first on, take the present answer."""
        if self._reference is None:
            return 0
        changed = differences(thumbnails, self._reference) > self._threshold
        return int(changed.argmax()) if changed.any() else len(thumbnails)


class NearDuplicates:
    """Decides on photos in any order by their perceptual hashes. Holds the hashes of the photos
    that need an answer of their own, and their indices."""

    def __init__(self, max_distance: int) -> None:
        """Raises ValueError for a distance that is not from 0 to 64 bits."""
        if not 0 <= max_distance <= 64:
            raise ValueError(f"a distance of {max_distance} bits is not from 0 to 64")
        self._max_distance = max_distance
        self._count = self._answered = 0
        self._hashes, self._indices = np.empty(64, np.uint64), np.empty(64, np.int64)

    def source(self, photo_hash: int | None) -> int:
        """The index of the photo whose answer the next one takes: that of the nearest hash within
        the distance, else its own. A photo without a hash takes none and gives none."""
        index = self._count
        self._count += 1
        if photo_hash is None:
            return index
        if self._answered:
            bits = _distances(self._hashes[: self._answered], photo_hash)
            nearest = int(bits.argmin())
            if bits[nearest] <= self._max_distance:
                return int(self._indices[nearest])
        if self._answered == len(self._hashes):
            self._hashes = np.resize(self._hashes, 2 * self._answered)
            self._indices = np.resize(self._indices, 2 * self._answered)
        self._hashes[self._answered], self._indices[self._answered] = photo_hash, index
        self._answered += 1
        return index


def _distances(hashes: Hashes, photo_hash: int) -> Ints:
    """The Hamming distances (n,) of hashes (n,) from one."""
    differing = (hashes ^ np.uint64(photo_hash)).view(np.uint8).reshape(-1, 8)
    return np.asarray(BYTE_BITS[differing].sum(axis=1), np.int64)
