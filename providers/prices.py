"""Prices of images, by the number of images already billed in the month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from math import inf
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, PlainSerializer


class Tier(NamedTuple):
    """The price of each image that follows the first `from_images` of a month."""

    from_images: int
    usd_per_image: float


@dataclass(frozen=True, slots=True)
class Price:
    """List price of one image, the day it was read, and the tiers of further images of a month.

    Quotes use `usd_per_image`, the price of the first image; the ledger goes by what it counted in
    the month. Raises ValueError if the tiers do not ascend or a price
    is no amount of money.
    """

    usd_per_image: float = 0.0
    as_of: date | None = None
    tiers: tuple[Tier, ...] = ()
    """The tiers after the first, which starts at 0 images."""

    def __post_init__(self) -> None:
        tiers = self._all_tiers
        if any(later.from_images <= tier.from_images for tier, later in pairwise(tiers)):
            raise ValueError(
                "tiers must begin above 0 images, each at more of them than the one before"
            )
        if not all(0 <= tier.usd_per_image < inf for tier in tiers):
            raise ValueError("a price must be 0 or more")

    def usd_per_month(self, images: float) -> float:
        """The cost of this many images in one month. Each tier's price applies to the images within
        it only."""
        tiers = self._all_tiers
        ends = [*(tier.from_images for tier in self.tiers), inf]
        usd = 0.0
        for tier, end in zip(tiers, ends, strict=True):
            usd += max(min(images, end) - tier.from_images, 0) * tier.usd_per_image
        return usd

    @classmethod
    def total(cls, prices: Sequence[Price]) -> Price:
        """The price of an image that is billed once by each of these; each counts its own images of
        a month."""
        starts = {0}
        for price in prices:
            starts.update(tier.from_images for tier in price.tiers)
        tiers: list[Tier] = []
        for start in sorted(starts):
            tiers.append(Tier(start, sum(price.usd_at(start) for price in prices)))
        dates = [price.as_of for price in prices if price.as_of]
        return cls(tiers[0].usd_per_image, min(dates, default=None), tuple(tiers[1:]))

    def usd_at(self, images: float) -> float:
        """The price of the image that follows this many others of the month."""
        return [tier.usd_per_image for tier in self._all_tiers if tier.from_images <= images][-1]

    @property
    def _all_tiers(self) -> tuple[Tier, ...]:
        return Tier(0, self.usd_per_image), *self.tiers


def parse_price(value: Any) -> Price:
    """The price written as `0.001`, or as `{0: 0.001, 1000000: 0.0008}`: by tier, each with its
    first image.

    Raises ValueError with the form expected.
    """
    if isinstance(value, Price):
        return value
    try:
        pairs = value.items() if isinstance(value, Mapping) else [(0, value)]
        first, *later = sorted(Tier(int(str(images)), float(usd)) for images, usd in pairs)
    except (TypeError, ValueError):
        raise ValueError(
            f"{value!r} is no price; write US dollars an image, such as 0.001, or from how many "
            "images of a month on, such as {0: 0.001, 1000000: 0.0008}"
        ) from None
    if first.from_images != 0:
        raise ValueError(f"the first price must be from 0 images on, not from {first.from_images}")
    return Price(first.usd_per_image, tiers=tuple(later))


def _written(price: Price) -> float | dict[int, float]:
    return {0: price.usd_per_image, **dict(price.tiers)} if price.tiers else price.usd_per_image


PriceList = Annotated[Price, BeforeValidator(parse_price), PlainSerializer(_written)]
