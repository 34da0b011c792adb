"""Ids of jobs."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.jobs.ids import ID_CHARS, job_id, job_id_of, uuid_of

NOON = 1_800_000_000.0


def test_ids_increase_with_time() -> None:
    """A later job has a greater id, whatever is random in it."""
    times = [0.0, 1.0, 1.000001, NOON, NOON + 0.001, NOON * 2]
    ids = [
        job_id(at, lambda count, last=index % 2: bytes([255 * (1 - last)]) * count)
        for index, at in enumerate(times)
    ]
    assert ids == sorted(ids)
    assert {len(each) for each in ids} == {ID_CHARS}


def test_jobs_of_one_moment_have_different_ids() -> None:
    """Jobs of the same moment have different ids."""
    assert len({job_id(NOON) for _ in range(1000)}) == 1000


@given(at=st.floats(0, 2**52 / 1e6, exclude_max=True), token=st.binary(min_size=10, max_size=10))
def test_an_id_is_a_uuid_and_the_reverse(at: float, token: bytes) -> None:
    """Until 2112 every id has a UUID of its own, which leads back to it."""
    job = job_id(at, lambda count: token)
    text = uuid_of(job)
    assert str(uuid.UUID(text)) == text
    assert job_id_of(text) == job


@pytest.mark.parametrize("text", ["", "job_0", "1234"])
def test_a_text_that_is_no_uuid_is_no_id(text: str) -> None:
    """A text that is no UUID stands for no job."""
    with pytest.raises(ValueError, match="badly formed"):
        job_id_of(text)
