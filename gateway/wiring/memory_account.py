"""The account of the memory that local networks take."""

from __future__ import annotations

from pathlib import Path

from gateway.config.errors import ConfigError
from providers.base import Provider
from providers.engine.worker import LocalProvider

MB = 1e6


class MemoryAccount:
    """Holds the bytes that each local provider's networks took to load, by its name; `limit_mb` is
    the most that all may take (None: any)."""

    def __init__(self, config_file: Path, limit_mb: float | None = None) -> None:
        self._config_file = config_file
        self._limit_mb = limit_mb
        self._bytes: dict[str, int] = {}

    @property
    def total_bytes(self) -> int:
        """What all networks take."""
        return sum(self._bytes.values())

    def charge(self, name: str, provider: Provider) -> None:
        """Charges a provider that was loaded, in place of an earlier one of its name.

        Raises ConfigError where all that are loaded, the earlier one among them, take more than the
        limit: nothing is charged then.
        """
        if not isinstance(provider, LocalProvider):
            return
        taken_mb = (self.total_bytes + provider.memory_bytes) / MB
        if self._limit_mb is not None and taken_mb > self._limit_mb:
            raise ConfigError(
                f"{self._config_file}: providers.{name}: its networks take "
                f"{provider.memory_bytes / MB:.0f} MB, {self._beside()}"
                f"{taken_mb:.0f} MB in all, but engine.memory_mb is "
                f"{self._limit_mb:g}; raise it, or take a smaller network, input_size or mini_batch"
            )
        self._bytes[name] = provider.memory_bytes

    def _beside(self) -> str:
        loaded = ", ".join(f"{name} {size / MB:.0f} MB" for name, size in self._bytes.items())
        return f"beside {loaded}: " if loaded else ""
