"""Calls of providers."""

from __future__ import annotations

from collections.abc import Sequence

from providers.base import Picture, Provider
from providers.detection import Detection, Task


async def ask_once(
    provider: Provider, picture: Picture, task: Task, extras: Sequence[str] = ()
) -> list[Detection]:
    """The provider's answer about the picture; the provider is closed afterwards."""
    try:
        return await provider.detect(picture, task, extras)
    finally:
        await provider.close()
