"""Providers as the gateway creates them, and pictures for them."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from providers import registry
from providers.base import Picture, Provider
from providers.detection import Detection, Task

CALLS = {"rate_per_s": 1000, "breaker": {"calls": 7}}
"""The call limits of every provider here."""


def create_provider(kind: str, folder: Path, **settings: Any) -> Provider:
    """A provider as the gateway creates it."""
    module = registry.load(kind)
    return module.create(f"my-{kind}", module.Options(kind=kind, **CALLS, **settings), folder)


def encode(image: Image.Image, form: str = "PNG", **settings: Any) -> bytes:
    """The image as a file of that format."""
    buffer = BytesIO()
    image.save(buffer, form, **settings)
    return buffer.getvalue()


def picture_of(image: Image.Image, wants: str = "pixels", form: str = "PNG") -> Picture:
    """The image as a provider gets it: pixels, or bytes of that format."""
    if wants == "pixels":
        return Picture(*image.size, pixels=image)
    return Picture(*image.size, data=encode(image, form))


def words_on(size: tuple[int, int], *lines: tuple[str, int, int]) -> Image.Image:
    """White paper with lines of text, each at its x and y."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for text, x, y in lines:
        draw.text((x, y), text, fill="black", font=ImageFont.load_default(36))
    return image


async def detect_once(
    provider: Provider, picture: Picture, task: Task, extras: Sequence[str] = ()
) -> Sequence[Detection]:
    """The detections in one picture; closes the provider."""
    try:
        return await provider.detect(picture, task, extras)
    finally:
        await provider.close()
