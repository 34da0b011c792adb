"""What images cost, by how many of a month came before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from math import inf
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, PlainSerializer


class Tier(NamedTuple):
    """What each image of a month costs that comes after so many others."""

    from_images: int
    usd_per_image: float


@dataclass(frozen=True, slots=True)
class Price:
    """List price of one image, the day it was read, and what further images of a month cost.

    Quotes and ledger go by `usd_per_image`, the price of the first: what else an account asks about
    in a month is not known here. Raises ValueError where tiers do not begin one after the other or
    a price is no amount of money.
    """

    usd_per_image: float = 0.0
    as_of: date | None = None
    tiers: tuple[Tier, ...] = ()
    """Those after the first, which begins at 0."""

    def __post_init__(self) -> None:
        if any(later.from_images <= tier.from_images for tier, later in pairwise(self._all)):
            raise ValueError(
                "tiers must begin above 0 images, each at more of them than the one before"
            )
        if not all(0 <= tier.usd_per_image < inf for tier in self._all):
            raise ValueError("a price must be 0 or more")

    def usd_per_month(self, images: float) -> float:
        """What so many images in one month cost; a tier's price is for the images within it and no
        others."""
        ends = [*(tier.from_images for tier in self.tiers), inf]
        within = (
            max(min(images, end) - tier.from_images, 0)
            for tier, end in zip(self._all, ends, strict=True)
        )
        return sum(
            count * tier.usd_per_image for count, tier in zip(within, self._all, strict=True)
        )

    @classmethod
    def together(cls, prices: Sequence[Price]) -> Price:
        """What one image costs that is billed by all of them, each counting its own images of a
        month."""
        begins = sorted({tier.from_images for price in prices for tier in price._all} | {0})
        first, *later = (Tier(begin, sum(price._at(begin) for price in prices)) for begin in begins)
        dates = [price.as_of for price in prices if price.as_of]
        return cls(first.usd_per_image, min(dates, default=None), tuple(later))

    def _at(self, images: int) -> float:
        """Of the image that comes after so many."""
        return [tier.usd_per_image for tier in self._all if tier.from_images <= images][-1]

    @property
    def _all(self) -> tuple[Tier, ...]:
        return Tier(0, self.usd_per_image), *self.tiers


def parse_price(value: Any) -> Price:
    """`0.001`, or `{0: 0.001, 1000000: 0.0008}` by how many images of a month come before, as a
    `Price`.

    Raises ValueError with the form expected.
    """
    if isinstance(value, Price):
        return value
    try:
        given = value.items() if isinstance(value, Mapping) else [(0, value)]
        first, *later = sorted(Tier(int(str(images)), float(usd)) for images, usd in given)
    except (TypeError, ValueError):
        raise ValueError(
            f"{value!r} is no price; write US dollars an image, such as 0.001, or from how many images of "
            "a month on, such as {0: 0.001, 1000000: 0.0008}"
        ) from None
    if first.from_images != 0:
        raise ValueError(f"the first price must be from 0 images on, not from {first.from_images}")
    return Price(first.usd_per_image, tiers=tuple(later))


def _written_price(price: Price) -> float | dict[int, float]:
    return {0: price.usd_per_image, **dict(price.tiers)} if price.tiers else price.usd_per_image


PriceList = Annotated[Price, BeforeValidator(parse_price), PlainSerializer(_written_price)]
