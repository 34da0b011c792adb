"""Text on a canvas, read by the real OCR: no photo is answered with its neighbour's text."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from gateway.app import running
from gateway.core.model import Photo, Tenant
from gateway.testing.gateway import parts_of
from gateway.testing.pictures import encoded, photo
from providers.detection import Task

pytestmark = pytest.mark.slow
FONT = ImageFont.load_default(56)


def page(text: str, anchor: str) -> Photo:
    """White paper whose only line of text runs into its left or its right edge."""
    image = Image.new("RGB", (400, 420), "white")
    position = (image.width, 210) if anchor == "rm" else (0, 210)
    ImageDraw.Draw(image).text(position, text, fill="black", font=FONT, anchor=anchor)
    return photo(encoded(image))


@pytest.mark.parametrize(("left", "right"), [("ALICE 12", "34 BOB"), ("CONFIDEN", "TIALITY")])
async def test_photos_with_touching_text_keep_their_own(
    tmp_path: Path, left: str, right: str
) -> None:
    """Two photos whose text meets at the seam are each answered with their own text only."""
    config = {
        "providers": {"ocr": {"kind": "text", "canvas": "800x420", "threads": 1, "concurrency": 1}},
        "routes": [
            {
                "task": "text",
                "provider": "ocr",
                "stages": [{"shape": "2x1"}],
                "max_wait_ms": 2000,
                "deadline_ms": 120_000,
            }
        ],
    }
    parts = parts_of(tmp_path, config)
    async with running(parts):
        outcomes = await parts.pipeline.scheduler.answer(
            [page(left, "rm"), page(right, "lm")], parts.routes["text"], Tenant("one", "one")
        )
    texts = [
        " ".join(d.label for d in outcome.detections if d.kind == "LINE") for outcome in outcomes
    ]
    assert parts.routes["text"].task == Task.TEXT
    assert texts == [left, right]
    assert [str(step.shape) for step in outcomes[0].steps] == ["1x2", "1x1"]
