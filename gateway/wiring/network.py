"""The gateway's way out from settings: the egress guard, the sources that photos are read from, and
the sinks that results are written to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from gateway.config.errors import ConfigError
from gateway.config.sections import FetchSettings
from gateway.config.settings import Settings
from gateway.core.locations import WEB, Folder, folder_of
from gateway.intake.object_stores import open_gs, open_s3, s3_client
from gateway.intake.sources import SourceReader, Sources, WebSource
from gateway.jobs.s3_writer import S3Writer
from gateway.jobs.sinks import Sinks
from gateway.security.egress import EgressGuard
from providers.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class Network:
    """What connects to addresses that clients name."""

    guard: EgressGuard
    sources: Sources
    sinks: Sinks

    async def close(self) -> None:
        """Closes writer and readers, then the guard that they use."""
        async with AsyncExitStack() as stack:  # unwound from the bottom
            stack.push_async_callback(self.guard.close)
            stack.push_async_callback(self.sources.close)
            stack.push_async_callback(self.sinks.close)


def open_network(config: Settings, file: Path) -> Network:
    """The guard, the sources behind it, and the sinks. Raises ConfigError for a store without a
    library or credentials."""
    fetch = config.fetch
    guard = EgressGuard(
        fetch.allow, timeout_s=fetch.timeout_ms / 1000, max_redirects=fetch.max_redirects
    )
    return Network(guard, _sources(config, file, guard), _sinks(config, file))


def _sources(config: Settings, file: Path, guard: EgressGuard) -> Sources:
    shared = _folders(config.fetch.sources)
    by_tenant = {tenant.name: _folders(tenant.sources) for tenant in config.tenants}
    schemes = {folder.scheme for folders in (shared, *by_tenant.values()) for folder in folders}
    readers: dict[str, SourceReader] = dict.fromkeys(WEB, WebSource(guard))
    for scheme in sorted(schemes):
        readers[scheme] = _store_reader(scheme, config.fetch, file)
    return Sources(
        readers,
        shared,
        by_tenant,
        timeout_s=config.fetch.timeout_ms / 1000,
        tenants=config.tenant_count,
    )


def _sinks(config: Settings, file: Path) -> Sinks:
    shared = _folders(config.jobs.sinks)
    by_tenant = {tenant.name: _folders(tenant.sinks) for tenant in config.tenants}
    if not shared and not any(by_tenant.values()):
        return Sinks(None)
    try:
        client = s3_client(config.fetch.s3, config.fetch.timeout_ms / 1000)
    except Misconfigured as error:
        raise ConfigError(f"{file}: fetch.s3: {error}") from None
    return Sinks(S3Writer(client), shared, by_tenant)


def _folders(urls: Sequence[str]) -> list[Folder]:
    return [folder_of(url) for url in urls]


def _store_reader(scheme: str, fetch: FetchSettings, file: Path) -> SourceReader:
    """The reader of one kind of object store, whose library is imported here. Raises
    ConfigError."""
    timeout_s = fetch.timeout_ms / 1000
    openers: Mapping[str, Callable[[], SourceReader]] = {
        "s3": lambda: open_s3(fetch.s3, timeout_s),
        "gs": lambda: open_gs(fetch.gs, timeout_s),
    }
    try:
        return openers[scheme]()
    except Misconfigured as error:
        raise ConfigError(f"{file}: fetch.{scheme}: {error}") from None
