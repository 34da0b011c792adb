"""The photos of a profile: where they lie, and the batches in which they were added.

Photos are grouped within their batch only. So the canvases of earlier photos stay the same when
others are added, and their answers are not paid for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

FILE = "photos.json"
T = TypeVar("T")


class PhotoList(BaseModel):
    """By batch, the file of each photo by its key. `words` are the options of the command that
    made the profile, so that it can be named with more photos."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    batches: tuple[Mapping[str, str], ...] = ()
    words: tuple[str, ...] = ()

    def joined(self, files: Mapping[str, str]) -> PhotoList:
        """The list with these files: where known photos lie now, and new ones as another batch."""
        batches, new = list[Mapping[str, str]](), dict(files)
        for batch in self.batches:
            batches.append({key: new.pop(key, file) for key, file in batch.items()})
        if new:
            batches.append(new)
        return self.model_copy(update={"batches": tuple(batches)})

    def split(self, photos: Mapping[str, T]) -> list[Mapping[str, T]]:
        """The photos by batch; batches without any are left out."""
        parts = []
        for batch in self.batches:
            parts.append({key: photos[key] for key in batch if key in photos})
        return [part for part in parts if part]

    @property
    def files(self) -> Mapping[str, Path]:
        """Each photo's file, by key."""
        return {key: Path(file) for batch in self.batches for key, file in batch.items()}

    @classmethod
    def load(cls, folder: Path) -> PhotoList:
        """The list in a profile's folder, empty where there is none. Raises ValueError, naming the
        file, where it is something else."""
        file = folder / FILE
        if not file.is_file():
            return cls()
        try:
            return cls.model_validate_json(file.read_bytes())
        except ValidationError:
            raise ValueError(
                f"{file}: is no list of photos; remove it: then grids of photos are composed anew, "
                "and paid for"
            ) from None

    def save(self, folder: Path) -> None:
        (folder / FILE).write_text(self.model_dump_json(indent=1) + "\n")
