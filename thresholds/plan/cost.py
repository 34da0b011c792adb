"""The cost of a photo at a stage: a share of an image, which depends on how full canvases are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from providers.prices import Price
from thresholds.fusion.looks import ITSELF, LookKind


@dataclass(frozen=True)
class Traffic:
    """The arrival of photos: their rate, the share of portrait ones, and how long a photo waits for
    others on its canvas.

    Without a rate there are always enough photos: every canvas is full.
    """

    per_second: float | None = None
    max_wait_s: float = 0.15
    portrait: float = 0.0

    def fill(self, cells: int, share: float = 1.0) -> float:
        """The mean number of photos on a canvas of that many cells, if this share of the photos
        goes to its stage.

        A canvas begins with a photo and takes those that arrive within its wait: with Poisson
        arrivals, min(cells, 1 + Poisson). Portrait and landscape photos have canvases of their own,
        unless a canvas is for one photo.
        """
        if cells == 1 or self.per_second is None:
            return float(cells)
        rate = self.per_second * share * self.max_wait_s
        images = sum(part / _mean_photos(rate * part, cells) for part in self._orientations)
        return 1 / images

    def share_above(self, photos: int, cells: int, share: float = 1.0) -> float:
        """The share of the photos on canvases of that many cells, if this share of all photos goes
        to their stage, whose canvas holds more than `photos` photos; 1 without a rate."""
        if self.per_second is None:
            return 1.0
        rate = self.per_second * share * self.max_wait_s
        return sum(part * _share_above(rate * part, photos, cells) for part in self._orientations)

    @property
    def _orientations(self) -> list[float]:
        """The shares of portrait and landscape photos, without one that is 0."""
        return [part for part in (self.portrait, 1 - self.portrait) if part > 0]


def _share_above(mean_arrivals: float, photos: int, cells: int) -> float:
    """The share of photos on canvases with more than `photos` of them: 1 - the sum over
    n <= photos of n P(Poisson = n - 1), over E[min(cells, 1 + Poisson)]."""
    if photos >= cells:
        return 0.0
    probability, few = math.exp(-mean_arrivals), 0.0
    for count in range(1, photos + 1):
        few += count * probability
        probability *= mean_arrivals / count
    return max(1 - few / _mean_photos(mean_arrivals, cells), 0.0)


def _mean_photos(mean_arrivals: float, cells: int) -> float:
    """E[min(cells, 1 + Poisson(mean))], which is 1 + the sum over k < cells - 1 of
    P(Poisson > k)."""
    probability, cumulated, photos = math.exp(-mean_arrivals), 0.0, 1.0
    for arrivals in range(cells - 1):
        cumulated += probability
        photos += max(1 - cumulated, 0.0)
        probability *= mean_arrivals / (arrivals + 1)
    return photos


@dataclass(frozen=True)
class Costs:
    """Prices, by provider as kinds name it (empty: the route's own), and the traffic. Companions
    are free."""

    prices: Mapping[str, Price] = field(default_factory=dict)
    companions: tuple[str, ...] = ()
    traffic: Traffic = Traffic()

    def images(self, kind: LookKind, share: float = 1.0) -> float:
        """The cost of a look of that kind for one photo, in images of the route's own provider
        asked alone."""
        if kind.provider in self.companions:
            return 0.0
        return self.relative(kind.provider) / self.traffic.fill(kind.shape.cells, share)

    def usd_per_month(self, images: float) -> float:
        """The price of that many images of the route's own provider within one month."""
        return self.prices.get(ITSELF.provider, Price()).usd_per_month(images)

    def relative(self, provider: str) -> float:
        """The price of a provider's image in images of the route's own; 1 where prices are
        unknown."""
        own_usd = self.prices.get(ITSELF.provider, Price()).usd_per_image
        usd = self.prices.get(provider, Price()).usd_per_image
        return usd / own_usd if provider and own_usd > 0 else 1.0
