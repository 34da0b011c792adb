"""Keeps tenants and their keys within their rates of requests and photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.errors import TooFast
from gateway.core.model import Tenant
from gateway.ledger.rates import Claim, Rate
from gateway.store.rates import RateStore


@dataclass(frozen=True, slots=True)
class TenantRates:
    """The rates of one tenant, and those of each of its keys; None for no limit."""

    requests: Rate | None = None
    photos: Rate | None = None
    key_requests: Rate | None = None
    key_photos: Rate | None = None


@dataclass(frozen=True, slots=True)
class RateGate:
    """Refuses requests that come too fast. `rates` are those of the tenants that have any."""

    rates: Mapping[str, TenantRates]
    store: RateStore

    async def check(self, tenant: Tenant, photos: int) -> None:
        """Counts a request of so many photos. Raises TooFast, and then it does not count; and
        BufferAway."""
        claims = self._claims(tenant, photos)
        wait_s = await self.store.take(claims) if claims else 0.0
        if wait_s:
            raise TooFast(
                f"You ask faster than your limits allow; this request may come in {wait_s:.1f} s. "
                "The operator sets them in tenants[].limits.",
                wait_s,
            )

    def _claims(self, tenant: Tenant, photos: int) -> list[Claim]:
        rates = self.rates.get(tenant.name)
        if rates is None:
            return []
        name, key = tenant.name, f"{tenant.name}:{tenant.key}"
        claims = (
            (f"requests:{name}", 1, rates.requests),
            (f"photos:{name}", photos, rates.photos),
            (f"key-requests:{key}", 1, rates.key_requests),
            (f"key-photos:{key}", photos, rates.key_photos),
        )
        return [Claim(claim, units, rate) for claim, units, rate in claims if rate and units]
