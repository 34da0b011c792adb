"""The photos of a sample: their files, their ground truth, and those that cannot be decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from gateway.config.errors import ConfigError
from gateway.core.errors import PhotoError
from gateway.core.limits import PhotoLimits
from gateway.core.model import Photo, Size
from gateway.intake.admission import admit
from providers.base import Limits
from thresholds.samples.class_truth import folder_names, read_table
from thresholds.samples.ground_truth import Known, read_coco

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
FORMATS = frozenset({"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"})

FOLDERS = "folders"
"""As a truth: photos lie in folders that are named by their labels."""


class SamplePhoto(NamedTuple):
    """A photo's file, and its ground truth where there is any."""

    path: Path
    known: Known | None


@dataclass(frozen=True, slots=True)
class LabelledPhotos:
    """Photos and their ground truth, by the digest of the photo's content.

    `files` are those of the photos; `unreadable` has those that were left out, with the reason for
    each.
    """

    photos: Mapping[str, Photo]
    known: Mapping[str, Known]
    files: Mapping[str, Path]
    unreadable: Mapping[Path, str] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, Size]:
        return {key: photo.size for key, photo in self.photos.items()}


def read_photos(folders: Sequence[Path], truths: Sequence[Path]) -> LabelledPhotos:
    """The photos of the folders. Raises ConfigError where a file cannot be read at all."""
    try:
        files = find_photos(folders, truths)
        photos, unreadable = open_photos(files, Limits(formats=FORMATS))
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from None
    known = {}
    for key, sampled in files.items():
        if key in photos and sampled.known is not None:
            known[key] = sampled.known
    paths = {key: files[key].path for key in photos}
    return LabelledPhotos(photos, known, paths, unreadable)


def find_photos(folders: Sequence[Path], truths: Sequence[Path]) -> dict[str, SamplePhoto]:
    """The files of the sample, by the digest of each photo's content: all photos in the folders,
    or only those that the truths list.

    Raises ValueError where a listed file is missing, a truth cannot be read, or there is no photo.
    """
    if truths and len(truths) != len(folders):
        raise ValueError(
            f"{len(folders)} --photos and {len(truths)} --truth: give one truth for each folder, "
            "in the same order, or none"
        )
    files: dict[str, SamplePhoto] = {}
    for folder, truth in zip_longest(folders, truths):
        for sampled in _listed(folder, _read_truth(folder, truth)) if truth else _all(folder):
            files[digest(sampled.path.read_bytes())] = sampled
    if not files:
        raise ValueError(f"no photos in {', '.join(map(str, folders))}")
    return files


def _read_truth(folder: Path, truth: Path) -> Mapping[str, Known]:
    """The ground truth of files by their name below the folder: the folders' own names, a table, or
    COCO's JSON form."""
    if str(truth) == FOLDERS:
        return folder_names(folder, (sampled.path for sampled in _all(folder)))
    return read_table(truth) if truth.suffix.lower() == ".csv" else read_coco(truth)


def digest(data: bytes) -> str:
    """A photo's key in a profile. It depends on the content only, not on the file's place."""
    return hashlib.sha256(data).hexdigest()[:20]


def photo_of_key(file: Path, key: str) -> Photo | None:
    """The photo in a file; None where the file is not there, or holds something else than the
    photo of that key."""
    try:
        data = file.read_bytes()
        if digest(data) != key:
            return None
        return admit(key, data, Limits(formats=FORMATS), PhotoLimits())
    except (OSError, PhotoError):
        return None


def _listed(folder: Path, truth: Mapping[str, Known]) -> Iterator[SamplePhoto]:
    for name, known in truth.items():
        candidates = (folder / name, folder / "images" / name)
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if path is None:
            raise ValueError(f"{folder}: the ground truth lists {name}, which is not there")
        yield SamplePhoto(path, known)


def _all(folder: Path) -> Iterator[SamplePhoto]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            yield SamplePhoto(path, None)


def open_photos(
    files: Mapping[str, SamplePhoto], limits: Limits
) -> tuple[dict[str, Photo], dict[Path, str]]:
    """The photos whose headers can be read, by key, and the reason for each other file."""
    photos: dict[str, Photo] = {}
    unreadable: dict[Path, str] = {}
    for key, (path, _) in files.items():
        try:
            photos[key] = admit(key, path.read_bytes(), limits, PhotoLimits())
        except PhotoError as error:
            unreadable[path] = str(error)
    return photos, unreadable
