"""Photos that clients name by where they lie, read with the gateway's own rights.

These rights are not everybody's: an object of a store is read only for tenants to whom the operator
opened its folder. What is on the web is anybody's, and which addresses that means the guard
decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from gateway.core.errors import (
    Busy,
    NotFetched,
    SourceAway,
    SourceMissing,
    SourceNotAllowed,
    SourceTooLarge,
)
from gateway.core.locations import WEB, Folder, Location, place_of
from gateway.core.model import Tenant
from gateway.security.egress import EgressGuard, FetchFailed, NotThere, TooLarge, UrlRefused

AT_ONCE = 16
"""Photos being fetched at a time; so many times the largest photo are the bytes that are held
meanwhile."""


class SourceReader(Protocol):
    """Reads what lies at places of one scheme, whoever asks."""

    async def read(self, place: Location, max_bytes: int) -> bytes:
        """All bytes. Raises NotFetched, which is SourceTooLarge where there are more, and holds no
        more than one byte more to find out."""
        ...

    async def close(self) -> None:
        """Nothing is read any more; what is under way is not waited for."""
        ...


class Sources:
    """Fetches photos, so many at a time and in so much time each. Holds how many more may begin.

    `shared` is open to everybody, `own` by a tenant's name to that tenant. `readers` are by scheme,
    and there is one for each scheme of a folder.
    """

    def __init__(
        self,
        readers: Mapping[str, SourceReader],
        shared: Sequence[Folder] = (),
        own: Mapping[str, Sequence[Folder]] | None = None,
        *,
        timeout_s: float,
        at_once: int = AT_ONCE,
    ) -> None:
        self._readers = readers
        self._shared = tuple(shared)
        self._own = own or {}
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(at_once)

    async def fetch(self, url: str, tenant: Tenant, max_bytes: int) -> bytes:
        """The photo at a URL that `place_of` reads.

        Raises SourceNotAllowed, SourceMissing, SourceTooLarge, SourceAway or, for other reasons, a
        plain NotFetched; and Busy where no slot became free within the time limit. All messages are
        for the client.
        """
        place = self._allowed(url, tenant)
        async with self._slot():
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._readers[place.scheme].read(place, max_bytes)
            except TimeoutError:
                raise SourceAway(
                    f"The photo did not arrive within {self._timeout_s:g} s (fetch.timeout_ms)."
                ) from None

    async def close(self) -> None:
        for reader in dict.fromkeys(self._readers.values()):
            await reader.close()

    def _allowed(self, url: str, tenant: Tenant) -> Location:
        try:
            place = place_of(url)
        except ValueError as error:
            raise NotFetched(f"The photo was not fetched: {error}") from None
        folders = (*self._shared, *self._own.get(tenant.name, ()))
        if place.scheme not in WEB and not any(folder.holds(place) for folder in folders):
            raise SourceNotAllowed(
                f"The photo was not fetched: this gateway reads nothing for you where it is said to lie. Its operator "
                f"can add {place.scheme}://{place.bucket}/, or a folder in it, to your tenant's sources or to "
                "fetch.sources."
            )
        return place

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._slots.acquire()
        except TimeoutError:
            raise Busy(
                "Too many photos are being fetched at once; come back in a second."
            ) from None
        try:
            yield
        finally:
            self._slots.release()


@dataclass(frozen=True, slots=True)
class WebSource:
    """Reads from http and https URLs, behind the guard, which is closed by whoever opened it."""

    guard: EgressGuard

    async def read(self, place: Location, max_bytes: int) -> bytes:
        return await from_web(self.guard, place.url, max_bytes)

    async def close(self) -> None:
        pass


async def from_web(guard: EgressGuard, url: str, max_bytes: int) -> bytes:
    """What the guard fetches from the URL; SourceAway is raised where trying again later may
    help."""
    try:
        return await guard.fetch(url, max_bytes=max_bytes)
    except (UrlRefused, FetchFailed) as error:
        raise _translated(error) from None


def _translated(error: UrlRefused | FetchFailed) -> NotFetched:
    message = f"The photo was not fetched: {error}"
    match error:
        case UrlRefused():
            return SourceNotAllowed(message)
        case TooLarge():
            return SourceTooLarge(message)
        case NotThere():
            return SourceMissing(message)
    return SourceAway(message) if error.passing else NotFetched(message)
