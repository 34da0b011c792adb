"""Classifiers in ONNX: they judge a whole picture by its classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from providers.base import Picture, Provider
from providers.detection import WHOLE, Detection, Task
from providers.errors import Misconfigured

SIDES = (64, 64)
LOGITS = [[2.0, -1.0]]


def classifier(
    detector: Callable[..., Provider], numbers: Sequence[Any], **settings: Any
) -> Provider:
    """A classifier of cats and dogs that always answers these numbers."""
    outputs = {"output": np.array(numbers, np.float32)}
    return detector(outputs, sides=SIDES, layout="classifier", **settings)


async def scores(provider: Provider, picture: Callable[..., Picture]) -> dict[str, float]:
    """The score of each class, on a black picture."""
    detections = await provider.detect(picture(Image.new("RGB", (90, 60))), Task.MODERATION)
    return {detection.label: round(detection.score, 4) for detection in detections}


async def test_it_gives_each_class_its_probability(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """Probabilities are the scores as they are; classes below the floor are left out."""
    assert await scores(classifier(detector, [[0.75, 0.25]]), picture) == {"cat": 0.75, "dog": 0.25}
    assert await scores(classifier(detector, [[0.995, 0.005]]), picture) == {"cat": 0.995}


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("auto", {"cat": 0.9526, "dog": 0.0474}),
        ("softmax", {"cat": 0.9526, "dog": 0.0474}),
        ("sigmoid", {"cat": 0.8808, "dog": 0.2689}),
    ],
)
async def test_logits_become_probabilities(
    detector: Callable[..., Provider],
    picture: Callable[..., Picture],
    activation: str,
    expected: dict[str, float],
) -> None:
    """Logits are of classes of which one is true, or by `activation` of each class on its own."""
    provider = classifier(detector, LOGITS, activation=activation)
    assert await scores(provider, picture) == expected


async def test_an_activation_that_is_set_is_applied(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """Few logits may all lie in 0..1 for a grey picture, as probabilities do: an activation that is
    set says that they are logits."""
    numbers = [[0.5, 0.5]]
    assert await scores(classifier(detector, numbers), picture) == {"cat": 0.5, "dog": 0.5}
    provider = classifier(detector, numbers, activation="sigmoid")
    assert await scores(provider, picture) == {"cat": 0.6225, "dog": 0.6225}


@pytest.mark.parametrize(
    ("top_k", "expected"),
    [(None, {"cat": 0.75, "dog": 0.25}), (1, {"cat": 0.75}), (5, {"cat": 0.75, "dog": 0.25})],
)
async def test_only_the_likeliest_classes_are_reported(
    detector: Callable[..., Provider],
    picture: Callable[..., Picture],
    top_k: int | None,
    expected: dict[str, float],
) -> None:
    """With `top_k` a picture gets so many classes at most, and without all of them."""
    assert await scores(classifier(detector, [[0.75, 0.25]], top_k=top_k), picture) == expected


async def test_labels_have_no_instances(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """What is said of a whole picture as its labels is marked as such, so that no client takes it
    for a thing that covers the picture."""
    answer = await classifier(detector, LOGITS).detect(
        picture(Image.new("RGB", (90, 60))), Task.LABELS
    )
    assert {detection.kind for detection in answer} == {"LABEL"}


async def test_it_judges_whole_pictures_only(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """A classifier serves labels and moderation, about the whole picture, and no objects."""
    provider = classifier(detector, LOGITS)
    assert provider.about.tasks == {Task.LABELS, Task.MODERATION}
    answer = await provider.detect(picture(Image.new("RGB", (400, 20))), Task.LABELS)
    assert {detection.box for detection in answer} == {WHOLE}


async def test_a_detector_judges_a_picture_by_its_best_detections(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """Of a whole picture a detector says each class that it detects once, with the highest
    score."""
    boxes = np.zeros((1, 6, 84), np.float32)
    for anchor, (x, score) in enumerate([(10, 0.9), (50, 0.6)]):
        boxes[0, :5, anchor] = x, 10, 8, 8, score
    provider = detector({"output0": boxes}, sides=SIDES)
    answer = await provider.detect(picture(Image.new("RGB", (64, 64))), Task.MODERATION)
    (judgement,) = answer
    assert judgement == Detection("cat", pytest.approx(0.9), WHOLE)


def test_a_network_with_boxes_is_refused(detector: Callable[..., Provider]) -> None:
    """A network without an output of classes is refused as a classifier, by its outputs."""
    with pytest.raises(Misconfigured, match=r"layout: classifier has an output of two axes"):
        detector({"a": np.zeros((1, 6, 84), np.float32)}, sides=SIDES, layout="classifier")


def test_labels_must_fit_the_classes(detector: Callable[..., Provider]) -> None:
    """A classifier of another number of classes than there are labels is refused."""
    with pytest.raises(Misconfigured, match=r"labels: .*classes for 3"):
        classifier(detector, [[0.2, 0.3, 0.5]])
