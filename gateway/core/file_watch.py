"""Watching files for a new content, by looking at them now and then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


class FileVersion(NamedTuple):
    """What differs where the content of a file does: modification and status change in nanoseconds,
    bytes, and inode."""

    modified_ns: int
    changed_ns: int
    size_bytes: int
    inode: int


def file_version(file: Path) -> FileVersion:
    """The version of a file now. Raises OSError where there is none."""
    stat = file.stat()
    return FileVersion(stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)


Versions = tuple[FileVersion | None, ...]
"""The versions of several files, None for one that is not there."""


def versions_of(files: Sequence[Path]) -> Versions:
    """The versions of files now."""
    return tuple(_version_or_none(file) for file in files)


def _version_or_none(file: Path) -> FileVersion | None:
    try:
        return file_version(file)
    except OSError:
        return None


@dataclass
class FileWatch:
    """Files whose content somebody takes, looked at every `pause_s` seconds. Holds the versions
    that were taken, and those of the last look."""

    files: Sequence[Path]
    pause_s: float
    _taken: Versions = field(init=False)
    _last: Versions = field(init=False)

    def __post_init__(self) -> None:
        self._taken = self._last = versions_of(self.files)

    def look(self) -> Versions | None:
        """The versions, where they are others than were taken and have not changed since the last
        look: a file that is being written is none yet."""
        now, last = versions_of(self.files), self._last
        self._last = now
        return now if now == last != self._taken else None

    def take(self, versions: Versions) -> None:
        """Notes the versions as taken."""
        self._taken = versions
