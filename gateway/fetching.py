"""Photos that clients name by URL."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from gateway.admission import House, admit
from gateway.errors import NotFetched
from gateway.guard import FetchFailed, Guard, UrlRefused
from gateway.model import Photo
from providers.base import Limits

TRIES = 3
PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches photos behind the address guard, and admits them."""

    guard: Guard
    limits: Limits
    house: House

    async def __call__(self, photo: Photo) -> Photo:
        """The photo that is found at the URL in place of its bytes.

        Raises NotFetched where there is none to be had after a few tries, and what `admit` raises.
        """
        data = await self._bytes(photo.data.decode())
        return await asyncio.to_thread(admit, photo.id, data, self.limits, self.house)

    async def _bytes(self, url: str) -> bytes:
        for attempt in range(1, TRIES + 1):
            try:
                return await self.guard.fetch(url, max_bytes=min(self.limits.max_bytes, self.house.max_bytes))
            except UrlRefused as error:
                raise NotFetched(f"The photo was not fetched: {error}") from None
            except FetchFailed as error:
                if attempt == TRIES or not error.passing:
                    raise NotFetched(f"The photo was not fetched: {error}") from None
            await asyncio.sleep(PAUSE_S * attempt)
        raise AssertionError("the last try returns or raises")
