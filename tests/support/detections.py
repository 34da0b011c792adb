"""Detections in one line, and detections at random."""

from __future__ import annotations

from random import Random
from typing import Any

from providers.detection import Box, Detection


def detection(label: str, score: float, *corners: float, **fields: Any) -> Detection:
    """A detection with these corners x0, y0, x1, y1, or of the whole photo where none are given."""
    return Detection(label, score, Box(*(corners or (0.0, 0.0, 1.0, 1.0))), **fields)


def random_detection(rng: Random, score: float = 1.0) -> Detection:
    """A detection of a dog, a cat or a cow somewhere in the photo."""
    x, y = rng.uniform(0, 0.7), rng.uniform(0, 0.7)
    box = Box(x, y, x + rng.uniform(0.1, 0.3), y + rng.uniform(0.1, 0.3))
    return Detection(rng.choice(["dog", "cat", "cow"]), score, box)


def jittered(rng: Random, original: Detection) -> Detection:
    """The detection with a random score and slightly moved corners."""
    score = rng.random()
    box = Box(*(side + rng.uniform(-0.04, 0.04) for side in original.box))
    return Detection(original.label, score, box)
