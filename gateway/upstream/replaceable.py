"""A provider in whose place another one can be put while it is asked."""

from __future__ import annotations

from collections.abc import Sequence

from providers.base import About, Picture, Provider
from providers.detection import Detection, Task


class ReplaceableProvider:
    """Asks the provider in service. Holds that."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    @property
    def about(self) -> About:
        return self._provider.about

    async def detect(
        self, picture: Picture, task: Task, extras: Sequence[str] = ()
    ) -> Sequence[Detection]:
        return await self._provider.detect(picture, task, extras)

    async def ready(self) -> None:
        await self._provider.ready()

    async def close(self) -> None:
        await self._provider.close()

    def replace(self, provider: Provider) -> Provider:
        """Puts a provider into service, which has all pictures from now on. Returns the earlier
        one, which may still be asked about pictures from before."""
        earlier, self._provider = self._provider, provider
        return earlier
