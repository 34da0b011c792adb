"""The price of the next image of the month, where vendors charge less for each image the more there
were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from providers.prices import Price


class MonthCount(NamedTuple):
    """The images of a month: those billed, and the photos answered, which is as many as would have
    been billed alone."""

    billed: float = 0.0
    answered: float = 0.0


class RunningTiers:
    """Holds the month's counts, by provider and task: vendors count each kind of call by itself.

    They are read from the ledger now and then, so that a tier begins some seconds of traffic late;
    what the account was billed without the gateway is not known.
    """

    def __init__(self) -> None:
        self._counts: Mapping[tuple[str, str], MonthCount] = {}

    def update(self, counts: Mapping[tuple[str, str], MonthCount]) -> None:
        """Takes the month's counts."""
        self._counts = counts

    def paid_usd(self, price: Price, provider: str, task: str) -> float:
        """The price of the next image that is billed."""
        return price.usd_at(self._counts.get((provider, task), MonthCount()).billed)

    def alone_usd(self, price: Price, provider: str, task: str) -> float:
        """What the next photo would cost if all had been asked about alone."""
        return price.usd_at(self._counts.get((provider, task), MonthCount()).answered)
