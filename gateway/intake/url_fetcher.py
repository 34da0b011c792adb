"""Photos that clients name by URL."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from gateway.core.errors import SourceAway
from gateway.core.limits import PhotoLimits
from gateway.core.model import Photo, RemotePhoto
from gateway.intake.admission import admit
from gateway.intake.sources import from_web
from gateway.security.egress import EgressGuard
from providers.base import Limits

TRIES = 3
PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches photos behind the address guard, and admits them."""

    guard: EgressGuard
    limits: Limits
    house: PhotoLimits

    async def __call__(self, photo: RemotePhoto) -> Photo:
        """The photo at the URL.

        Raises NotFetched where there is none to be had after a few tries, and what `admit` raises.
        """
        data = await self._bytes(photo.url)
        return await asyncio.to_thread(admit, photo.id, data, self.limits, self.house)

    async def _bytes(self, url: str) -> bytes:
        for attempt in range(1, TRIES):
            with suppress(SourceAway):
                return await self._once(url)
            await asyncio.sleep(PAUSE_S * attempt)
        return await self._once(url)

    async def _once(self, url: str) -> bytes:
        return await from_web(self.guard, url, min(self.limits.max_bytes, self.house.max_bytes))
