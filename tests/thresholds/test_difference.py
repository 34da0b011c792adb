"""The difference filter: frames and photos that take another's answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresholds.difference import (
    DifferenceFilter,
    NearDuplicates,
    Thumbnails,
    differences,
)

LEVELS = st.lists(st.integers(0, 255), min_size=1, max_size=80)
HASHES = st.lists(st.one_of(st.none(), st.integers(0, 2**64 - 1), st.integers(0, 7)), max_size=80)


def frames(*levels: int) -> Thumbnails:
    """Frames of one grey level each."""
    return np.repeat(np.array(levels, np.uint8), 16).reshape(-1, 4, 4)


def one_by_one(levels: list[int], threshold: float) -> list[int]:
    """The sources of such frames, by comparing each with the last that has its own."""
    sources = list[int]()
    for index, level in enumerate(levels):
        source = sources[-1] if sources else index
        is_alike = abs(level - levels[source]) / 255 <= threshold
        sources.append(source if is_alike else index)
    return sources


def test_a_difference_is_a_share_of_white() -> None:
    """Black and white differ by 1, equal frames by 0, and a quarter of the pixels by a half."""
    quarter = frames(0)
    quarter[0, :2, :2] = 255
    found = differences(np.concatenate([frames(255, 0), quarter]), frames(0)[0])
    assert found.tolist() == pytest.approx([1, 0, 0.5])


def test_a_frame_takes_the_answer_of_the_last_that_has_its_own() -> None:
    """Frames that hardly differ from the last with an answer of its own take that answer."""
    sources = DifferenceFilter(0.05).sources(frames(100, 101, 102, 200, 201, 100))
    assert sources.tolist() == [0, 0, 0, 3, 3, 5]


def test_differences_cannot_creep() -> None:
    """A slow change is one in the end: frames are compared with the one whose answer they take."""
    sources = DifferenceFilter(10.5 / 255).sources(frames(*range(0, 50, 5)))
    assert sources.tolist() == [0, 0, 0, 3, 3, 3, 6, 6, 6, 9]


@given(levels=LEVELS, threshold=st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]), cut=st.integers(0, 80))
def test_blocks_change_nothing(levels: list[int], threshold: float, cut: int) -> None:
    """Frames in one block, in two and one by one have the same sources."""
    each = frames(*levels)
    difference_filter = DifferenceFilter(threshold)
    parts = [difference_filter.sources(each[:cut]), difference_filter.sources(each[cut:])]
    expected = one_by_one(levels, threshold)
    assert DifferenceFilter(threshold).sources(each).tolist() == expected
    assert np.concatenate(parts).tolist() == expected


def test_long_stretches_are_one() -> None:
    """A stretch far longer than a block has one source, and so has what follows it."""
    sources = DifferenceFilter(0.05).sources(frames(*[10] * 1000, *[90] * 1000))
    assert set(sources[:1000]) == {0}
    assert set(sources[1000:]) == {1000}


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_is_a_share(threshold: float) -> None:
    """A threshold that is not from 0 to 1 is refused."""
    with pytest.raises(ValueError, match="not from 0 to 1"):
        DifferenceFilter(threshold)


def test_a_photo_takes_the_answer_of_the_nearest() -> None:
    """A photo takes the answer of the nearest earlier photo within the distance, and never through
    one that took another's."""
    near = NearDuplicates(2)
    hashes = [0, 0b111, 0b1, 0b11, 0b11111, 0b1111]
    assert [near.source(each) for each in hashes] == [0, 1, 0, 1, 1, 1]


@given(hashes=HASHES, distance=st.integers(0, 64))
def test_near_duplicates_are_within_the_distance(hashes: list[int | None], distance: int) -> None:
    """A photo takes its own answer, or that of an earlier one that took its own and whose hash is
    within the distance; it takes its own only where there is no such photo."""
    near = NearDuplicates(distance)
    sources = [near.source(each) for each in hashes]
    for index, (photo_hash, source) in enumerate(zip(hashes, sources, strict=True)):
        answered = [
            (photo_hash ^ hashes[other]).bit_count()
            for other in range(index)
            if sources[other] == other and hashes[other] is not None and photo_hash is not None
        ]
        if source == index:
            assert all(bits > distance for bits in answered)
        else:
            assert sources[source] == source < index
            assert (photo_hash ^ hashes[source]).bit_count() == min(answered) <= distance


def test_a_distance_is_in_bits() -> None:
    """A distance that is not from 0 to 64 bits is refused."""
    with pytest.raises(ValueError, match="65 bits"):
        NearDuplicates(65)
