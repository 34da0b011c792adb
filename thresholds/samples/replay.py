"""Replay of a cascade over stored answers: its answer and its looks, without asking a provider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from providers.detection import Detection
from thresholds.cascade import Cascade
from thresholds.fusion.looks import Evidence, Look, LookKind
from thresholds.samples.sample import Sample


class ReplayedAnswer(NamedTuple):
    """A photo's answer, and the looks that it took."""

    detections: Sequence[Detection]
    looks: tuple[LookKind, ...]


def replay(cascade: Cascade, sample: Sample, photo: int, grouping: int = 0) -> ReplayedAnswer:
    """The cascade's answer about a photo, whose looks are taken from that grouping.

    Raises KeyError for a stage that was not profiled.
    """
    kinds = stage_kinds(cascade, sample)
    last = len(cascade.stages) - 1
    stage, looks, path = 0, list[Look](), list[LookKind]()
    while True:
        kind = kinds[stage]
        boxes = sample.look(kind, grouping).of_photo(photo)
        provider = cascade.stages[stage].provider or ""
        looks.append(Look(kind.shape, sample.detections(boxes), provider))
        path.append(kind)
        evidence = Evidence(sample.facts[photo], tuple(looks))
        verdict, detections = cascade.conclude(stage, evidence)
        if verdict.accepted or stage == last:
            return ReplayedAnswer(detections, tuple(path))
        stage = min(stage + verdict.skip, last)


def stage_kinds(cascade: Cascade, sample: Sample) -> tuple[LookKind, ...]:
    """The kind of look in the sample of each stage; a stage may name the sample's own provider."""
    kinds = []
    for stage in cascade.stages:
        provider = stage.provider or ""
        kinds.append(LookKind(stage.shape, "" if provider == sample.provider else provider))
    return tuple(kinds)
