"""Drift: intervals and alarms that hold however often they are looked at."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from functools import reduce
from itertools import count
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresholds.drift import MAX_LABELS, ChangeDetector, ConfidenceSequence, Record

VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=60)
MEANS = st.floats(0, 1)
State = TypeVar("State", ConfidenceSequence, ChangeDetector)


def agreements(rng: random.Random, mean: float) -> Iterator[float]:
    """Agreements as they usually come: most are 0 or 1, some lie between."""
    while True:
        yield (
            float(rng.random() < mean)
            if rng.random() < 0.7
            else mean + rng.choice([-1, 1]) * min(mean, 1 - mean)
        )


def after(state: State, values: Iterable[float]) -> State:
    """The state after these values."""
    return reduce(lambda current, value: current.add(value), values, state)


def alarm_number(
    detector: ChangeDetector, values: Iterable[float], at: float = 20.0, most: int = 100_000
) -> int:
    """The number of values up to the alarm, or `most` without one."""
    for number, value in zip(range(1, most + 1), values, strict=False):
        detector = detector.add(value)
        if detector.evidence >= at:
            return number
    return most


class TestConfidenceSequence:
    def test_no_values_have_no_interval(self) -> None:
        """Without values there is no interval."""
        assert ConfidenceSequence(0.05).interval is None

    @given(values=VALUES)
    def test_the_interval_lies_within_0_and_1(self, values: list[float]) -> None:
        """The mean is that of the values, and the interval lies within 0 and 1."""
        mean, low, high = after(ConfidenceSequence(0.05), values).interval
        assert mean == pytest.approx(sum(values) / len(values))
        assert 0 <= low < high <= 1

    @given(values=VALUES)
    def test_a_smaller_delta_widens_the_interval(self, values: list[float]) -> None:
        """A smaller chance of being wrong gives a wider interval."""
        sure, bold = (
            after(ConfidenceSequence(0.01), values).interval,
            after(ConfidenceSequence(0.2), values).interval,
        )
        assert sure.low <= bold.low + 1e-9
        assert sure.high >= bold.high - 1e-9

    @pytest.mark.parametrize("mean", [0.5, 0.8, 0.97])
    def test_the_interval_covers_the_true_mean_throughout(self, mean: float) -> None:
        """The true mean lies in every interval of a run, looked at after each value, except in a
        share of runs under delta."""
        rng, misses = random.Random(1), 0
        for _ in range(200):
            state = ConfidenceSequence(0.1)
            for _, value in zip(range(400), agreements(rng, mean), strict=False):
                state = state.add(value)
                if not state.interval.low <= mean <= state.interval.high:
                    misses += 1
                    break
        assert misses <= 20

    def test_the_interval_narrows_with_more_values(self) -> None:
        """The interval narrows with more values, and sooner where they vary less."""
        rng = random.Random(2)
        widths = {}
        for mean in (0.5, 0.97):
            state, values = ConfidenceSequence(0.05), agreements(rng, mean)
            for number in range(1, 2001):
                state = state.add(next(values))
                if number in (200, 2000):
                    widths[mean, number] = state.interval.high - state.interval.low
        assert widths[0.5, 2000] < widths[0.5, 200] / 2
        assert widths[0.97, 2000] < widths[0.5, 2000] / 2 < 0.1


class TestChangeDetector:
    @given(values=VALUES, promised=MEANS, at=st.integers(0, 59), more=st.floats(0, 1))
    def test_a_higher_value_never_adds_evidence_of_a_fall(
        self, values: list[float], promised: float, at: int, more: float
    ) -> None:
        """A higher value never gives more evidence of a fall, nor less of a rise."""
        higher_values = [
            max(value, more) if number == at else value for number, value in enumerate(values)
        ]
        falls, rises = ChangeDetector(promised), ChangeDetector(promised, rises=True)
        assert after(falls, higher_values).evidence <= after(falls, values).evidence * (1 + 1e-9)
        assert after(rises, higher_values).evidence >= after(rises, values).evidence * (1 - 1e-9)

    @given(values=VALUES, promised=MEANS)
    def test_evidence_stays_above_0(self, values: list[float], promised: float) -> None:
        """Evidence stays above 0 after any values: no single value decides for ever."""
        assert after(ChangeDetector(promised), values).evidence > 0
        assert after(ChangeDetector(promised, rises=True), values).evidence > 0

    @pytest.mark.parametrize("rises", [False, True])
    @pytest.mark.parametrize("promised", [0.6, 0.9])
    def test_false_alarms_come_after_20_values_on_average(
        self, promised: float, rises: bool
    ) -> None:
        """Where the mean is exactly the promised one, a false alarm at 20 comes after 20 values on
        average or later."""
        rng = random.Random(3)
        lengths = [
            alarm_number(ChangeDetector(promised, rises), agreements(rng, promised), most=2000)
            for _ in range(60)
        ]
        assert sum(lengths) / len(lengths) >= 20

    def test_false_alarms_are_rare_well_above_the_promise(self) -> None:
        """Where the mean is well above the promised one, false alarms are rare."""
        rng = random.Random(4)
        lengths = [
            alarm_number(ChangeDetector(0.85), agreements(rng, 0.95), most=2000) for _ in range(30)
        ]
        assert sum(length < 2000 for length in lengths) <= 1

    @pytest.mark.parametrize(("mean", "within"), [(0.3, 15), (0.6, 40), (0.8, 250)])
    def test_a_deeper_fall_raises_an_alarm_sooner(self, mean: float, within: int) -> None:
        """A deeper fall raises an alarm sooner, and a long good period before it causes no
        delay."""
        rng, lengths = random.Random(5), []
        for _ in range(30):
            detector = after(ChangeDetector(0.9), [1.0] * 500)
            lengths.append(alarm_number(detector, agreements(rng, mean)))
        assert sum(lengths) / len(lengths) <= within

    @pytest.mark.parametrize("promised", [0.0, 1.0])
    def test_one_value_alone_raises_no_alarm(self, promised: float) -> None:
        """A mean of 0 or 1 can be promised too: one value alone raises no alarm, and three do."""
        for value, rises in ((0.0, False), (1.0, True)):
            assert ChangeDetector(promised, rises=rises).add(value).evidence < 20
        detector = ChangeDetector(promised, rises=promised == 0.0)
        assert after(detector, [1 - promised] * 3).evidence > 20


class TestRecord:
    def test_without_a_promise_the_level_stays(self) -> None:
        """Without a promise the record counts agreement and its level stays."""
        record = Record.empty(0.05, None, 7.0)
        for _ in range(100):
            record = record.add(0.0, {"cat": 0.0})
        assert (
            record.overall.count,
            record.labels["cat"].count,
            record.since,
            record.due_level(3),
        ) == (
            100,
            100,
            7.0,
            0,
        )

    def test_a_broken_promise_raises_the_level_by_one(self) -> None:
        """A broken promise raises the level by one and a kept promise lowers it by one, neither
        beyond the ends."""
        worse = record_after(Record.empty(0.05, 0.8, 0.0, level=1), 0.2, 20)
        better = record_after(Record.empty(0.05, 0.8, 0.0, level=1), 1.0, 60)
        assert [worse.due_level(3), worse.due_level(1), better.due_level(3)] == [2, 1, 0]
        assert record_after(Record.empty(0.05, 0.8, 0.0), 1.0, 60).due_level(3) == 0

    def test_agreement_as_promised_keeps_the_level(self) -> None:
        """Agreement exactly as promised keeps any level for long."""
        record = record_after(Record.empty(0.05, 0.8, 0.0, level=1), 0.8, 500)
        assert record.due_level(3) == 1

    def test_the_number_of_labels_is_limited(self) -> None:
        """A limited number of labels is watched one by one, whatever the client shows."""
        record, numbers = Record.empty(0.05, 0.8, 0.0), count()
        for _ in range(100):
            record = record.add(1.0, {f"label-{next(numbers)}": 1.0, "cat": 0.5})
        assert len(record.labels) == MAX_LABELS
        assert record.labels["cat"].interval.mean == 0.5


def record_after(record: Record, value: float, times: int) -> Record:
    """The record after this agreement, so many times."""
    for _ in range(times):
        record = record.add(value, {})
    return record
