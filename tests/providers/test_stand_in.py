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

Object = tuple[str, float, list[float]]
"""Label, score and box in pixels."""

CLOUDS = {
    "rekognition": {"access_key": "any", "secret_key": "any"},
    "google": {"transport": "rest"},
    "azure": {"key": "any"},
}


@pytest.fixture
def answers(
    stand_in: str, make: Callable[..., Provider], picture: Callable[..., Picture], tmp_path: Path
) -> dict[str, list[Object]]:
    """By kind, the objects that are likely on one photo: label, score and box in pixels, best
    first."""
    with Image.open(min((VOC / "images").iterdir())) as photo:
        voc_picture = picture(photo.convert("RGB"), "bytes")

    async def objects_by(kind: str) -> list[Object]:
        provider = make(kind, tmp_path, endpoint=stand_in, **CLOUDS[kind])
        try:
            detections = await provider.detect(voc_picture, Task.OBJECTS)
        finally:
            await provider.close()
        ranked = sorted(detections, key=lambda each: -each.score)
        sides = (voc_picture.width_px, voc_picture.height_px) * 2
        boxes = (
            [edge * side for edge, side in zip(each.box, sides, strict=True)] for each in ranked
        )
        rows = zip(ranked, boxes, strict=True)
        return [(each.label.lower(), each.score, box) for each, box in rows if each.score > 0.1]

    return {kind: asyncio.run(objects_by(kind)) for kind in CLOUDS}


def test_three_formats_carry_the_same_answer(
    answers: dict[str, list[Object]],
) -> None:
    """One detector's answer is the same through every format, to the pixel."""
    first, *others = answers.values()
    assert first
    for other in others:
        assert [label for label, *_ in other] == [label for label, *_ in first]
        for (_, score, box), (_, other_score, other_box) in zip(first, other, strict=True):
            assert other_score == pytest.approx(score, abs=1e-6)
            assert other_box == pytest.approx(box, abs=1.5)
