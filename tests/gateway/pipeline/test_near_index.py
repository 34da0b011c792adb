"""The index of near-duplicates finds the nearest peers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import Size
from gateway.grid.perceptual_hash import distance
from gateway.pipeline.near_index import NearIndex, Peers

PEERS = Peers("question", Size(4, 3))
HASHES = st.integers(0, 2**64 - 1)


def test_the_nearest_come_first() -> None:
    """The keys of all photos within the distance come back, the nearest first."""
    index = NearIndex()
    for key, photo_hash in {"far": 0b111, "same": 0, "next": 0b1, "two": 0b11}.items():
        index.add(key, PEERS, photo_hash)
    assert index.within(2, PEERS, 0) == ["same", "next", "two"]
    assert index.within(0, PEERS, 0b111) == ["far"]


def test_only_peers_are_near() -> None:
    """Photos of another question or another size are never near."""
    index = NearIndex()
    index.add("key", PEERS, 0)
    assert index.within(64, Peers("other", PEERS.size), 0) == []
    assert index.within(64, Peers(PEERS.question, Size(3, 4)), 0) == []


def test_the_oldest_photo_is_forgotten() -> None:
    """Beyond its limit the index forgets the photo that was added longest ago."""
    index = NearIndex(max_photos=2)
    for key in ("a", "b", "a", "c"):
        index.add(key, PEERS, 0)
    assert index.within(0, PEERS, 0) == ["a", "c"]


@given(st.lists(HASHES, unique=True), HASHES, st.integers(0, 64))
def test_nothing_within_the_distance_is_missed(
    hashes: list[int], asked: int, max_distance: int
) -> None:
    """Exactly the photos within the distance are found."""
    index = NearIndex()
    for each in hashes:
        index.add(str(each), PEERS, each)
    near = {str(each) for each in hashes if distance(each, asked) <= max_distance}
    assert set(index.within(max_distance, PEERS, asked)) == near
