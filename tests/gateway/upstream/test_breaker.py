"""A provider that fails too often is left alone, and tried again by and by."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.breaker import PROBES, CircuitBreaker
from providers.call_limits import BreakerOptions

OPTIONS = BreakerOptions(failures=0.5, calls=4, open_ms=1000, max_open_ms=3000)


def call(breaker: CircuitBreaker, now: float, failed: bool | None) -> bool:
    """Whether a call was made, which then ended so."""
    number = breaker.enter(now)
    if number is not None:
        breaker.leave(number, now, failed)
    return number is not None


def opened(now: float = 0.0) -> CircuitBreaker:
    breaker = CircuitBreaker(OPTIONS)
    for _ in range(4):
        call(breaker, now, True)
    return breaker


@pytest.mark.parametrize(
    ("ended", "state"),
    [
        ([True, True, True], "closed"),  # too few to tell
        ([True, False, False, False], "closed"),
        ([True, False, False, False, True, False], "closed"),  # the first is forgotten
        ([True, False, True, False], "open"),
        ([False, False, False, False, True, True], "open"),
        ([None] * 9, "closed"),
    ],
)
def test_opens(ended: list[None] | list[bool], state: str) -> None:
    """It opens when of the last calls a share has failed, and not before so many were made."""
    breaker = CircuitBreaker(OPTIONS)
    for failed in ended:
        assert breaker.state == "closed"
        call(breaker, 0.0, failed)
    assert breaker.state == state


def test_rests() -> None:
    """While it is open no call is made, until its time is over."""
    breaker = opened(now=5.0)
    assert breaker.blocked_until(5.5) == 6.0
    assert not call(breaker, 5.9, False)
    assert call(breaker, 6.0, False)


def test_probes() -> None:
    """Then a few calls are let through at a time; when so many have succeeded it is closed."""
    breaker = opened()
    numbers = [breaker.enter(1.0) for _ in range(PROBES + 1)]
    assert numbers[-1] is None
    assert breaker.blocked_until(1.0) == inf
    for number in numbers[:PROBES]:
        assert breaker.state == "probing"
        breaker.leave(number, 1.5, False)
    assert breaker.state == "closed"
    assert call(breaker, 1.5, True)
    assert breaker.state == "closed"


def test_doubles() -> None:
    """A probe that fails opens it for twice as long, up to a longest time; once closed, it begins
    anew."""
    breaker, now, rests = opened(), 0.0, []
    for _ in range(4):
        rests.append(breaker.blocked_until(now) - now)
        now = breaker.blocked_until(now)
        call(breaker, now, True)
    assert rests == [1.0, 2.0, 3.0, 3.0]
    now = breaker.blocked_until(now)
    for failed in [False] * PROBES + [True] * 4:
        call(breaker, now, failed)
    assert breaker.blocked_until(now) - now == 1.0


def test_probe_that_says_nothing() -> None:
    """A probe whose client has gone leaves its place to another."""
    breaker = opened()
    for _ in range(9):
        assert call(breaker, 1.0, None)
    assert breaker.state == "probing"


def test_late_calls() -> None:
    """Calls that began before it opened say nothing of what is now."""
    breaker = CircuitBreaker(OPTIONS)
    late = [breaker.enter(0.0) for _ in range(6)]
    for number in late[:4]:
        breaker.leave(number, 0.0, True)
    assert breaker.enter(1.0) is not None
    for number in late[4:]:
        breaker.leave(number, 1.0, True)
    assert breaker.state == "probing"


def test_clock_set_back() -> None:
    """A clock that is set back keeps it open for no longer than it was to be."""
    breaker = opened(now=1e6)
    assert breaker.blocked_until(0.0) == 1.0
    assert call(breaker, 1.0, False)


def test_none() -> None:
    """Without options it lets every call through, whatever comes of them."""
    breaker = CircuitBreaker()
    assert all(call(breaker, 0.0, True) for _ in range(100))


@given(st.lists(st.tuples(st.floats(0, 2), st.sampled_from([True, False, None])), max_size=120))
def test_never_for_ever(calls) -> None:
    """Whatever happens, there comes a time at which a call is made again, and calls that succeed
    close it."""
    breaker, now = CircuitBreaker(OPTIONS), 0.0
    for later, failed in calls:
        now += later
        call(breaker, now, failed)
        assert breaker.blocked_until(now) <= now + 3.0
    for _ in range(2 * PROBES):
        now += 3.0
        assert call(breaker, now, False)
    assert breaker.state == "closed"
