"""One table says what becomes of each fault."""

from __future__ import annotations

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
    """An error class of a test's own."""


def test_every_provider_error_has_a_row() -> None:
    """Every kind of provider error has a row, and every fault that a fallback may name is in the
    table."""
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
def test_passing_faults_are_retried(error: ProviderError, careful: bool, bold: bool) -> None:
    """A passing fault is retried; one that may have been billed only if the operator allows it; the
    others never."""
    assert (CAREFUL.retries(error, 1), BOLD.retries(error, 1)) == (careful, bold)
    assert (CAREFUL.passes(error), BOLD.passes(error)) == (careful, bold)


@pytest.mark.parametrize("error", [RESTING, QUEUED])
def test_an_unsent_call_is_not_retried_at_once(error: ProviderError) -> None:
    """A call that was not sent is not retried a moment later either; photos of jobs come back."""
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
def test_another_provider_is_asked_after_the_listed_faults(
    error: ProviderError, on: set[str], careful: bool, bold: bool
) -> None:
    """The fallback is used after the faults that its route names, and while the breaker is open;
    after a possibly billed call only if the operator allows it."""
    assert (CAREFUL.falls_back(error, on), BOLD.falls_back(error, on)) == (careful, bold)


def test_a_fallback_shortens_the_retries() -> None:
    """If a fallback follows, the provider is retried for a few calls, or half of the time, and no
    more."""
    retrying = RetryPolicy(fallback_faults={"unavailable"})
    assert retrying.retries(Unavailable("down"), MAX_CALLS - 1)
    assert not retrying.retries(Unavailable("down"), MAX_CALLS)
    assert retrying.retries(Throttled("slow"), 99)
    assert (retrying.ends_at("unavailable", 10, 30), retrying.ends_at("throttled", 10, 30)) == (
        20,
        30,
    )
