"""One table says what becomes of each fault."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.fault_names import FAULTS
from gateway.upstream.faults import (
    MAX_CALLS,
    TABLE,
    CircuitOpen,
    RateLimited,
    RetryPolicy,
    fault_of,
)
from providers.errors import (
    Misconfigured,
    NoAnswer,
    PictureRefused,
    ProviderError,
    Throttled,
    Unavailable,
)

CAREFUL, BOLD = RetryPolicy(), RetryPolicy(billed_twice=True)
RESTING, QUEUED = CircuitOpen("open", 3), RateLimited("later", 3)


class Odd(Throttled):
    """A kind of its own."""


def test_complete() -> None:
    """Every kind of error that a provider raises has a row, and what a fallback may be for is in
    the table."""
    assert set(ProviderError.__subclasses__()) <= TABLE.keys()
    assert {fault.name for fault in TABLE.values() if fault.fallback == "listed"} == FAULTS
    assert fault_of(Odd("slow")) == TABLE[Throttled]
    assert fault_of(ProviderError("what?")).passes is False


@pytest.mark.parametrize(
    ("error", "careful", "bold"),
    [
        (Throttled("slow"), True, True),
        (Unavailable("down"), True, True),
        (NoAnswer("lost"), False, True),
        (Misconfigured("no key"), False, False),
        (PictureRefused("ugly"), False, False),
    ],
)
def test_again(error: Any, careful: bool, bold: bool) -> None:
    """What passes is asked again; what may be billed only where the operator allows it; the rest
    never."""
    assert (CAREFUL.retries(error, 1), BOLD.retries(error, 1)) == (careful, bold)
    assert (CAREFUL.passes(error), BOLD.passes(error)) == (careful, bold)


@pytest.mark.parametrize("error", [RESTING, QUEUED])
def test_unsent(error: CircuitOpen | RateLimited) -> None:
    """What was not sent is not sent a moment later either; photos of jobs come back."""
    assert (BOLD.retries(error, 1), BOLD.passes(error)) == (False, True)


@pytest.mark.parametrize(
    ("error", "on", "careful", "bold"),
    [
        (Throttled("slow"), {"throttled"}, True, True),
        (QUEUED, {"throttled"}, True, True),
        (Throttled("slow"), {"unavailable"}, False, False),
        (NoAnswer("lost"), {"no_answer"}, False, True),
        (Misconfigured("no key"), {"misconfigured"}, True, True),
        (RESTING, set(), True, True),
        (PictureRefused("ugly"), FAULTS, False, False),
    ],
)
def test_falls_back(
    error: Any, on: frozenset[str] | set[Any] | set[str], careful: bool, bold: bool
) -> None:
    """Another provider is asked after the faults that its route names, and while the breaker is
    open; after what may be billed only where the operator allows that."""
    assert (CAREFUL.falls_back(error, on), BOLD.falls_back(error, on)) == (careful, bold)


def test_not_insisted_on() -> None:
    """Where another provider is asked, this one is after a few calls, or half of the time, no
    more."""
    retrying = RetryPolicy(fallback_faults={"unavailable"})
    assert retrying.retries(Unavailable("down"), MAX_CALLS - 1)
    assert not retrying.retries(Unavailable("down"), MAX_CALLS)
    assert retrying.retries(Throttled("slow"), 99)
    assert (retrying.ends_at("unavailable", 10, 30), retrying.ends_at("throttled", 10, 30)) == (
        20,
        30,
    )
