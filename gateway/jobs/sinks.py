"""Sinks: buckets and folders that the results of jobs are written to.

They are written with the gateway's own rights, which are not its clients': an object is written
only for tenants to whom the operator opened its folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.core.errors import BadRequest, SinkNotAllowed
from gateway.core.locations import Folder, Location, location_of, s3_url


class NotWritten(Exception):
    """The store did not take the object; it may later. The message is for the client."""


class SinkRefused(NotWritten):
    """The store will not take the object before somebody changes it, or what the job names."""


class SinkMissing(SinkRefused):
    """There is no such bucket."""


class SinkForbidden(SinkRefused):
    """The gateway has no right to write there."""


class SinkKeyUnusable(SinkRefused):
    """The bucket's key of encryption cannot be used."""


class ObjectWriter(Protocol):
    """Writes objects of one kind of store."""

    async def write(self, location: Location, data: bytes, content_type: str) -> None:
        """Writes the whole object, in the place of an earlier one. Raises NotWritten."""
        ...

    async def close(self) -> None:
        """Closes the writer without waiting for writes under way."""
        ...


class Sinks:
    """Writes to folders that are open: `shared_folders` to every tenant, `tenant_folders` to the
    tenant of that name. `writer` is None where no folder is."""

    def __init__(
        self,
        writer: ObjectWriter | None,
        shared_folders: Sequence[Folder] = (),
        tenant_folders: Mapping[str, Sequence[Folder]] | None = None,
    ) -> None:
        self._writer = writer
        self._shared_folders = tuple(shared_folders)
        self._tenant_folders = tenant_folders or {}

    def location(self, bucket: str, key: str, tenant: str) -> Location:
        """The location of an object that the tenant's results may be written to. Raises BadRequest
        for one that no object can have, and SinkNotAllowed."""
        try:
            location = location_of(s3_url(bucket, key))
        except ValueError as error:
            raise BadRequest(f"No results can be written there: {error}") from None
        folders = (*self._shared_folders, *self._tenant_folders.get(tenant, ()))
        if not any(folder.holds(location) for folder in folders):
            raise SinkNotAllowed(
                "This gateway writes nothing for you there. Its operator can add "
                f"s3://{location.bucket}/, or a folder in it, to your tenant's sinks or to "
                "jobs.sinks."
            )
        return location

    async def write(
        self, bucket: str, key: str, tenant: str, *, data: bytes, content_type: str
    ) -> None:
        """Writes the object, in the place of an earlier one. Raises NotWritten."""
        try:
            location = self.location(bucket, key, tenant)
        except BadRequest as error:
            raise SinkForbidden(str(error)) from None
        assert self._writer is not None  # a folder is open
        await self._writer.write(location, data, content_type)

    async def close(self) -> None:
        """Closes the writer."""
        if self._writer is not None:
            await self._writer.close()
