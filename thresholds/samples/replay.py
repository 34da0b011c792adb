"""A cascade over stored answers: what it would have said and cost, without asking anybody. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from providers.detection import Box, Detection
from thresholds.cascade import Cascade
from thresholds.fusion.arrays import BoxArray
from thresholds.fusion.looks import Evidence, Look, LookKind
from thresholds.samples.sample import Sample


class Replayed(NamedTuple):
    """A photo's answer, and the looks that it took."""

    found: Sequence[Detection]
    looks: tuple[LookKind, ...]


def replay(cascade: Cascade, sample: Sample, photo: int, grouping: int = 0) -> Replayed:
    """What a photo would have been answered, its looks taken from that grouping.

    Raises KeyError for a stage that was not profiled.
    """
    kinds = kinds_of(cascade, sample)
    stage, looks, taken = 0, list[Look](), list[LookKind]()
    while True:
        taken.append(kinds[stage])
        own = detections(sample, sample.look(kinds[stage], grouping).of(photo))
        looks.append(Look(kinds[stage].shape, own, cascade.stages[stage].provider or ""))
        verdict, found = cascade.conclude(stage, Evidence(sample.facts[photo], tuple(looks)))
        if verdict.accepted or stage == len(cascade.stages) - 1:
            return Replayed(found, tuple(taken))
        stage = min(stage + verdict.skip, len(cascade.stages) - 1)


def kinds_of(cascade: Cascade, sample: Sample) -> tuple[LookKind, ...]:
    """By stage, the looks of the sample that answer it: a stage may name the provider that the
    profile is of."""
    named = ((stage.shape, stage.provider or "") for stage in cascade.stages)
    return tuple(
        LookKind(shape, "" if provider == sample.provider else provider)
        for shape, provider in named
    )


def detections(sample: Sample, found: BoxArray) -> list[Detection]:
    """Arrays as detections, with their labels' names."""
    columns = zip(found.labels.tolist(), found.scores.tolist(), found.xyxy.tolist(), strict=True)
    return [Detection(sample.labels[label], score, Box(*box)) for label, score, box in columns]
