"""A sample from the detections in each answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from providers.detection import Detection
from thresholds.fusion.arrays import NO_BOXES, Bools, BoxTable, LabelIndex
from thresholds.fusion.looks import LookKind, PhotoFacts
from thresholds.samples.ground_truth import Known
from thresholds.samples.sample import Reference, Sample

Groupings = Sequence[Sequence[Detection]]
"""The detections of one photo in each grouping that it was asked in."""


def sample_from_answers(
    facts: Mapping[str, PhotoFacts],
    answers: Mapping[LookKind, Mapping[str, Groupings]],
    truth: Mapping[str, Known] | None = None,
    *,
    reference: Mapping[str, Groupings] | None = None,
    **fields: Any,
) -> Sample:
    """The sample of the photos in `facts`. `answers` has detections by kind, photo and grouping,
    `reference` those of the reference looks by photo, in one grouping. Crowds of the `truth` are
    left out. `fields` are further fields of the sample."""
    labels = LabelIndex()
    looks: dict[LookKind, tuple[BoxTable, ...]] = {}
    has_answer: dict[LookKind, Bools] = {}
    for kind, by_photo in answers.items():
        each_photo = [by_photo.get(photo, ()) for photo in facts]
        groupings = range(_full_groupings(by_photo))
        looks[kind] = tuple(_table(labels, each_photo, grouping) for grouping in groupings)
        counts = np.array([len(answered) for answered in each_photo])
        has_answer[kind] = np.array(groupings)[:, None] < counts[None, :]
    fields["reference"] = _reference(labels, reference, facts) if reference else None
    objects = covered = None
    if truth is not None:
        objects = BoxTable.from_photos([labels.box_array(truth[photo].objects) for photo in facts])
        covered = _covered(labels, [truth[photo] for photo in facts])
    names = tuple(labels.names)
    return Sample(
        tuple(facts), tuple(facts.values()), names, looks, has_answer, objects, covered, **fields
    )


def _reference(
    labels: LabelIndex, reference: Mapping[str, Groupings], photos: Iterable[str]
) -> Reference:
    looks = [reference.get(photo, ()) for photo in photos]
    return Reference(_table(labels, looks, 0), np.array([len(look) > 0 for look in looks]))


def _full_groupings(by_photo: Mapping[str, Groupings]) -> int:
    """The number of groupings in which nearly every photo has an answer: photos that fill up the
    last canvases have one more."""
    counts = sorted(len(groupings) for groupings in by_photo.values())
    return max(counts[len(counts) // 10], 1)


def _table(labels: LabelIndex, photos: Sequence[Groupings], grouping: int) -> BoxTable:
    """The answers of one grouping."""
    rows = []
    for groupings in photos:
        answered = grouping < len(groupings)
        rows.append(labels.box_array(groupings[grouping]) if answered else NO_BOXES)
    return BoxTable.from_photos(rows)


def _covered(labels: LabelIndex, photos: Sequence[Known]) -> Bools:
    """The labels (photos x labels) of which each photo's ground truth is complete."""
    numbers = []
    for known in photos:
        numbers.append([labels.number(name) for name in sorted(known.labels)])
    covered = np.zeros((len(photos), len(labels.names)), bool)
    for row, columns in enumerate(numbers):
        covered[row, columns] = True
    return covered
