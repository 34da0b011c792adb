"""Watching: intervals and alarms that hold however often they are looked at."""

from __future__ import annotations

import random
from functools import reduce
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresholds.drift import MAX_LABELS, ChangeDetector, ConfidenceSequence, Record

VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=60)
MEANS = st.floats(0, 1)


def agreements(rng, mean):
    """As agreements come: mostly all or nothing, some in between."""
    while True:
        yield (
            float(rng.random() < mean)
            if rng.random() < 0.7
            else mean + rng.choice([-1, 1]) * min(mean, 1 - mean)
        )


def seen(start, values):
    return reduce(lambda state, value: state.add(value), values, start)


def alarm_after(detector, values, at=20.0, most=100_000):
    """How many values it takes."""
    for number, value in zip(range(1, most + 1), values, strict=False):
        detector = detector.add(value)
        if detector.evidence >= at:
            return number
    return most


class TestMean:
    def test_nothing(self) -> None:
        """Of nothing there is no interval."""
        assert ConfidenceSequence(0.05).interval is None

    @given(values=VALUES)
    def test_interval(self, values) -> None:
        """The mean is that of the values, and the interval lies within 0 and 1."""
        mean, low, high = seen(ConfidenceSequence(0.05), values).interval
        assert mean == pytest.approx(sum(values) / len(values))
        assert 0 <= low < high <= 1

    @given(values=VALUES)
    def test_delta(self, values) -> None:
        """Less chance of being wrong takes a wider interval."""
        sure, bold = (
            seen(ConfidenceSequence(0.01), values).interval,
            seen(ConfidenceSequence(0.2), values).interval,
        )
        assert sure.low <= bold.low + 1e-9
        assert sure.high >= bold.high - 1e-9

    @pytest.mark.parametrize("mean", [0.5, 0.8, 0.97])
    def test_coverage(self, mean: float) -> None:
        """The true mean lies in all intervals of a run, looked at after each value; but for a share
        of runs under delta."""
        rng, missed = random.Random(1), 0
        for _ in range(200):
            state = ConfidenceSequence(0.1)
            for _, value in zip(range(400), agreements(rng, mean), strict=False):
                state = state.add(value)
                if not state.interval.low <= mean <= state.interval.high:
                    missed += 1
                    break
        assert missed <= 20

    def test_narrows(self) -> None:
        """With more values the interval narrows, and sooner where they vary less."""
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


class TestDetector:
    @given(values=VALUES, promised=MEANS, at=st.integers(0, 59), more=st.floats(0, 1))
    def test_monotone(self, values, promised, at, more) -> None:
        """Where one value is higher there is never more evidence of a fall, nor less of a rise."""
        higher = [
            max(value, more) if number == at else value for number, value in enumerate(values)
        ]
        falls, rises = ChangeDetector(promised), ChangeDetector(promised, rises=True)
        assert seen(falls, higher).evidence <= seen(falls, values).evidence * (1 + 1e-9)
        assert seen(rises, higher).evidence >= seen(rises, values).evidence * (1 - 1e-9)

    @given(values=VALUES, promised=MEANS)
    def test_positive(self, values, promised) -> None:
        """Whatever comes, evidence stays over 0: no single value decides for ever."""
        assert seen(ChangeDetector(promised), values).evidence > 0
        assert seen(ChangeDetector(promised, rises=True), values).evidence > 0

    @pytest.mark.parametrize("rises", [False, True])
    @pytest.mark.parametrize("promised", [0.6, 0.9])
    def test_false_alarms(self, promised: float, rises: bool) -> None:
        """Where the mean is just what was promised, an alarm at 20 is false, and comes after 20
        values on average or later."""
        rng = random.Random(3)
        runs = [
            alarm_after(ChangeDetector(promised, rises), agreements(rng, promised), most=2000)
            for _ in range(60)
        ]
        assert sum(runs) / len(runs) >= 20

    def test_margin(self) -> None:
        """Where the mean is well above what was promised, false alarms are rare."""
        rng = random.Random(4)
        runs = [
            alarm_after(ChangeDetector(0.85), agreements(rng, 0.95), most=2000) for _ in range(30)
        ]
        assert sum(run < 2000 for run in runs) <= 1

    @pytest.mark.parametrize(("mean", "within"), [(0.3, 15), (0.6, 40), (0.8, 250)])
    def test_soon(self, mean: float, within: int) -> None:
        """A fall is noticed soon: the deeper the sooner; and a long good time before does not delay
        it."""
        rng, runs = random.Random(5), []
        for _ in range(30):
            good = seen(ChangeDetector(0.9), [1.0] * 500)
            runs.append(alarm_after(good, agreements(rng, mean)))
        assert sum(runs) / len(runs) <= within

    @pytest.mark.parametrize("promised", [0.0, 1.0])
    def test_extremes(self, promised: float) -> None:
        """All or nothing can be promised too; one value alone raises no alarm, and a few do."""
        for value, rises in ((0.0, False), (1.0, True)):
            assert ChangeDetector(promised, rises=rises).add(value).evidence < 20
        broken = ChangeDetector(promised, rises=promised == 0.0)
        assert seen(broken, [1 - promised] * 3).evidence > 20


class TestRecord:
    def test_nothing_promised(self) -> None:
        """Without a promise agreement is told, and the level stays."""
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

    def test_levels(self) -> None:
        """A broken promise is one level more, a kept one is one less; neither beyond where levels
        end."""
        worse = seen_record(Record.empty(0.05, 0.8, 0.0, level=1), 0.2, 20)
        better = seen_record(Record.empty(0.05, 0.8, 0.0, level=1), 1.0, 60)
        assert [worse.due_level(3), worse.due_level(1), better.due_level(3)] == [2, 1, 0]
        assert seen_record(Record.empty(0.05, 0.8, 0.0), 1.0, 60).due_level(3) == 0

    def test_hysteresis(self) -> None:
        """An agreement just as promised leaves a level alone for long, whichever it is."""
        steady = seen_record(Record.empty(0.05, 0.8, 0.0, level=1), 0.8, 500)
        assert steady.due_level(3) == 1

    def test_labels(self) -> None:
        """So many labels are watched on their own; whatever the client shows, no more are held."""
        record, numbers = Record.empty(0.05, 0.8, 0.0), count()
        for _ in range(100):
            record = record.add(1.0, {f"label-{next(numbers)}": 1.0, "cat": 0.5})
        assert len(record.labels) == MAX_LABELS
        assert record.labels["cat"].interval.mean == 0.5


def seen_record(record, value, times):
    for _ in range(times):
        record = record.add(value, {})
    return record
