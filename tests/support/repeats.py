"""Routes, photos and stores for tests of the cache."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.core.events import CacheLookedUp
from gateway.core.model import CacheTerms, Photo, Route
from gateway.core.origin import Origin
from gateway.store.answers import Lease
from gateway.store.memory.answers import MemoryAnswers
from gateway.testing.pictures import Block, drawn, encoded, photo
from tests.support.clocks import ClockAhead
from tests.support.pipeline import (
    PipelineHarness,
    route_of,
)
from tests.support.waiting import wait_until
from thresholds.cascade import Stage

TERMS = CacheTerms(ttl_s=600.0, origin=Origin("cascade"))
RED = encoded(drawn((320, 320), Block("red", 130, 130, 190, 190)))
BLUE = encoded(drawn((320, 320), Block("blue", 130, 130, 190, 190)))


def red() -> Photo:
    """A photo of a red block: each call gives another photo with the same bytes."""
    return photo(RED)


def blue() -> Photo:
    """A photo of a blue block."""
    return photo(BLUE)


def cached_route(*stages: Stage | str, cache: CacheTerms = TERMS, **fields: Any) -> Route:
    """A route with a cache, whose photos wait for nobody; of `1x1` unless stages are given."""
    route = route_of(*(stages or ("1x1",)), max_wait_s=0.0)
    return replace(route, cache=cache, **fields)


def results(pipeline: PipelineHarness) -> list[str]:
    """The results of all lookups, in their order."""
    return [event.result.value for event in pipeline.events.of(CacheLookedUp)]


async def wait_for_lookups(pipeline: PipelineHarness, count: int) -> None:
    """Returns when so many photos were looked up."""
    await wait_until(lambda: len(results(pipeline)) >= count)


class CountingAnswers(MemoryAnswers):
    """A store in memory. Counts how often a photo had to wait for another one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.waits = 0

    async def begin(self, key: str, lease: Lease, *, lease_s: float) -> bytes | bool:
        answer = await super().begin(key, lease, lease_s=lease_s)
        self.waits += answer is False
        return answer


def counting() -> CountingAnswers:
    return CountingAnswers(clock=ClockAhead(), max_bytes=1 << 20)
