"""Sources: photos that clients name by URL, on the web or in an object store.

Stores are read with the gateway's own rights, which are not its clients': an object is read only
for tenants to whom the operator opened its folder. Photos on the web are public; the egress guard
decides which addresses that covers.
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
from gateway.core.fair_share import FairSlots
from gateway.core.locations import WEB, Folder, Location, location_of
from gateway.core.model import Tenant
from gateway.security.egress import EgressGuard
from gateway.security.egress_errors import FetchFailed, NotThere, TooLarge, UrlRefused

AT_ONCE = 16
"""Photos being fetched at a time, which bounds the bytes held meanwhile."""


class SourceReader(Protocol):
    """Reads photos at locations of one scheme, for any tenant."""

    async def read(self, location: Location, max_bytes: int) -> bytes:
        """All bytes at the location. Raises NotFetched; SourceTooLarge where there are more than
        `max_bytes`, of which it reads one byte too many at most."""
        ...

    async def close(self) -> None:
        """Closes the reader without waiting for reads under way."""
        ...


class Sources:
    """Fetches photos within a time each and a number at a time. Holds the free slots.

    `shared_folders` are open to every tenant, `tenant_folders` to the tenant of that name.
    `readers` are by scheme; every folder's scheme must have one.
    """

    def __init__(
        self,
        readers: Mapping[str, SourceReader],
        shared_folders: Sequence[Folder] = (),
        tenant_folders: Mapping[str, Sequence[Folder]] | None = None,
        *,
        timeout_s: float,
        at_once: int = AT_ONCE,
        tenants: int = 1,
    ) -> None:
        self._readers = readers
        self._shared_folders = tuple(shared_folders)
        self._tenant_folders = tenant_folders or {}
        self._timeout_s = timeout_s
        self._slots = FairSlots(at_once, tenants)

    async def fetch(self, url: str, tenant: Tenant, max_bytes: int) -> bytes:
        """The photo at a URL, as `location_of` reads URLs.

        Raises SourceNotAllowed, SourceMissing, SourceTooLarge, SourceAway or, for other reasons, a
        plain NotFetched; and Busy where no slot became free in time. Messages are for the client.
        """
        location = self._location(url, tenant)
        async with self._slot(tenant):
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._readers[location.scheme].read(location, max_bytes)
            except TimeoutError:
                raise SourceAway(
                    f"The photo did not arrive within {self._timeout_s:g} s (fetch.timeout_ms)."
                ) from None

    def check(self, url: str, tenant: Tenant) -> None:
        """Checks the form of a URL, and that the tenant may name it; web addresses are checked when
        they are fetched. Raises NotFetched or SourceNotAllowed."""
        self._location(url, tenant)

    async def close(self) -> None:
        """Closes the readers, each once."""
        for reader in dict.fromkeys(self._readers.values()):
            await reader.close()

    def _location(self, url: str, tenant: Tenant) -> Location:
        """The location of a URL that the tenant may name. Raises NotFetched or
        SourceNotAllowed."""
        try:
            location = location_of(url)
        except ValueError as error:
            raise NotFetched(f"The photo was not fetched: {error}") from None
        folders = (*self._shared_folders, *self._tenant_folders.get(tenant.name, ()))
        if location.scheme not in WEB and not any(folder.holds(location) for folder in folders):
            raise SourceNotAllowed(
                "The photo was not fetched: this gateway reads nothing for you where it is said to "
                f"lie. Its operator can add {location.scheme}://{location.bucket}/, or a folder in "
                "it, to your tenant's sources or to fetch.sources."
            )
        return location

    @asynccontextmanager
    async def _slot(self, tenant: Tenant) -> AsyncIterator[None]:
        """Takes a slot while the block lasts. Raises Busy."""
        if not await self._slots.acquire(tenant.name, self._timeout_s):
            raise Busy("Too many photos are being fetched at once; come back in a second.")
        try:
            yield
        finally:
            self._slots.release(tenant.name)


@dataclass(frozen=True, slots=True)
class WebSource:
    """Reads http and https URLs behind the egress guard, which it does not close."""

    guard: EgressGuard

    async def read(self, location: Location, max_bytes: int) -> bytes:
        return await read_url(self.guard, location.url, max_bytes)

    async def close(self) -> None:
        pass


async def read_url(guard: EgressGuard, url: str, max_bytes: int) -> bytes:
    """The bytes that the guard fetches from the URL. Raises NotFetched; SourceAway where a later
    try may succeed."""
    try:
        return await guard.fetch(url, max_bytes=max_bytes)
    except (UrlRefused, FetchFailed) as error:
        raise _not_fetched(error) from None


def _not_fetched(error: UrlRefused | FetchFailed) -> NotFetched:
    message = f"The photo was not fetched: {error}"
    match error:
        case UrlRefused():
            return SourceNotAllowed(message)
        case TooLarge():
            return SourceTooLarge(message)
        case NotThere():
            return SourceMissing(message)
    return SourceAway(message) if error.transient else NotFetched(message)
