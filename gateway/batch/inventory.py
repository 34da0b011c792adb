"""The inventory of a run: all its photos, written once, and the order in which they are asked
about."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gateway.batch.photo_sources import PhotoEntry, RunSource
from gateway.config.errors import ConfigError
from gateway.quality.progress import Advance

FILE = "inventory.jsonl"


class Inventory:
    """The photos of a run by their position in its order. Holds sixteen bytes a photo: where its
    line begins, and the order where that is random."""

    def __init__(self, file: Path, seed: int | None) -> None:
        """Reads where the lines of a written inventory begin. With a seed photos come in a random
        order of all of them, each as likely as any other."""
        self._file = file.open("rb")
        self._offsets = array("Q")
        offset = 0
        for line in self._file:
            self._offsets.append(offset)
            offset += len(line)
        self._order = None if seed is None else np.random.default_rng(seed).permutation(len(self))

    def __len__(self) -> int:
        return len(self._offsets)

    def entry(self, position: int) -> PhotoEntry:
        """The photo at a position."""
        line = position if self._order is None else int(self._order[position])
        self._file.seek(self._offsets[line])
        key, place = json.loads(self._file.readline())
        return PhotoEntry(key, place)

    def entries(self, start: int, end: int) -> Iterator[PhotoEntry]:
        """The photos of these positions."""
        for position in range(start, min(end, len(self))):
            yield self.entry(position)

    def close(self) -> None:
        self._file.close()


def write_inventory(source: RunSource, folder: Path, advance: Advance) -> Path:
    """Writes the photos of a source, unless they are written already; the file. Raises ConfigError
    where there are none, or the folder cannot be written."""
    file = folder / FILE
    if file.exists():
        return file
    unfinished, count = file.with_suffix(".partial"), 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8") as lines:
            for key, place in source.entries():
                lines.write(json.dumps([key, place]) + "\n")
                count += 1
                advance()
        if count:
            unfinished.replace(file)
    except OSError as error:
        raise ConfigError(f"--out {folder}: cannot be written ({error.strerror})") from None
    if not count:
        raise ConfigError("there are no photos")
    return file
