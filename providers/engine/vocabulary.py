"""The vocabulary of a model's labels: from an option, or recognised from the labels themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from providers.detection import Vocabulary

VocabularyOption = Literal["auto", "none", "coco", "rekognition", "google", "azure"]
"""Values of the option `vocabulary`; auto: recognise the labels."""

_COCO_NAMES = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, "
    "fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, "
    "elephant, bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, "
    "snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, "
    "tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, "
    "orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, "
    "dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, "
    "toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, "
    "toothbrush"
)
COCO = frozenset(_COCO_NAMES.split(", "))
"""The names of COCO's 80 classes."""


def vocabulary_of(option: VocabularyOption, labels: Sequence[str]) -> Vocabulary:
    """The vocabulary that the option names. For auto it is COCO's if the labels that are not blank
    are its 80 classes, else unknown."""
    if option == "auto":
        return "coco" if {label.lower() for label in labels if label} == COCO else ""
    return "" if option == "none" else option
