"""What a cascade was made with, and where a route differs from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from providers.detection import Task

FILE = "made-with.json"
"""Lies beside a profile's answers: what they depend on."""


class Mismatch(NamedTuple):
    """One thing in which a route differs from what its cascade was made with: kind, canvas, input
    size, model or vocabulary."""

    what: str
    made_with: str
    route: str

    def __str__(self) -> str:
        return f"{self.what} {self.made_with or 'unknown'}, not {self.route or 'unknown'}"


class MadeWith(BaseModel):
    """What a cascade's thresholds were measured with, and hold for.

    `kind` is the provider's, `canvas` its largest picture (`1280x1280`). `model` is the digest of
    its file, or its name on a server; `vocabulary` that of the labels, with the digest of their
    file. Both are empty where the provider has none, as is `input_size`, that of its network, where
    the settings name none. Fields that a later release adds are ignored.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    task: Task
    kind: str
    canvas: str = ""
    model: str = ""
    vocabulary: str = ""
    input_size: str = ""

    def mismatches(self, route: MadeWith) -> tuple[Mismatch, ...]:
        """Where a route's provider is another than the one that was measured. The task is not
        compared: scores of another task mean nothing, so that is an error."""
        names = ["kind", "canvas", "model", "vocabulary"]
        if self.input_size:  # cascades of older releases do not say
            names.append("input_size")
        pairs = (
            Mismatch(name.replace("_", " "), getattr(self, name), getattr(route, name))
            for name in names
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
        input_size=provider.get("input_size") or "",
    )


def made_with_in(folder: Path) -> MadeWith | None:
    """What a profile was made with, by its folder; None for a profile without the note."""
    file = folder / FILE
    return made_with_of(json.loads(file.read_text())) if file.is_file() else None


def made_with_others(folder: Path, providers: Iterable[str | None]) -> dict[str, MadeWith]:
    """What other providers of a profile were asked with, as companions or stages, by their names;
    none of those that have no folder there."""
    notes: dict[str, MadeWith] = {}
    for name in filter(None, providers):
        for role in ("companion", "stage"):
            note = made_with_in(folder / f"{role}-{name}")
            if note is not None:
                notes[name] = note
    return notes
