"""Fetching the photos of jobs that clients name by their address."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from gateway.core.errors import Busy, SourceAway
from gateway.core.limits import PhotoLimits
from gateway.core.model import Photo, RemotePhoto, Tenant
from gateway.intake.admission import admit
from providers.base import Limits

TRIES = 3
PAUSE_S = 1.0
"""The pause after the first try; the one after the second is twice as long."""


ReadSource = Callable[[str, Tenant, int], Awaitable[bytes]]
"""Reads the photo at an address that the tenant named, of at most so many bytes. Raises NotFetched
or Busy."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches photos from where the tenant may name them, and admits them."""

    read_source: ReadSource
    api_limits: Limits
    photo_limits: PhotoLimits

    async def __call__(self, photo: RemotePhoto, tenant: Tenant) -> Photo:
        """The photo at the address that the tenant named.

        Raises NotFetched where it cannot be fetched after a few tries, and what `admit` raises.
        """
        data = await self._fetch(photo.url, tenant)
        return await asyncio.to_thread(admit, photo.id, data, self.api_limits, self.photo_limits)

    async def _fetch(self, url: str, tenant: Tenant) -> bytes:
        max_bytes = min(self.api_limits.max_bytes, self.photo_limits.max_bytes)
        for attempt in range(1, TRIES):
            with suppress(SourceAway, Busy):
                return await self.read_source(url, tenant, max_bytes)
            await asyncio.sleep(PAUSE_S * attempt)
        return await self.read_source(url, tenant, max_bytes)
