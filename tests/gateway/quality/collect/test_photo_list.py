"""The photos of a profile, in the batches in which they were added."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import Size
from gateway.quality.collect.photo_list import FILE, PhotoList
from gateway.quality.collect.questions import questions_by_batch
from thresholds.shape import ALONE, Shape

KEYS = st.sets(st.text("abcdef", min_size=1, max_size=3), max_size=12)


def files_of(keys: set[str]) -> dict[str, str]:
    return {key: f"/photos/{key}.jpg" for key in keys}


@given(st.lists(KEYS, max_size=4))
def test_a_photo_stays_in_the_batch_it_came_with(additions: list[set[str]]) -> None:
    """Each photo is in one batch, that of the first time it was given."""
    photo_list = PhotoList()
    for keys in additions:
        earlier = photo_list.batches
        photo_list = photo_list.joined(files_of(keys))
        assert [set(batch) for batch in photo_list.batches[: len(earlier)]] == [
            set(batch) for batch in earlier
        ]
    batches = [set(batch) for batch in photo_list.batches]
    assert sum(map(len, batches)) == len(set().union(*additions))
    assert all(batches)


@given(KEYS, KEYS)
def test_more_photos_change_no_canvas_of_earlier_ones(first: set[str], second: set[str]) -> None:
    """Every question about the first photos is asked unchanged after others were added, so that
    none of its answers is paid for again."""
    shapes = [ALONE, Shape(2, 1), Shape(3, 2)]
    photo_list = PhotoList().joined(files_of(first))
    sizes = {key: Size(200, 100) for key in first | second}
    before = questions_by_batch(photo_list.split(sizes), shapes, 2)
    after = questions_by_batch(photo_list.joined(files_of(second)).split(sizes), shapes, 2)
    assert after[: len(before)] == before
    assert {key for question in after for key in question.photos} == first | second


def test_photos_that_moved_are_known_at_their_new_place() -> None:
    """A photo that lies elsewhere now is the same photo."""
    photo_list = PhotoList().joined({"a": "/old/a.jpg"}).joined({"a": "/new/a.jpg"})
    assert photo_list.batches == ({"a": "/new/a.jpg"},)
    assert photo_list.files == {"a": Path("/new/a.jpg")}


def test_only_the_given_photos_are_split() -> None:
    """Of photos that are not given nothing is asked; batches without any are left out."""
    photo_list = PhotoList().joined({"a": "a.jpg"}).joined({"b": "b.jpg"})
    assert photo_list.split({"b": 1}) == [{"b": 1}]


def test_a_saved_list_is_read_again(tmp_path: Path) -> None:
    """The list lies in the profile's folder; a folder without one has none."""
    photo_list = PhotoList(words=("--photos", "sample")).joined({"a": "a.jpg"})
    assert PhotoList.load(tmp_path) == PhotoList()
    photo_list.save(tmp_path)
    assert PhotoList.load(tmp_path) == photo_list


def test_a_file_that_is_no_list_is_named(tmp_path: Path) -> None:
    """The error for another file names it and what removing it costs."""
    (tmp_path / FILE).write_text("[]")
    with pytest.raises(ValueError, match=r"photos\.json: is no list of photos; .*paid for"):
        PhotoList.load(tmp_path)
