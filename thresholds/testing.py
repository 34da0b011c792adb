"""For tests of plans: a made-up detector that loses small objects on coarse grids, and a sample of
its answers.

How much is lost on a photo is told beforehand by its facts: photos with many small objects have
many bytes per pixel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from providers.detection import Box, Detection
from thresholds.fusion.looks import ITSELF, LookKind, PhotoFacts
from thresholds.samples.ground_truth import Known
from thresholds.samples.sample import Sample, sample
from thresholds.shape import ALONE, Shape

LABELS = ("cat", "dog", "cow")
KINDS = (ITSELF, LookKind(Shape(2, 1)), LookKind(Shape(3, 2)))
COMPANION = LookKind(ALONE, "free")
ALIASES = {"cow": "ox"}
"""What the companion calls things by another name; it also sees `shadow`s, which the provider has
no name for."""


def made_up(
    photos: int = 120,
    *,
    kinds: Sequence[LookKind] = KINDS,
    groupings: int = 2,
    seed: int = 0,
    known: bool = True,
    **about: Any,
) -> Sample:
    """A sample of photos with objects of three labels. `known` gives their truth; `about` are
    further fields."""
    rng = Random(seed)
    facts, truth = {}, {}
    for number in range(photos):
        fine = rng.random() < 0.4
        truth[str(number)] = [
            _thing(rng, small=fine) for _ in range(rng.choice([1, 2, 3]) + 2 * fine)
        ]
        facts[str(number)] = PhotoFacts(
            640, rng.choice([480, 640]), rng.randrange(150_000, 200_000) // (1 if fine else 4)
        )
    answers: Mapping[LookKind, Mapping[str, Sequence[Sequence[Detection]]]] = {
        kind: {
            photo: [
                look(rng, objects, kind) for _ in range(1 if kind.shape == ALONE else groupings)
            ]
            for photo, objects in truth.items()
        }
        for kind in kinds
    }
    covered = (
        {photo: Known(objects, frozenset(LABELS)) for photo, objects in truth.items()}
        if known
        else None
    )
    return sample(facts, answers, covered, **about)


def _thing(rng: Random, *, small: bool) -> Detection:
    side = rng.uniform(0.06, 0.14) if small else rng.uniform(0.3, 0.5)
    x, y = rng.uniform(0, 1 - side), rng.uniform(0, 1 - side)
    return Detection(rng.choice(LABELS), 1.0, Box(x, y, x + side, y + side))


def look(rng: Random, objects: Sequence[Detection], kind: LookKind) -> list[Detection]:
    """One answer: an object is found with a chance that falls with its size x scale, and scores by
    it; a mistake or two as well."""
    found = []
    for each in objects:
        side = math.sqrt(each.box.area) / math.sqrt(4 if kind == COMPANION else kind.shape.cells)
        chance = 1 / (1 + math.exp(-(side - 0.05) / 0.012))
        if rng.random() < chance:
            score = min(max(0.25 + 0.6 * chance + rng.gauss(0, 0.12), 0.02), 0.99)
            shift = 0.04 * math.sqrt(each.box.area) * math.sqrt(kind.shape.cells)
            box = Box(*(min(max(at + rng.uniform(-shift, shift) / 2, 0.0), 1.0) for at in each.box))
            found.append(Detection(_called(each.label, kind), score, box))
    for _ in range(rng.choice([0, 1, 1, 2])):
        label = rng.choice([*LABELS, "shadow"] if kind == COMPANION else LABELS)
        wrong = _thing(rng, small=rng.random() < 0.5)
        found.append(Detection(_called(label, kind), rng.uniform(0.02, 0.5), wrong.box))
    return found


def _called(label: str, kind: LookKind) -> str:
    return ALIASES.get(label, label) if kind == COMPANION else label
