"""What a photo costs by its route, before it is asked about. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.core.model import Route


class PhotoPrice(NamedTuple):
    """The price of one photo in USD: at least and at most, in full canvases; alone; and what it
    costs by the cascade's plan, None where the plan does not say."""

    least_usd: float
    most_usd: float
    alone_usd: float
    usd: float | None


def photo_price(route: Route, variant: str, usd_of: Callable[[str], float]) -> PhotoPrice:
    """The price of a photo that goes by a variant of the route's cascade; `usd_of` gives that of an
    image by the provider's name."""
    cascade = route.variant(variant)
    least_usd, most_usd, may_end = 0.0, 0.0, False
    for stage in cascade.stages:
        provider = stage.provider or route.provider
        is_free = bool(route.companion) and provider == route.companion
        usd = 0.0 if is_free else usd_of(provider) / stage.shape.cells
        least_usd += 0.0 if may_end else usd
        most_usd += usd
        may_end = may_end or stage.rule.kind != "onward"
    alone_usd = usd_of(route.provider)
    planned_usd = None if cascade.images is None else cascade.images * alone_usd
    return PhotoPrice(least_usd, most_usd, alone_usd, planned_usd)
