"""What is kept of a photo that a route learned from: its size and the answers about it. The photo
itself is not kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from providers.detection import Box, Detection
from providers.prices import Price
from thresholds.fusion.looks import LookKind, PhotoFacts
from thresholds.samples.from_answers import sample_from_answers
from thresholds.samples.sample import Sample


class DetectionRow(NamedTuple):
    """One detection: its label, its score, and the corners of its box as fractions of the photo."""

    label: str
    score: float
    x0: float
    y0: float
    x1: float
    y1: float


class Observation(Struct):
    """One photo: its facts (width, height, bytes), its detections in each look, by the text of the
    look's kind, and those of the reference look; None for a task without one."""

    facts: tuple[int, int, int]
    looks: dict[str, list[DetectionRow]]
    reference: list[DetectionRow] | None = None


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Observation)


def observation_of(
    facts: PhotoFacts,
    looks: Mapping[str, Sequence[Detection]],
    reference: Sequence[Detection] | None,
) -> bytes:
    """The observation of a photo, packed."""
    return _encode(
        Observation(
            facts=(facts.width_px, facts.height_px, facts.bytes),
            looks={kind: _rows(detections) for kind, detections in looks.items()},
            reference=_rows(reference) if reference is not None else None,
        )
    )


def sample_of(
    packed: Iterable[bytes], *, price: Price, provider: str, companion: str = ""
) -> Sample:
    """The observations as a sample; photos are named by their number. What cannot be read, because
    another release wrote it, is left out."""
    facts: dict[str, PhotoFacts] = {}
    looks: dict[LookKind, dict[str, list[list[Detection]]]] = {}
    reference: dict[str, list[list[Detection]]] = {}
    for number, data in enumerate(packed):
        try:
            observation = _decoder.decode(data)
        except msgspec.DecodeError:
            continue
        photo = str(number)
        facts[photo] = PhotoFacts(*observation.facts)
        for text, rows in observation.looks.items():
            looks.setdefault(LookKind.parse(text), {})[photo] = [_detections(rows)]
        if observation.reference is not None:
            reference[photo] = [_detections(observation.reference)]
    return sample_from_answers(
        facts,
        looks,
        reference=reference,
        prices={"": price},
        provider=provider,
        companions=(companion,) if companion else (),
    )


def _rows(detections: Sequence[Detection]) -> list[DetectionRow]:
    return [DetectionRow(each.label, each.score, *each.box) for each in detections]


def _detections(rows: Sequence[DetectionRow]) -> list[Detection]:
    return [Detection(row.label, row.score, Box(*row[2:])) for row in rows]
