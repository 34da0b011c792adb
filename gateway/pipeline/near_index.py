"""Finds the near-duplicates of a photo among those that were looked up here lately."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import NamedTuple

from gateway.core.model import Size
from gateway.grid.perceptual_hash import distance

MAX_PHOTOS = 10_000
"""Photos that are remembered. To compare one with all of them takes about a millisecond."""


class Peers(NamedTuple):
    """Photos that may get each other's answers: those of one question and one size."""

    question: str
    size: Size


class NearIndex:
    """Holds the perceptual hash of each photo by its key, the latest photos last, and the keys of
    each group of peers."""

    def __init__(self, max_photos: int = MAX_PHOTOS) -> None:
        self._max_photos = max_photos
        self._hashes: OrderedDict[str, tuple[Peers, int]] = OrderedDict()
        self._keys: defaultdict[Peers, set[str]] = defaultdict(set)

    def add(self, key: str, peers: Peers, photo_hash: int) -> None:
        """Remembers a photo. The oldest is forgotten where there are too many."""
        self._remove(key)
        self._hashes[key] = peers, photo_hash
        self._keys[peers].add(key)
        if len(self._hashes) > self._max_photos:
            self._remove(next(iter(self._hashes)))

    def within(self, max_distance: int, peers: Peers, photo_hash: int) -> list[str]:
        """The keys of the peers whose hashes differ in at most so many bits, the nearest first."""
        near: list[tuple[int, str]] = []
        for key in self._keys.get(peers, ()):
            bits = distance(photo_hash, self._hashes[key][1])
            if bits <= max_distance:
                near.append((bits, key))
        return [key for _, key in sorted(near)]

    def _remove(self, key: str) -> None:
        if key not in self._hashes:
            return
        peers, _ = self._hashes.pop(key)
        self._keys[peers].discard(key)
        if not self._keys[peers]:
            del self._keys[peers]
