"""The faults of providers, and what follows each: one table for retries, fallbacks, the breaker and
the bill.

docs/operations.md shows it to operators.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Literal, NamedTuple

from providers.errors import (
    Misconfigured,
    NoAnswer,
    PictureRefused,
    ProviderError,
    Throttled,
    Unavailable,
)

MAX_CALLS = 3
"""Calls to a provider that has a fallback for the fault. SDKs make as many by default."""
FIRST_SHARE = 0.5
"""The share of the remaining time for a provider that has a fallback for the fault. The fallback
gets the other half."""


class RateLimited(Throttled):
    """The call's turn at the provider's rate would come too late. Nothing was sent."""


class CircuitOpen(Unavailable):
    """The provider's circuit breaker lets no call through for `retry_after_s`. Nothing was sent."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Fault(NamedTuple):
    """One row of the table.

    `passes`: the same call may succeed later, so photos of jobs come back. `sent`: the call was
    sent, so another may follow at once. `fails`: it counts as a failure for the breaker.
    `maybe_billed`: the vendor may bill the call. `fallback`: when a fallback may be asked instead;
    `listed` where the route names the fault.
    """

    name: str
    passes: bool
    sent: bool
    fails: bool
    maybe_billed: bool
    fallback: Literal["never", "listed", "always"]


TABLE: Mapping[type[ProviderError], Fault] = {
    #                         name             passes sent   fails  billed fallback
    PictureRefused: Fault("refused", False, True, False, False, "never"),
    Throttled: Fault("throttled", True, True, False, False, "listed"),
    RateLimited: Fault("throttled", True, False, False, False, "listed"),
    Unavailable: Fault("unavailable", True, True, True, False, "listed"),
    CircuitOpen: Fault("resting", True, False, True, False, "always"),
    NoAnswer: Fault("no_answer", True, True, True, True, "listed"),
    Misconfigured: Fault("misconfigured", False, True, True, False, "listed"),
    ProviderError: Fault("unknown", False, True, True, False, "never"),
}
"""By the class of the error; the nearest class in its method resolution order counts."""


def fault_of(error: ProviderError) -> Fault:
    """The table's row for an error."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a call is repeated. `billed_twice`: a call that may be billed may be repeated.
    `fallback_faults`: the faults after which a fallback is asked, so that this provider gets fewer
    calls."""

    billed_twice: bool = False
    fallback_faults: Set[str] = frozenset()

    def passes(self, error: ProviderError) -> bool:
        """Whether the call may be repeated, now or later."""
        fault = fault_of(error)
        return fault.passes and (self.billed_twice or not fault.maybe_billed)

    def retries(self, error: ProviderError, calls: int) -> bool:
        """Whether the call may be repeated now, after so many calls."""
        fault = fault_of(error)
        has_calls_left = calls < MAX_CALLS or fault.name not in self.fallback_faults
        return self.passes(error) and fault.sent and has_calls_left

    def ends_at(self, fault: str, began: float, until: float) -> float:
        """When the retries after such faults end, of a call that began at `began` and could be
        repeated until `until`."""
        return began + FIRST_SHARE * (until - began) if fault in self.fallback_faults else until

    def falls_back(self, error: ProviderError, listed: Set[str]) -> bool:
        """Whether a fallback may be asked that the route has for the `listed` faults."""
        fault = fault_of(error)
        is_allowed = fault.fallback == "always" or (
            fault.fallback == "listed" and fault.name in listed
        )
        return is_allowed and (self.billed_twice or not fault.maybe_billed)
