"""The gateway's way out from settings: the egress guard, and the sources that photos are read
from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.config.errors import ConfigError
from gateway.config.sections import FetchSettings
from gateway.config.settings import Settings
from gateway.core.locations import WEB, Folder, folder_of
from gateway.intake.object_stores import open_gs, open_s3
from gateway.intake.sources import SourceReader, Sources, WebSource
from gateway.security.egress import EgressGuard
from providers.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class Network:
    """What connects to addresses that clients name."""

    guard: EgressGuard
    sources: Sources

    async def close(self) -> None:
        """Closes the readers, then the guard that they use."""
        try:
            await self.sources.close()
        finally:
            await self.guard.close()


def open_network(config: Settings, file: Path) -> Network:
    """The guard and the sources behind it. Raises ConfigError for a store that cannot be read."""
    fetch = config.fetch
    guard = EgressGuard(
        fetch.allow, timeout_s=fetch.timeout_ms / 1000, max_redirects=fetch.max_redirects
    )
    return Network(guard, _sources(config, file, guard))


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
