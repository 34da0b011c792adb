"""The photos of a sample: where they lie, what is true of them, and which can be looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from gateway.core.errors import PhotoError
from gateway.core.limits import PhotoLimits
from gateway.core.model import Photo
from gateway.intake.admission import admit
from providers.base import Limits
from thresholds.samples.ground_truth import Known, read_coco

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
FORMATS = frozenset({"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"})


class SamplePhoto(NamedTuple):
    """A photo's file, and what is true of it where there is ground truth."""

    path: Path
    known: Known | None


def find_photos(folders: Sequence[Path], truths: Sequence[Path]) -> dict[str, SamplePhoto]:
    """The sample, by the digest of each photo's content: all photos in the folders, or those that
    the truths list.

    Raises ValueError where a listed file is missing, a truth cannot be read, or nothing is found at
    all.
    """
    if truths and len(truths) != len(folders):
        raise ValueError(
            f"{len(folders)} --photos and {len(truths)} --truth: give one truth for each folder, in the "
            "same order, or none"
        )
    found: dict[str, SamplePhoto] = {}
    for folder, truth in zip_longest(folders, truths):
        for sampled in _listed(folder, read_coco(truth)) if truth else _all(folder):
            found[digest(sampled.path)] = sampled
    if not found:
        raise ValueError(f"no photos in {', '.join(map(str, folders))}")
    return found


def digest(path: Path) -> str:
    """What a photo is known by in a profile: its content, wherever its file lies."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:20]


def _listed(folder: Path, truth: Mapping[str, Known]) -> Iterator[SamplePhoto]:
    for name, known in truth.items():
        places = [place for place in (folder / name, folder / "images" / name) if place.is_file()]
        if not places:
            raise ValueError(f"{folder}: the ground truth lists {name}, which is not there")
        yield SamplePhoto(places[0], known)


def _all(folder: Path) -> Iterator[SamplePhoto]:
    return (
        SamplePhoto(path, None)
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
    )


def open_photos(
    files: Mapping[str, SamplePhoto], limits: Limits
) -> tuple[dict[str, Photo], dict[Path, str]]:
    """The photos that can be looked at, and why the others cannot."""
    photos: dict[str, Photo] = {}
    refused: dict[Path, str] = {}
    for key, (path, _) in files.items():
        try:
            photos[key] = admit(key, path.read_bytes(), limits, PhotoLimits())
        except PhotoError as error:
            refused[path] = str(error)
    return photos, refused


def read_photos(
    folders: Sequence[Path], truths: Sequence[Path], console: Console
) -> tuple[dict[str, Known], dict[str, Photo]]:
    """What is true, where that is known, and photos; both by the photos' digests. Photos that
    cannot be looked at are named and left out. Raises ValueError and OSError for what cannot be
    read."""
    files = find_photos(folders, truths)
    photos, refused = open_photos(files, Limits(formats=FORMATS))
    for path, reason in refused.items():
        console.print(f"[yellow]left out:[/] {path}: {reason}")
    known = {
        key: sampled.known
        for key, sampled in files.items()
        if key in photos and sampled.known is not None
    }
    return known, photos
