"""What a purchase of answers will cost, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from providers.prices import Price


class QuoteItem(NamedTuple):
    """Images to send to one provider. `stored_images` were paid for before."""

    provider: str
    images: int
    price: Price
    purpose: str = ""
    stored_images: int = 0

    @property
    def usd(self) -> float:
        return self.images * self.price.usd_per_image


class Quote(NamedTuple):
    """The price of all that a piece of work will send, by provider and purpose."""

    items: tuple[QuoteItem, ...]

    @property
    def images(self) -> int:
        return sum(item.images for item in self.items)

    @property
    def stored_images(self) -> int:
        return sum(item.stored_images for item in self.items)

    @property
    def usd(self) -> float:
        return sum(item.usd for item in self.items)


Confirm = Callable[[Quote], bool]
"""Whether the caller agrees to the price. It also receives quotes of no images."""
