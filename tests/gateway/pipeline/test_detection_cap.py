"""Answers that hold a limited number of detections: which photos of a canvas to doubt, and how many
photos to show on one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import Size
from gateway.grid.layout import lay_out
from gateway.pipeline.detection_cap import MARGIN, DetectionCap, count, doubt_reasons
from gateway.testing.provider import about
from providers.detection import WHOLE, Box, Detection, Task
from thresholds.shape import ALONE, Shape

LIMITED = about(task=Task.FACES, most={Task.FACES: 100})


def detections_of(count: int, kind: str = "") -> list[Detection]:
    """So many detections of one kind."""
    return [Detection("one", 0.9, Box(0.1, 0.1, 0.2, 0.2), kind=kind)] * count


@pytest.mark.parametrize(
    ("task", "kind", "other"),
    [
        (Task.TEXT, "WORD", "LINE"),
        (Task.EQUIPMENT, "PERSON", "EQUIPMENT"),
        (Task.LABELS, "LABEL", "INSTANCE"),
    ],
)
def test_a_limit_counts_only_the_tasks_own_kind(task: Task, kind: str, other: str) -> None:
    """A limit counts words, persons or labels, and not the other detections of an answer."""
    assert count(task, detections_of(3, kind) + detections_of(5, other)) == 3
    assert count(Task.CELEBRITIES, detections_of(3, "CELEBRITY") + detections_of(5, "FACE")) == 8


@pytest.mark.parametrize(
    ("count", "most", "doubts"), [(4, 5, 0), (5, 5, 4), (6, 5, 4), (99, None, 0)]
)
def test_a_full_answer_is_trusted_for_no_photo(count: int, most: int | None, doubts: int) -> None:
    """An answer with the maximum number of detections is trusted for none of its photos."""
    layout = lay_out([Size(100, 100)] * 4, Shape(2, 2), (320, 320))
    reasons = doubt_reasons(layout, Task.FACES, detections_of(count), most)
    assert list(reasons) == list(range(doubts))
    assert all("5 detections" in reason for reason in reasons.values())


def test_a_full_answer_about_one_photo_is_trusted() -> None:
    """A photo alone shares its answer with no other photo, so a full answer is the best that there
    is."""
    layout = lay_out([Size(100, 100)], ALONE, (320, 320))
    assert doubt_reasons(layout, Task.FACES, detections_of(5), 5) == {}


def test_crowded_photos_share_with_fewer() -> None:
    """Crowded photos share canvases with fewer others, and when photos are no longer crowded, with
    as many as before."""
    cap, shape = DetectionCap(), Shape(5, 5)
    assert cap.bound(shape, LIMITED, Task.FACES) == shape
    for _ in range(10):
        cap.record(LIMITED, Task.FACES, detections_of(25 * 15), 25)
    assert cap.bound(shape, LIMITED, Task.FACES) == Shape(2, 2)
    assert cap.bound(ALONE, LIMITED, Task.FACES) == ALONE
    for _ in range(300):
        cap.record(LIMITED, Task.FACES, detections_of(1), 1)
    assert cap.bound(shape, LIMITED, Task.FACES) == shape


def test_one_crowded_photo_changes_little() -> None:
    """A single crowded photo among many others changes the bound little."""
    cap = DetectionCap()
    cap.record(LIMITED, Task.FACES, detections_of(60), 1)
    assert cap.bound(Shape(5, 5), LIMITED, Task.FACES) == Shape(5, 5)


def test_shapes_stay_where_no_limit_is_known() -> None:
    """Where no limit is known, and for another task or provider, shapes stay as they are."""
    cap = DetectionCap()
    cap.record(LIMITED, Task.FACES, detections_of(5000), 10)
    cap.record(about(), Task.OBJECTS, detections_of(5000), 10)
    other = about("other", task=Task.FACES, most={Task.FACES: 100})
    for provider, task in ((LIMITED, Task.TEXT), (about(), Task.OBJECTS), (other, Task.FACES)):
        assert cap.bound(Shape(5, 5), provider, task) == Shape(5, 5)


@given(
    answers=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 25)), min_size=1, max_size=20),
    rows=st.integers(1, 10),
    cols=st.integers(1, 10),
)
def test_the_bound_keeps_answers_under_the_limit(
    answers: list[tuple[int, int]], rows: int, cols: int
) -> None:
    """After any answers, the bound is within the given shape, and the expected detections of its
    photos are under the limit."""
    cap = DetectionCap()
    for detections, photos in answers:
        cap.record(LIMITED, Task.FACES, [Detection("one", 1.0, WHOLE)] * detections, photos)
    bound = cap.bound(Shape(rows, cols), LIMITED, Task.FACES)
    assert 1 <= bound.rows <= rows
    assert 1 <= bound.cols <= cols
    mean = cap._means[LIMITED.name, Task.FACES]
    assert bound == ALONE or MARGIN * mean * bound.cells <= 100
