"""The clouds' providers, each through its vendor's SDK, against one real detector that speaks all
their formats."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from providers.detection import Task
from tests.support.paths import VOC

CLOUDS = {
    "rekognition": {"access_key": "any", "secret_key": "any"},
    "google": {"transport": "rest"},
    "azure": {"key": "any"},
}


@pytest.fixture
def answers(
    stand_in: str, make: Callable[..., Any], picture: Callable[..., Any], tmp_path: Path
) -> dict[str, list[tuple[float | list[Any] | str, ...]]]:
    """By kind, what is surely seen on one photo: label, score and box in pixels, best first."""
    with Image.open(min((VOC / "images").iterdir())) as photo:
        shown = picture(photo.convert("RGB"), "bytes")

    async def asked(kind):
        provider = make(kind, tmp_path, endpoint=stand_in, **CLOUDS[kind])
        try:
            found = await provider.detect(shown, Task.OBJECTS)
        finally:
            await provider.close()
        ranked = sorted(found, key=lambda each: -each.score)
        sides = (shown.width_px, shown.height_px) * 2
        boxes = (
            [edge * side for edge, side in zip(each.box, sides, strict=True)] for each in ranked
        )
        rows = zip(ranked, boxes, strict=True)
        return [(each.label.lower(), each.score, box) for each, box in rows if each.score > 0.1]

    return {kind: asyncio.run(asked(kind)) for kind in CLOUDS}


def test_three_clouds_say_the_same(
    answers: dict[str, list[tuple[float | list[Any] | str, ...]]],
) -> None:
    """What one detector sees arrives the same by every format, to the pixel."""
    first, *others = answers.values()
    assert first
    for other in others:
        assert [label for label, *_ in other] == [label for label, *_ in first]
        for (_, score, box), (_, its_score, its_box) in zip(first, other, strict=True):
            assert its_score == pytest.approx(score, abs=1e-6)
            assert its_box == pytest.approx(box, abs=1.5)
