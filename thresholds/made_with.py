"""What a cascade was made with, and where a route differs from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from providers.detection import Task

FILE = "made-with.json"
"""Lies beside a profile's answers: what they depend on."""


class Mismatch(NamedTuple):
    """One thing in which a route differs from what its cascade was made with: kind, canvas, model
    or vocabulary."""

    what: str
    made_with: str
    route: str

    def __str__(self) -> str:
        return f"{self.what} {self.made_with or 'unknown'}, not {self.route or 'unknown'}"


class MadeWith(BaseModel):
    """What a cascade's thresholds were measured with, and hold for.

    `kind` is the provider's, `canvas` its largest picture (`1280x1280`). `model` is the digest of
    its file, or its name on a server; `vocabulary` that of the labels, with the digest of their
    file. Both are empty where the provider has none. Fields that a later release adds are ignored.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    task: Task
    kind: str
    canvas: str = ""
    model: str = ""
    vocabulary: str = ""

    def mismatches(self, route: MadeWith) -> tuple[Mismatch, ...]:
        """Where a route's provider is another than the one that was measured. The task is not
        compared: scores of another task mean nothing, so that is an error."""
        pairs = (
            Mismatch(what, getattr(self, what), getattr(route, what))
            for what in ("kind", "canvas", "model", "vocabulary")
        )
        return tuple(pair for pair in pairs if pair.made_with != pair.route)


def made_with_of(origin: Mapping[str, Any]) -> MadeWith:
    """The same in short: `origin` is the content of a profile's `made-with.json`."""
    provider, digests = origin["provider"], origin["sha256"]
    words = (provider.get("vocabulary", ""), digests.get("labels", ""))
    return MadeWith(
        task=origin["task"],
        kind=provider["kind"],
        canvas=provider.get("canvas", ""),
        model=digests.get("model") or str(provider.get("model") or ""),
        vocabulary=" ".join(word for word in words if word),
    )


def made_with_in(folder: Path) -> MadeWith | None:
    """What a profile was made with, by its folder; None for a profile without the note."""
    file = folder / FILE
    return made_with_of(json.loads(file.read_text())) if file.is_file() else None
