"""The metrics of a process in a few figures: shares of durations, fills, refusals and failures."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import Busy
from gateway.core.events import RequestRefused
from gateway.observe.instruments import SECONDS, Instruments
from gateway.observe.metrics import Metrics
from gateway.observe.summary import Fill, durations_of, quantile, summary_of


def test_a_process_that_did_nothing_has_no_figures() -> None:
    """Nothing is shown as zero that was never measured."""
    summary = summary_of(Metrics().instruments)
    assert (summary.waits, summary.answers) == (None, None)
    assert (summary.fills, summary.refused, summary.failed) == ([], {}, {})


def test_figures_are_those_of_the_events(
    answered_canvas: Callable[..., Any], settled: Callable[..., Any]
) -> None:
    """Canvases count by their fill, requests and photos by the code of their error; a photo with an
    answer is no failure."""
    metrics = Metrics()
    events = [
        answered_canvas("ann"),
        answered_canvas("ann", "bob", "ann"),
        settled("ann", "dear", total_s=0.9),
        settled("bob", "dear", error=Busy("full"), total_s=2.0),
        RequestRefused("native", "rate_limited"),
        RequestRefused("google", "rate_limited"),
    ]
    for event in events:
        metrics(event)
    summary = summary_of(metrics.instruments)
    assert summary.fills == [Fill("dear", "objects", 0.5)]
    assert (summary.refused, summary.failed) == ({"rate_limited": 2}, {Busy.code: 1})
    assert summary.answers is not None
    assert summary.answers.count == 2
    assert 0.5 <= summary.answers.p50 <= 1 <= summary.answers.p99 <= 2.5


@given(st.lists(st.floats(0, 29), min_size=1), st.floats(0.01, 0.99))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    """Whatever was counted, the figure is off by no more than the width of a bucket."""
    values.sort()
    counts = [sum(value <= bound for value in values) for bound in SECONDS]
    buckets = [*zip(SECONDS, counts, strict=True), (inf, len(values))]
    rank = share * len(values)
    true = next(value for number, value in enumerate(values, 1) if number >= rank)
    low, high = next(
        (low, high) for low, high in zip((0.0, *SECONDS), SECONDS, strict=False) if true <= high
    )
    assert low <= quantile(buckets, share) <= high


def test_beyond_the_last_bucket_is_the_last_bound() -> None:
    """Of values over all bounds nothing is known but that."""
    assert quantile([(1.0, 0), (30.0, 0), (inf, 5)], 0.5) == 30.0


@pytest.mark.parametrize("routes", [["a"], ["a", "b"]])
def test_durations_are_of_all_routes_together(routes: list[str]) -> None:
    """Ten photos of 0.2 s are ten, by however many routes they went."""
    instruments = Instruments()
    for number in range(10):
        instruments.photo_seconds.labels(routes[number % len(routes)]).observe(0.2)
    durations = durations_of(instruments.photo_seconds)
    assert durations is not None
    assert durations.count == 10
    assert 0.1 <= durations.p50 <= durations.p99 <= 0.25
