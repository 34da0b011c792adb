"""A circuit breaker stops calls to a provider that fails too often, and lets some through later."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.breaker import PROBES, CircuitBreaker
from providers.call_limits import BreakerOptions

OPTIONS = BreakerOptions(failures=0.5, calls=4, open_ms=1000, max_open_ms=3000)


def call(breaker: CircuitBreaker, now: float, failed: bool | None) -> bool:
    """Whether the breaker let a call through, which then ended so."""
    number = breaker.enter(now)
    if number is not None:
        breaker.leave(number, now, failed)
    return number is not None


def opened_breaker(now: float = 0.0) -> CircuitBreaker:
    """A breaker that has just opened."""
    breaker = CircuitBreaker(OPTIONS)
    for _ in range(4):
        call(breaker, now, True)
    return breaker


@pytest.mark.parametrize(
    ("failures", "state"),
    [
        ([True, True, True], "closed"),  # too few calls to tell
        ([True, False, False, False], "closed"),
        ([True, False, False, False, True, False], "closed"),  # the first call no longer counts
        ([True, False, True, False], "open"),
        ([False, False, False, False, True, True], "open"),
        ([None] * 9, "closed"),
    ],
)
def test_it_opens_when_too_many_calls_fail(failures: list[bool | None], state: str) -> None:
    """The breaker opens when a share of the last calls has failed, and not before enough calls were
    made."""
    breaker = CircuitBreaker(OPTIONS)
    for failed in failures:
        assert breaker.state == "closed"
        call(breaker, 0.0, failed)
    assert breaker.state == state


def test_no_call_is_made_while_it_is_open() -> None:
    """While the breaker is open no call is made until its time is over."""
    breaker = opened_breaker(now=5.0)
    assert breaker.blocked_until(5.5) == 6.0
    assert not call(breaker, 5.9, False)
    assert call(breaker, 6.0, False)


def test_enough_probes_that_succeed_close_it() -> None:
    """After that time a few calls are let through at once, and when enough of them have succeeded
    the breaker closes."""
    breaker = opened_breaker()
    numbers = [breaker.enter(1.0) for _ in range(PROBES + 1)]
    assert numbers[-1] is None
    assert breaker.blocked_until(1.0) == inf
    for number in numbers[:PROBES]:
        assert breaker.state == "probing"
        breaker.leave(number, 1.5, False)
    assert breaker.state == "closed"
    assert call(breaker, 1.5, True)
    assert breaker.state == "closed"


def test_a_probe_that_fails_doubles_the_wait() -> None:
    """A probe that fails opens the breaker for twice as long, up to a maximum, and a closed breaker
    begins anew."""
    breaker, now, rests = opened_breaker(), 0.0, []
    for _ in range(4):
        rests.append(breaker.blocked_until(now) - now)
        now = breaker.blocked_until(now)
        call(breaker, now, True)
    assert rests == [1.0, 2.0, 3.0, 3.0]
    now = breaker.blocked_until(now)
    for failed in [False] * PROBES + [True] * 4:
        call(breaker, now, failed)
    assert breaker.blocked_until(now) - now == 1.0


def test_an_abandoned_probe_makes_room_for_another() -> None:
    """A probe whose client has gone leaves its place to another."""
    breaker = opened_breaker()
    for _ in range(9):
        assert call(breaker, 1.0, None)
    assert breaker.state == "probing"


def test_calls_from_before_it_opened_do_not_count() -> None:
    """Calls that began before the breaker opened do not count afterwards."""
    breaker = CircuitBreaker(OPTIONS)
    late = [breaker.enter(0.0) for _ in range(6)]
    for number in late[:4]:
        breaker.leave(number, 0.0, True)
    assert breaker.enter(1.0) is not None
    for number in late[4:]:
        breaker.leave(number, 1.0, True)
    assert breaker.state == "probing"


def test_a_clock_set_back_does_not_prolong_the_wait() -> None:
    """A clock that is set back keeps the breaker open for no longer than planned."""
    breaker = opened_breaker(now=1e6)
    assert breaker.blocked_until(0.0) == 1.0
    assert call(breaker, 1.0, False)


def test_every_call_passes_without_options() -> None:
    """Without options the breaker lets every call through, whatever the results."""
    breaker = CircuitBreaker()
    assert all(call(breaker, 0.0, True) for _ in range(100))


@given(st.lists(st.tuples(st.floats(0, 2), st.sampled_from([True, False, None])), max_size=120))
def test_it_never_stays_open_for_ever(calls: list[tuple[float, bool | None]]) -> None:
    """After any sequence of calls there comes a time at which a call is made again, and calls that
    succeed close the breaker."""
    breaker, now = CircuitBreaker(OPTIONS), 0.0
    for later, failed in calls:
        now += later
        call(breaker, now, failed)
        assert breaker.blocked_until(now) <= now + 3.0
    for _ in range(2 * PROBES):
        now += 3.0
        assert call(breaker, now, False)
    assert breaker.state == "closed"
