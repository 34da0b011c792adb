"""What a demo asks: its pictures, its provider, and the grids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config.errors import ConfigError
from gateway.demo import scenes
from gateway.demo.signs import draw

SUFFIXES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture to ask about, and what is on it where the demo drew it: words, or the labels of
    things."""

    name: str
    data: bytes
    words: tuple[str, ...] = ()
    things: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """Pictures, the provider's options, the route's stages, and the number of clients."""

    task: str
    shots: Sequence[Shot]
    provider: dict[str, Any]
    stages: Sequence[Mapping[str, object]]
    clients: int

    @property
    def client_names(self) -> list[str]:
        return [f"client-{number:02d}" for number in range(1, self.clients + 1)]


def text_plan(clients: int, count: int) -> DemoPlan:
    """Drawn signs, receipts and labels, read by the local OCR."""
    shots = [Shot(sign.name, sign.jpeg, sign.words) for sign in draw(count)]
    return DemoPlan("text", shots, {"kind": "text"}, [{"shape": "3x3"}], clients)


def scenes_plan(clients: int, count: int) -> DemoPlan:
    """Drawn crates and balls, found by the local kind `shapes`, which needs no network."""
    shots = [Shot(scene.name, scene.jpeg, things=scene.things) for scene in scenes.draw(count)]
    return DemoPlan("objects", shots, {"kind": "shapes"}, _object_stages("3x3"), clients)


def _object_stages(shape: str) -> list[dict[str, object]]:
    """A grid, and the photo alone where almost nothing was found."""
    rule = {"kind": "imgrid", "area": {"mean": 0.03}, "floor": 0.45}
    return [{"shape": shape, "rule": rule}, {"shape": "1x1"}]


def objects_plan(
    photos: Path, model: Path, labels: Path | None, clients: int, count: int
) -> DemoPlan:
    """The first photos of a folder, asked of a local detector. Raises ConfigError for a missing
    file."""
    files = sorted(path for path in photos.rglob("*") if path.suffix.lower() in SUFFIXES)[:count]
    if not files:
        raise ConfigError(f"--photos {photos}: there are no .jpg or .png files")
    if not model.is_file():
        raise ConfigError(f"--model {model}: there is no such file")
    provider = {"kind": "onnx", "model": str(model.resolve())}
    if (names := _labels_file(model, labels)) is not None:
        provider["labels"] = str(names.resolve())
    shots = [Shot(file.name, file.read_bytes()) for file in files]
    return DemoPlan("objects", shots, provider, _object_stages("2x2"), clients)


def _labels_file(model: Path, labels: Path | None) -> Path | None:
    """The given file, or the only text file beside the model; None if there is none, as the model
    may have its class names in itself. Raises ConfigError if there are several."""
    if labels is not None:
        return labels
    candidates = sorted(model.parent.glob("*.txt"))
    if not candidates:
        return None
    if len(candidates) > 1:
        raise ConfigError(
            "--labels: name the text file with the model's class names, one a line; "
            f"beside {model} there are {len(candidates)} .txt files"
        )
    return candidates[0]
