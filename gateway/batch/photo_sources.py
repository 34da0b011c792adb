"""Where the photos of a run lie: folders, lists, manifests, tar shards, Parquet files, buckets.

Every source lists its photos one after the other, and never holds them all.
"""

from __future__ import annotations

import csv
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from gateway.batch.buckets import SCHEMES, BucketReader
from gateway.config.errors import ConfigError
from gateway.quality.collect.photos import SUFFIXES
from providers.extras import import_package

Place = Sequence[str | int]
"""What a source needs to read one photo."""
COLUMNS = ("source-ref", "place", "file", "path", "url", "image")
"""The columns and keys that may name a photo in a manifest, in this order. `source-ref` is that of
Rekognition's and SageMaker's manifests:
https://docs.aws.amazon.com/rekognition/latest/customlabels-dg/md-create-manifest-file.html"""
IMAGE_COLUMNS = ("image", "bytes", "content", "data")
"""The columns of a Parquet file that may hold photos, also as structs with a field `bytes`."""


class PhotoEntry(NamedTuple):
    """One photo of a source: its name in the results, and its place."""

    key: str
    place: Place


class RunSource(Protocol):
    """Photos that a run is over."""

    def entries(self) -> Iterator[PhotoEntry]:
        """All photos, in the source's order. Raises ConfigError where it cannot be listed."""
        ...

    def read(self, place: Place, most_bytes: int) -> bytes:
        """The photo at a place, or its first `most_bytes` + 1 bytes. Any thread may call it. Raises
        OSError where it cannot be read."""
        ...


def open_source(text: str) -> RunSource:
    """The source that a command names: a folder, a file by its ending, or the beginning of names in
    a bucket. Raises ConfigError where it is none of these."""
    scheme = text.partition("://")[0]
    if "://" in text:
        if scheme not in SCHEMES:
            raise ConfigError(f"{text}: photos may lie in {', '.join(SCHEMES)}, and not {scheme}")
        return BucketSource(text)
    path = Path(text)
    if path.is_dir():
        shards = sorted(file for file in path.iterdir() if file.suffix.lower() in SHARDS)
        return ShardedSource(shards) if shards else FolderSource(path)
    if not path.exists():
        raise ConfigError(f"{text}: there is no such folder or file")
    make = BY_SUFFIX.get(path.suffix.lower())
    if make is None:
        raise ConfigError(
            f"{text}: photos may be named in a {', '.join(BY_SUFFIX)} file, or lie in a folder"
        )
    return make(path)


def read_file(path: Path, most_bytes: int) -> bytes:
    """The file's content, or its first `most_bytes` + 1 bytes. Raises OSError."""
    with path.open("rb") as file:
        return file.read(most_bytes + 1)


@dataclass(frozen=True, slots=True)
class FolderSource:
    """The photos in a folder and all below it, by name. Keys are paths below the folder; bytes that
    are no UTF-8 are written as \\xhh."""

    folder: Path

    def entries(self) -> Iterator[PhotoEntry]:
        for path in _files_below(self.folder):
            name = path.relative_to(self.folder).as_posix()
            key = os.fsencode(name).decode("utf-8", "backslashreplace")
            yield PhotoEntry(key, [name])

    def read(self, place: Place, most_bytes: int) -> bytes:
        return read_file(self.folder / str(place[0]), most_bytes)


def _files_below(folder: Path) -> Iterator[Path]:
    """The pictures of a folder, one folder after the other."""
    try:
        names = sorted(folder.iterdir())
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be listed ({error.strerror})") from None
    for path in names:
        if path.is_dir():
            if not path.is_symlink():  # it may lead back up
                yield from _files_below(path)
        elif path.suffix.lower() in SUFFIXES:
            yield path


@dataclass(frozen=True, slots=True)
class ManifestSource:
    """The photos that a file names, in its order: paths relative to it, or places in buckets. Keys
    are what it says."""

    file: Path
    rows: Callable[[Path], Iterator[str]]
    _buckets: BucketReader = field(default_factory=BucketReader)

    def entries(self) -> Iterator[PhotoEntry]:
        try:
            for text in self.rows(self.file):
                yield PhotoEntry(text, [text])
        except OSError as error:
            raise ConfigError(f"{self.file}: cannot be read ({error.strerror})") from None
        except (ValueError, csv.Error) as error:
            raise ConfigError(f"{self.file}: {error}") from None

    def read(self, place: Place, most_bytes: int) -> bytes:
        text = str(place[0])
        if "://" in text:
            return self._buckets.read(text, most_bytes)
        return read_file(self.file.parent / text, most_bytes)


def text_rows(file: Path) -> Iterator[str]:
    """The lines of a text file; blank ones and those with # are left out."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if (text := line.strip()) and not text.startswith("#"):
                yield text


def csv_rows(file: Path) -> Iterator[str]:
    """The places in a CSV file, whose first line names the columns."""
    with file.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.DictReader(lines)
        column = next((name for name in COLUMNS if name in (rows.fieldnames or ())), None)
        if column is None:
            raise ValueError(f"has none of the columns {', '.join(COLUMNS)} in its first line")
        for row in rows:
            if text := (row[column] or "").strip():
                yield text


def json_rows(file: Path) -> Iterator[str]:
    """The places in a file of JSON lines: objects with one of COLUMNS, or texts."""
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                row = json.loads(line)
                text = row if isinstance(row, str) else _place_in(row)
                if text is None:
                    raise ValueError(f"line {number} names no photo ({', '.join(COLUMNS)})")
                yield text


def _place_in(row: Any) -> str | None:
    if not isinstance(row, dict):
        return None
    values = (row.get(name) for name in COLUMNS)
    return next((value for value in values if isinstance(value, str)), None)


@dataclass(frozen=True, slots=True)
class TarSource:
    """The pictures in a tar file that is not compressed, as WebDataset's shards. Keys are the
    shard's name and the member's."""

    file: Path

    def entries(self) -> Iterator[PhotoEntry]:
        try:
            with tarfile.open(self.file, "r:") as archive:
                for member in archive:
                    vars(archive)["members"].clear()  # or it would hold them all
                    if member.isfile() and Path(member.name).suffix.lower() in SUFFIXES:
                        place = [member.offset_data, member.size]
                        yield PhotoEntry(f"{self.file.name}/{member.name}", place)
        except (tarfile.TarError, OSError) as error:
            raise ConfigError(f"{self.file}: is no plain tar file ({error})") from None

    def read(self, place: Place, most_bytes: int) -> bytes:
        offset, size = map(int, place)
        with self.file.open("rb") as file:
            file.seek(offset)
            return file.read(min(size, most_bytes + 1))


@dataclass(frozen=True, slots=True)
class ParquetSource:
    """The photos in a column of a Parquet file. Keys are the file's name and the row's number."""

    file: Path

    def entries(self) -> Iterator[PhotoEntry]:
        parquet = _parquet(self.file)
        _image_column(self.file)
        row = 0
        for group in range(parquet.num_row_groups):
            for index in range(parquet.metadata.row_group(group).num_rows):
                yield PhotoEntry(f"{self.file.name}/{row}", [group, index])
                row += 1

    def read(self, place: Place, most_bytes: int) -> bytes:
        group, index = map(int, place)
        column = _row_group(self.file, group)
        value = column[index].as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise OSError(f"row {index} of group {group} has no photo")
        return data


@dataclass(frozen=True, slots=True)
class ShardedSource:
    """The photos in many tar or Parquet files, by their names."""

    files: Sequence[Path]

    def entries(self) -> Iterator[PhotoEntry]:
        for number in range(len(self.files)):
            for key, place in self._shard(number).entries():
                yield PhotoEntry(key, [number, *place])

    def read(self, place: Place, most_bytes: int) -> bytes:
        number, *rest = place
        return self._shard(int(number)).read(rest, most_bytes)

    def _shard(self, number: int) -> RunSource:
        file = self.files[number]
        return SHARDS[file.suffix.lower()](file)


@lru_cache(maxsize=8)
def _parquet(file: Path) -> Any:
    pyarrow = import_package("pyarrow.parquet", "batch")
    try:
        return pyarrow.ParquetFile(file)
    except Exception as error:  # pyarrow's exceptions share no base of their own
        raise ConfigError(f"{file}: is no Parquet file ({error})") from None


def _image_column(file: Path) -> str:
    names = _parquet(file).schema_arrow.names
    for name in IMAGE_COLUMNS:
        if name in names:
            return name
    raise ConfigError(f"{file}: has none of the columns {', '.join(IMAGE_COLUMNS)}")


@lru_cache(maxsize=2)
def _row_group(file: Path, group: int) -> Any:
    """The photos of one row group. The last two stay: photos come in order but for a few."""
    return _parquet(file).read_row_group(group, [_image_column(file)]).column(0)


@dataclass(frozen=True, slots=True)
class BucketSource:
    """The pictures in a bucket whose names begin so. Keys are their full places."""

    prefix: str
    _buckets: BucketReader = field(default_factory=BucketReader)

    def entries(self) -> Iterator[PhotoEntry]:
        for place in self._buckets.places(self.prefix):
            if Path(place).suffix.lower() in SUFFIXES:
                yield PhotoEntry(place, [place])

    def read(self, place: Place, most_bytes: int) -> bytes:
        return self._buckets.read(str(place[0]), most_bytes)


SHARDS: dict[str, Callable[[Path], RunSource]] = {".tar": TarSource, ".parquet": ParquetSource}
BY_SUFFIX: dict[str, Callable[[Path], RunSource]] = {
    ".txt": lambda file: ManifestSource(file, text_rows),
    ".csv": lambda file: ManifestSource(file, csv_rows),
    ".jsonl": lambda file: ManifestSource(file, json_rows),
    ".manifest": lambda file: ManifestSource(file, json_rows),
    **SHARDS,
}
