"""What becomes of a question that a provider did not answer: one table, for who asks, who gives up
and what is counted.

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

TRIES = 3
"""Calls to a provider after whose faults another is asked, as many as SDKs make."""
SHARE = 0.5
"""Of the time that is left, for a provider after whose faults another is asked: the other half is
that one's."""


class Queued(Throttled):
    """Calls are made at the provider's rate, and this one's turn would come too late: nothing was
    sent."""


class Resting(Unavailable):
    """The provider fails too often and is left alone for `retry_after_s`: nothing was sent."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Fault(NamedTuple):
    """A row: its name; whether it may be otherwise later, so that photos of jobs come back; whether
    the call was sent, so that another may follow it now; whether it counts as a failure for the
    breaker; whether it may be billed; and when another provider is asked in this one's place."""

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
    Queued: Fault("throttled", True, False, False, False, "listed"),
    Unavailable: Fault("unavailable", True, True, True, False, "listed"),
    Resting: Fault("resting", True, False, True, False, "always"),
    NoAnswer: Fault("no_answer", True, True, True, True, "listed"),
    Misconfigured: Fault("misconfigured", False, True, True, False, "listed"),
    ProviderError: Fault("unknown", False, True, True, False, "never"),
}
"""By what was raised; the nearest class counts."""


def fault_of(error: ProviderError) -> Fault:
    """Its row."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What is done about faults: `billed_twice` says whether what may be billed is asked again,
    anywhere; `elsewhere` names the faults after which another provider is asked, so that this one
    is not insisted on."""

    billed_twice: bool = False
    elsewhere: Set[str] = frozenset()

    def passes(self, error: ProviderError) -> bool:
        """Whether the question may be asked again, sooner or later."""
        fault = fault_of(error)
        return fault.passes and (self.billed_twice or not fault.maybe_billed)

    def again(self, error: ProviderError, calls: int) -> bool:
        """Whether it may be asked again now, after so many calls."""
        fault = fault_of(error)
        return (
            self.passes(error)
            and fault.sent
            and (calls < TRIES or fault.name not in self.elsewhere)
        )

    def ends_at(self, fault: str, began: float, until: float) -> float:
        """Until when a question that may be asked from `began` to `until` is put to this provider
        after such faults."""
        return began + SHARE * (until - began) if fault in self.elsewhere else until

    def falls_back(self, error: ProviderError, on: Set[str]) -> bool:
        """Whether another provider may be asked, which is there for the faults that `on` names."""
        fault = fault_of(error)
        allowed = fault.fallback == "always" or (fault.fallback == "listed" and fault.name in on)
        return allowed and (self.billed_twice or not fault.maybe_billed)
