"""Fetching the photos of jobs that clients name by URL."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from gateway.core.errors import SourceAway
from gateway.core.limits import PhotoLimits
from gateway.core.model import Photo, RemotePhoto
from gateway.intake.admission import admit
from gateway.intake.sources import read_url
from gateway.security.egress import EgressGuard
from providers.base import Limits

TRIES = 3
PAUSE_S = 1.0
"""The pause after the first try; the one after the second is twice as long."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches photos behind the egress guard and admits them."""

    guard: EgressGuard
    api_limits: Limits
    photo_limits: PhotoLimits

    async def __call__(self, photo: RemotePhoto) -> Photo:
        """The photo at the URL.

        Raises NotFetched where it cannot be fetched after a few tries, and what `admit` raises.
        """
        data = await self._fetch(photo.url)
        return await asyncio.to_thread(admit, photo.id, data, self.api_limits, self.photo_limits)

    async def _fetch(self, url: str) -> bytes:
        for attempt in range(1, TRIES):
            with suppress(SourceAway):
                return await self._fetch_once(url)
            await asyncio.sleep(PAUSE_S * attempt)
        return await self._fetch_once(url)

    async def _fetch_once(self, url: str) -> bytes:
        max_bytes = min(self.api_limits.max_bytes, self.photo_limits.max_bytes)
        return await read_url(self.guard, url, max_bytes)
