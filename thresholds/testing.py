"""For tests of plans: a simulated detector that loses small objects on coarse grids, and a sample
of its answers.

The facts of a photo predict its losses: photos with many small objects have many bytes per pixel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from providers.detection import Box, Detection
from thresholds.fusion.looks import ITSELF, LookKind, PhotoFacts
from thresholds.samples.from_answers import sample_from_answers
from thresholds.samples.ground_truth import Known
from thresholds.samples.sample import Sample
from thresholds.shape import ALONE, Shape

LABELS = ("cat", "dog", "cow")
KINDS = (ITSELF, LookKind(Shape(2, 1)), LookKind(Shape(3, 2)))
COMPANION = LookKind(ALONE, "free")
ALIASES = {"cow": "ox"}
"""The companion's other names for labels; it also detects `shadow`s, for which the provider has no
label."""


def synthetic_sample(
    photos: int = 120,
    *,
    kinds: Sequence[LookKind] = KINDS,
    groupings: int = 2,
    seed: int = 0,
    known: bool = True,
    referenced: bool = False,
    **fields: Any,
) -> Sample:
    """A sample of photos with objects of three labels, with ground truth where `known` and a second
    look alone where `referenced`; `fields` are further fields of the sample."""
    rng = Random(seed)
    facts, truth = _photos(rng, photos)
    answers: dict[LookKind, dict[str, list[list[Detection]]]] = {}
    for kind in kinds:
        answers[kind] = _answers(rng, truth, kind, 1 if kind.shape == ALONE else groupings)
    covered = None
    if known:
        labels = frozenset(LABELS)
        covered = {photo: Known(objects, labels) for photo, objects in truth.items()}
    if referenced:
        fields["reference"] = _answers(rng, truth, ITSELF, 1)
    return sample_from_answers(facts, answers, covered, **fields)


def _photos(rng: Random, count: int) -> tuple[dict[str, PhotoFacts], dict[str, list[Detection]]]:
    """What is free to know about each photo, and its objects."""
    facts, truth = dict[str, PhotoFacts](), dict[str, list[Detection]]()
    for number in range(count):
        small = rng.random() < 0.4
        objects = rng.choice([1, 2, 3]) + 2 * small
        truth[str(number)] = [_random_object(rng, small=small) for _ in range(objects)]
        height_px = rng.choice([480, 640])
        file_bytes = rng.randrange(150_000, 200_000) // (1 if small else 4)
        facts[str(number)] = PhotoFacts(640, height_px, file_bytes)
    return facts, truth


def _answers(
    rng: Random, truth: Mapping[str, Sequence[Detection]], kind: LookKind, groupings: int
) -> dict[str, list[list[Detection]]]:
    """The answers of that kind by photo and grouping."""
    answers = {}
    for photo, objects in truth.items():
        answers[photo] = [synthetic_answer(rng, objects, kind) for _ in range(groupings)]
    return answers


def _random_object(rng: Random, *, small: bool) -> Detection:
    side = rng.uniform(0.06, 0.14) if small else rng.uniform(0.3, 0.5)
    x, y = rng.uniform(0, 1 - side), rng.uniform(0, 1 - side)
    return Detection(rng.choice(LABELS), 1.0, Box(x, y, x + side, y + side))


def synthetic_answer(rng: Random, objects: Sequence[Detection], kind: LookKind) -> list[Detection]:
    """One answer: the probability that an object is detected falls with its size x scale, and its
    score with that; there are a few false positives."""
    detections = []
    for each in objects:
        side = math.sqrt(each.box.area) / math.sqrt(4 if kind == COMPANION else kind.shape.cells)
        probability = 1 / (1 + math.exp(-(side - 0.05) / 0.012))
        if rng.random() < probability:
            score = min(max(0.25 + 0.6 * probability + rng.gauss(0, 0.12), 0.02), 0.99)
            shift = 0.04 * math.sqrt(each.box.area) * math.sqrt(kind.shape.cells)
            sides = (side + rng.uniform(-shift, shift) / 2 for side in each.box)
            box = Box(*(min(max(side, 0.0), 1.0) for side in sides))
            detections.append(Detection(_label_of(each.label, kind), score, box))
    for _ in range(rng.choice([0, 1, 1, 2])):
        label = rng.choice([*LABELS, "shadow"] if kind == COMPANION else LABELS)
        false_object = _random_object(rng, small=rng.random() < 0.5)
        label = _label_of(label, kind)
        detections.append(Detection(label, rng.uniform(0.02, 0.5), false_object.box))
    return detections


def _label_of(label: str, kind: LookKind) -> str:
    return ALIASES.get(label, label) if kind == COMPANION else label
