"""Questions that the gateway asks for itself: to watch its routes, and to learn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from gateway.core.model import Outcome, Photo, Tenant, Way
from gateway.core.request_id import new_photo_id
from providers.detection import Detection

Ask = Callable[[Photo, Way, Tenant], Awaitable[Outcome]]
"""Answers a photo by one variant of its route, after the photos of all clients."""


async def own_answer(ask: Ask, photo: Photo, way: Way, tenant: Tenant) -> tuple[Detection, ...]:
    """The detections on a copy of the photo, under an id of its own. Raises the error of a photo
    that fails."""
    outcome = await ask(replace(photo, id=new_photo_id()), way, tenant)
    if outcome.error is not None:
        raise outcome.error
    return outcome.detections
