"""The clouds' providers, each through its vendor's SDK, against one real detector that speaks all
their formats."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from providers.base import Picture, Provider
from providers.detection import Task
from tests.support.paths import VOC

Answers = dict[str, list[tuple[str, float, list[float]]]]

CLOUDS = {
    "rekognition": {"access_key": "any", "secret_key": "any"},
    "google": {"transport": "rest"},
    "azure": {"key": "any"},
}


@pytest.fixture
def answers(
    stand_in: str, make: Callable[..., Provider], picture: Callable[..., Picture], tmp_path: Path
) -> Answers:
    """By kind, the sure detections on one photo: label, score and box in pixels, best first."""
    with Image.open(min((VOC / "images").iterdir())) as photo:
        shown = picture(photo.convert("RGB"), "bytes")

    async def detect(kind: str) -> list[tuple[str, float, list[float]]]:
        provider = make(kind, tmp_path, endpoint=stand_in, **CLOUDS[kind])
        try:
            detections = await provider.detect(shown, Task.OBJECTS)
        finally:
            await provider.close()
        ranked = sorted(detections, key=lambda each: -each.score)
        sides = (shown.width_px, shown.height_px) * 2
        boxes = (
            [edge * side for edge, side in zip(each.box, sides, strict=True)] for each in ranked
        )
        rows = zip(ranked, boxes, strict=True)
        return [(each.label.lower(), each.score, box) for each, box in rows if each.score > 0.1]

    return {kind: asyncio.run(detect(kind)) for kind in CLOUDS}


def test_three_formats_carry_the_same_detections(
    answers: Answers,
) -> None:
    """The detections of one detector arrive the same by every format, to the pixel."""
    first, *other_answers = answers.values()
    assert first
    for other in other_answers:
        assert [label for label, *_ in other] == [label for label, *_ in first]
        for (_, score, box), (_, other_score, other_box) in zip(first, other, strict=True):
            assert other_score == pytest.approx(score, abs=1e-6)
            assert other_box == pytest.approx(box, abs=1.5)
