"""One table says what each fault leads to."""

from __future__ import annotations

from collections.abc import Set

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


class OddThrottled(Throttled):
    """A kind of fault that the table does not name."""


def test_the_table_names_every_kind_of_error() -> None:
    """Every kind of error that a provider raises has a row in the table, and the table lists the
    faults that a fallback may be for."""
    assert set(ProviderError.__subclasses__()) <= TABLE.keys()
    assert {fault.name for fault in TABLE.values() if fault.fallback == "listed"} == FAULTS
    assert fault_of(OddThrottled("slow")) == TABLE[Throttled]
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
def test_a_passing_fault_is_retried(error: ProviderError, careful: bool, bold: bool) -> None:
    """A call is retried after a passing fault, after a fault that may be billed only where the
    operator allows it, and never after another fault."""
    assert (CAREFUL.retries(error, 1), BOLD.retries(error, 1)) == (careful, bold)
    assert (CAREFUL.passes(error), BOLD.passes(error)) == (careful, bold)


@pytest.mark.parametrize("error", [RESTING, QUEUED])
def test_a_call_that_was_not_sent_is_not_retried(error: CircuitOpen | RateLimited) -> None:
    """A call that was not sent is not retried a moment later, and photos of jobs wait again."""
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
def test_a_fallback_is_asked_after_named_faults(
    error: ProviderError, on: Set[str], careful: bool, bold: bool
) -> None:
    """The fallback is asked after the faults that its route names and while the breaker is open,
    and after a fault that may be billed only where the operator allows it."""
    assert (CAREFUL.falls_back(error, on), BOLD.falls_back(error, on)) == (careful, bold)


def test_retries_are_fewer_with_a_fallback() -> None:
    """Where a fallback exists, the first provider is retried for a few calls or half of the time
    only."""
    policy = RetryPolicy(fallback_faults={"unavailable"})
    assert policy.retries(Unavailable("down"), MAX_CALLS - 1)
    assert not policy.retries(Unavailable("down"), MAX_CALLS)
    assert policy.retries(Throttled("slow"), 99)
    assert (policy.ends_at("unavailable", 10, 30), policy.ends_at("throttled", 10, 30)) == (
        20,
        30,
    )
