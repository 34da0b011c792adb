"""What a photo costs at a stage: a share of an image, which depends on how full canvases become.
Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from providers.prices import Price
from thresholds.fusion.looks import ITSELF, LookKind


@dataclass(frozen=True)
class Traffic:
    """How photos come: so many a second, a share of them portrait, and how long each waits for
    company.

    Without a rate there are always enough: every canvas is full.
    """

    per_second: float | None = None
    max_wait_s: float = 0.15
    portrait: float = 0.0

    def fill(self, cells: int, share: float = 1.0) -> float:
        """The mean number of photos on a canvas of so many cells, where this share of the photos
        goes to its stage.

        A canvas begins with a photo and takes what comes within its wait: with arrivals by chance,
        min(cells, 1 + Poisson). Portrait and landscape photos wait apart unless the canvas is for
        one photo.
        """
        if cells == 1 or self.per_second is None:
            return float(cells)
        rate = self.per_second * share * self.max_wait_s
        parts = [part for part in (self.portrait, 1 - self.portrait) if part > 0]
        images = sum(part / _company(rate * part, cells) for part in parts)
        return 1 / images


def _company(expected: float, cells: int) -> float:
    """E[min(cells, 1 + Poisson(expected))], = 1 + the sum over k < cells - 1 of P(Poisson > k)."""
    chance, below, total = math.exp(-expected), 0.0, 1.0
    for more in range(cells - 1):
        below += chance
        total += max(1 - below, 0.0)
        chance *= expected / (more + 1)
    return total


@dataclass(frozen=True)
class Costs:
    """Prices, by provider as kinds name it (empty: the route's own), and the traffic. Companions
    are free."""

    prices: Mapping[str, Price] = field(default_factory=dict)
    companions: tuple[str, ...] = ()
    traffic: Traffic = Traffic()

    def images(self, kind: LookKind, share: float = 1.0) -> float:
        """What a photo owes for a look of that kind, in images of the route's own provider asked
        alone."""
        if kind.provider in self.companions:
            return 0.0
        return self.relative(kind.provider) / self.traffic.fill(kind.shape.cells, share)

    def usd_per_month(self, images: float) -> float:
        """What so many images of the route's own provider cost within one month."""
        return self.prices.get(ITSELF.provider, Price()).usd_per_month(images)

    def relative(self, provider: str) -> float:
        """What a provider's image costs in images of the route's own; one where prices say
        nothing."""
        own = self.prices.get(ITSELF.provider, Price()).usd_per_image
        other = self.prices.get(provider, Price()).usd_per_image
        return other / own if provider and own > 0 else 1.0
