"""How fast a local provider answers photos alone, asked as the gateway asks it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from time import perf_counter

from gateway.core.model import Photo
from gateway.grid.compose import undrawn_picture
from providers.base import Provider
from providers.detection import Task


def photos_per_s(provider: Provider, photos: Collection[Photo], task: Task) -> float:
    """The photos a second, as many at a time as the provider takes. Closes it.

    Raises ProviderError where it cannot answer one of them.
    """
    pictures = [undrawn_picture(photo, provider.about) for photo in photos]
    remaining = iter(pictures)

    async def client() -> None:
        for picture in remaining:
            if picture is not None:
                await provider.detect(picture, task)

    async def ask_all() -> float:
        began = perf_counter()
        try:
            await asyncio.gather(*(client() for _ in range(provider.about.concurrency)))
            return len(pictures) / (perf_counter() - began)
        finally:
            await provider.close()

    return asyncio.run(ask_all())
