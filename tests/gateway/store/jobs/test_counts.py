"""A job's counts are those of its results, whatever the order of events."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import BadFormat, NotFound
from gateway.core.model import Outcome
from gateway.store.jobs import Delivery, Job, JobResult, State, WebhookTarget
from tests.gateway.store.jobs.conftest import OpenJobStore
from tests.support.examples import examples
from tests.support.jobs import JobBuilder

Step = tuple[str, int, int, float]
OpenStore = AbstractAsyncContextManager[OpenJobStore]
SHARES = (0.25, 0.5, 1.0)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("settle"), st.integers(0, 2), st.integers(0, 4), st.sampled_from(SHARES)),
        st.tuples(st.just("fail"), st.integers(0, 2), st.integers(0, 4), st.just(0.0)),
        st.tuples(st.just("abort"), st.integers(0, 2), st.just(0), st.just(0.0)),
        st.tuples(st.just("submit"), st.integers(0, 2), st.integers(0, 3), st.just(0.0)),
    ),
    max_size=30,
)


@examples(60)
@given(steps=STEPS, at_once=st.booleans())
def test_counts_agree_with_results_and_deliveries(
    factory_of: Callable[[Path], OpenStore], make: JobBuilder, steps: list[Step], at_once: bool
) -> None:
    """Any interleaving of submit, settle and abort leaves counts, bill, results and deliveries that
    agree."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(factory_of(Path(folder)), make, steps, at_once=at_once))


async def play(opening: OpenStore, make: JobBuilder, steps: list[Step], *, at_once: bool) -> None:
    jobs = [
        make.job(4, hook=WebhookTarget("https://shop.example", each_photo=bool(n)))
        for n in range(3)
    ]
    async with opening as opened:
        moves = [apply(opened.store, make, jobs, step) for step in steps]
        if at_once:
            await asyncio.gather(*moves)
        else:
            for each in moves:
                await each
        due: list[Delivery] = []
        while more := await opened.store.deliveries.claim(opened.clock.now, 60, 99):
            due += more
            for each in more:
                await opened.store.deliveries.complete(each.id)
        for job in (await opened.store.page("shop")).jobs:
            check(
                job,
                await opened.store.results(job.id),
                [each for each in due if each.job == job.id],
            )


async def apply(store: Any, make: JobBuilder, jobs: Sequence[Job], step: Step) -> None:
    action, number, index, share = step
    job = jobs[number]
    if action == "settle":
        await store.settle(job.id, index, make.outcome(share), None)
    elif action == "fail":
        await store.settle(job.id, index, Outcome(None, error=BadFormat("no")), None)
    elif action == "abort":
        with suppress(NotFound):
            await store.abort("shop", job.id)
    else:
        entries = [make.entry(job, place) for place in range(4) if place != index]
        await store.submit(job, entries, {index: BadFormat("no")}, key=job.id, digest="same")


def check(job: Job, results: Sequence[JobResult], due: Sequence[Delivery]) -> None:
    """Holds a job's counts to its results and its deliveries."""
    assert [each.number for each in results] == list(range(1, job.settled + 1))
    assert len({each.index for each in results}) == job.settled <= job.photos
    assert sum(each.outcome.error is not None for each in results) == job.failed
    assert sum(each.outcome.share for each in results) == pytest.approx(job.billed)
    assert (job.state is State.RUNNING) == (job.finished_at is None)
    if job.state is not State.ABORTED:
        assert (job.state is State.DONE) == (job.settled == job.photos)
    ends = [each.kind for each in due if each.kind != "photo.settled"]
    assert ends == ([] if job.state is State.RUNNING else [f"job.{job.state}"])
    photo_messages = [(each.number, each.index) for each in due if each.kind == "photo.settled"]
    if job.hook.each_photo:
        assert sorted(photo_messages) == [(each.number, each.index) for each in results]
    else:
        assert photo_messages == []
