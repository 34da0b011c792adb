"""How fast a provider answers when it has all it can take."""

from __future__ import annotations

import pytest

from gateway.upstream.throughput import ANSWERS_KEPT, MIN_ANSWERS, Throughput


def throughput_of(times: list[float], *, is_saturated: bool = True) -> Throughput:
    """The throughput after answers at these times, to canvases that took a second each."""
    throughput = Throughput()
    for now in times:
        throughput.record(now, now - 1.0, is_saturated=is_saturated)
    return throughput


def test_the_rate_is_unknown_at_first() -> None:
    """A few answers do not tell the rate: canvases that began together end together."""
    assert throughput_of([0.1 * number for number in range(MIN_ANSWERS - 1)]).per_s is None


def test_the_rate_is_that_of_the_last_answers() -> None:
    """The rate follows a provider that becomes faster."""
    slow = [1.0 * number for number in range(ANSWERS_KEPT)]
    fast = [slow[-1] + 0.1 * number for number in range(1, ANSWERS_KEPT + 1)]
    assert throughput_of(slow).per_s == pytest.approx(1.0)
    assert throughput_of(slow + fast).per_s == pytest.approx(10.0)


def test_answers_of_free_slots_tell_no_rate() -> None:
    """Answers that came while a slot was free say how much was asked, not how fast it is."""
    assert throughput_of([0.1 * number for number in range(99)], is_saturated=False).per_s is None


def test_one_free_slot_ends_the_row() -> None:
    """The time in which a slot was free is not counted."""
    throughput = throughput_of([1.0 * number for number in range(ANSWERS_KEPT)])
    throughput.record(1_000.0, 999.0, is_saturated=False)
    assert throughput.per_s is None


def test_answers_at_the_same_time_tell_no_rate() -> None:
    """Where no time passes there is no rate."""
    assert throughput_of([5.0] * ANSWERS_KEPT).per_s is None


def test_a_slot_that_stood_idle_tells_no_rate() -> None:
    """A provider with one slot is saturated by every canvas, but where each is claimed long after
    the answer before, it was waiting for photos and not they for it."""
    throughput = Throughput()
    for number in range(ANSWERS_KEPT):
        throughput.record(10.0 * number, 10.0 * number - 0.1, is_saturated=True)
    assert throughput.per_s is None


def test_a_single_slot_that_is_never_idle_tells_its_rate() -> None:
    """With one slot each canvas is claimed right after the answer before."""
    throughput = Throughput()
    for number in range(ANSWERS_KEPT):
        throughput.record(0.5 * number, 0.5 * (number - 1) + 0.01, is_saturated=True)
    assert throughput.per_s == pytest.approx(2.0)
