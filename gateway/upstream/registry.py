"""The clients of all providers, by the provider's name in the configuration."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.core.clock import Clock
from gateway.core.events import Events
from gateway.upstream.breaker import CircuitBreaker
from gateway.upstream.client import UpstreamClient
from gateway.upstream.faults import CircuitOpen
from gateway.upstream.tiers import RunningTiers
from providers.base import About, ForwardCall, ForwardReply, Provider
from providers.detection import Task


@dataclass(frozen=True, slots=True)
class UpstreamRegistry:
    """Holds the clients, by provider name, and the month's price tiers."""

    clients: Mapping[str, UpstreamClient]
    clock: Clock
    tiers: RunningTiers = field(default_factory=RunningTiers)

    @classmethod
    def of(
        cls, providers: Mapping[str, Provider], clock: Clock, rng: random.Random, events: Events
    ) -> UpstreamRegistry:
        """A client for each provider, with the breaker that its options ask for."""
        clients = {
            name: UpstreamClient(
                provider,
                clock,
                rng,
                breaker=CircuitBreaker(provider.about.calls.breaker),
                events=events,
                name=name,
            )
            for name, provider in providers.items()
        }
        return cls(clients, clock)

    def __getitem__(self, name: str) -> UpstreamClient:
        """The client of a provider. Raises KeyError where the configuration has none of the name:
        a buffer may hold photos from before it changed."""
        return self.clients[name]

    def __contains__(self, name: str) -> bool:
        return name in self.clients

    def about(self, name: str) -> About:
        """A provider's description of itself."""
        return self.clients[name].provider.about

    def paid_usd(self, name: str, task: Task, extras: Sequence[str] = ()) -> float:
        """What the next picture costs that a provider is asked about."""
        return self.tiers.paid_usd(self.about(name).price_of(task, extras), name, task)

    def alone_usd(self, name: str, task: Task, extras: Sequence[str] = ()) -> float:
        """What the next photo would cost if the provider were asked about each alone."""
        return self.tiers.alone_usd(self.about(name).price_of(task, extras), name, task)

    def typical_s(self, name: str) -> float:
        """How long an answer of the provider typically takes."""
        return self.clients[name].typical_s

    def free_slots(self) -> dict[str, int]:
        """How many more canvases each provider may have in flight."""
        return {name: client.slots.free_slots for name, client in self.clients.items()}

    def problems(self) -> Mapping[str, str]:
        """The providers whose breaker is open or whose calls are all stuck, and why."""
        problems: dict[str, str] = {}
        for name, client in self.clients.items():
            if client.stall:
                problems[name] = client.stall
            try:
                client.check()
            except CircuitOpen as error:
                problems[name] = f"left alone: {error}"
        return problems

    async def forward(self, name: str, call: ForwardCall, timeout_s: float) -> ForwardReply:
        """The reply of a provider's vendor to a client's whole call. Raises ProviderError."""
        return await self.clients[name].forward(call, self.clock() + timeout_s)
