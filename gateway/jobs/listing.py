"""Lists of a tenant's jobs, read from the store a few at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.store.jobs import Job, JobStore

JOBS_AT_ONCE = 20
"""Each job that was read holds the names of its photos, which may be megabytes."""


async def latest_jobs(store: JobStore, tenant: str, after: str = "") -> AsyncIterator[Job]:
    """The tenant's jobs after the cursor, an earlier job's id, the latest first. Raises
    BufferAway."""
    while True:
        page = await store.page(tenant, after=after, limit=JOBS_AT_ONCE)
        for job in page.jobs:
            yield job
        after = page.next
        if not after:
            return
