"""The metrics of this process in a few figures, for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isinf

from prometheus_client import Counter, Histogram, Metric
from prometheus_client.samples import Sample

from gateway.observe.instruments import Instruments

MIDDLE, SLOWEST = 0.5, 0.99
"""The shares of durations that lie below the two that are shown."""


@dataclass(frozen=True, slots=True)
class Durations:
    """How long `count` things took, in seconds: half of them no longer than `p50`, and 99 of 100 no
    longer than `p99`."""

    count: int
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Fill:
    """The mean share of the cells of a provider's canvases that held photos."""

    provider: str
    task: str
    share: float


@dataclass(frozen=True, slots=True)
class ProcessSummary:
    """What this process counted since it started: how long photos waited for company at a stage,
    and from acceptance to outcome, None before there was one; how full canvases were; and by an
    error's code, requests and photos that were refused before they were buffered, and photos that
    failed after."""

    waits: Durations | None
    answers: Durations | None
    fills: Sequence[Fill]
    refused: Mapping[str, int]
    failed: Mapping[str, int]


def summary_of(instruments: Instruments) -> ProcessSummary:
    """The figures of the instruments."""
    failed = _counts(instruments.photos, "outcome")
    failed.pop("ok", None)
    return ProcessSummary(
        waits=durations_of(instruments.wait_seconds),
        answers=durations_of(instruments.photo_seconds),
        fills=_fills(instruments.canvas_fill),
        refused=_counts(instruments.refusals, "code"),
        failed=failed,
    )


def durations_of(histogram: Histogram) -> Durations | None:
    """The durations that a histogram counted under all its labels; None where it counted none."""
    counts: dict[float, float] = defaultdict(float)
    for sample in _samples(histogram.collect(), "_bucket"):
        counts[float(sample.labels["le"])] += sample.value
    buckets = sorted(counts.items())
    if not buckets or not buckets[-1][1]:
        return None
    return Durations(int(buckets[-1][1]), quantile(buckets, MIDDLE), quantile(buckets, SLOWEST))


def quantile(buckets: Iterable[tuple[float, float]], share: float) -> float:
    """The value below which that share of the counted values lies, from buckets: upper bounds,
    ascending to infinity, and how many values lie at or under each.

    Within its bucket it is interpolated, and at most the highest finite bound, as by Prometheus'
    `histogram_quantile`.
    """
    bounds = [(0.0, 0.0), *buckets]
    rank = share * bounds[-1][1]
    for (low, below), (high, count) in pairwise(bounds):
        if count >= rank and count > below:
            inside = (rank - below) / (count - below)
            return low if isinf(high) else low + (high - low) * inside
    return 0.0


def _counts(counter: Counter, label: str) -> dict[str, int]:
    """The counts by the values of one label."""
    sums: dict[str, int] = defaultdict(int)
    for sample in _samples(counter.collect(), "_total"):
        sums[sample.labels[label]] += int(sample.value)
    return dict(sums)


def _fills(histogram: Histogram) -> list[Fill]:
    samples = list(_samples(histogram.collect(), ""))
    sums = [each for each in samples if each.name.endswith("_sum")]
    counts = [each for each in samples if each.name.endswith("_count")]
    return [
        Fill(filled.labels["provider"], filled.labels["task"], filled.value / count.value)
        for filled, count in zip(sums, counts, strict=True)
        if count.value
    ]


def _samples(families: Iterable[Metric], ending: str) -> Iterable[Sample]:
    for family in families:
        yield from (sample for sample in family.samples if sample.name.endswith(ending))
