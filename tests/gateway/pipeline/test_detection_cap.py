"""Answers that hold only so many detections: which photos of a canvas to doubt, and how many to
show on one."""

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


def some(number: int, kind: str = "") -> list[Detection]:
    return [Detection("one", 0.9, Box(0.1, 0.1, 0.2, 0.2), kind=kind)] * number


@pytest.mark.parametrize(
    ("task", "kind", "other"),
    [
        (Task.TEXT, "WORD", "LINE"),
        (Task.EQUIPMENT, "PERSON", "EQUIPMENT"),
        (Task.LABELS, "LABEL", "INSTANCE"),
    ],
)
def test_counted(task: Task, kind: str, other: str) -> None:
    """A limit is on words, persons or labels, and not on what else an answer tells of them."""
    assert count(task, some(3, kind) + some(5, other)) == 3
    assert count(Task.CELEBRITIES, some(3, "CELEBRITY") + some(5, "FACE")) == 8


@pytest.mark.parametrize(
    ("found", "most", "doubts"), [(4, 5, 0), (5, 5, 4), (6, 5, 4), (99, None, 0)]
)
def test_full(found: int, most: int | None, doubts: int) -> None:
    """An answer that holds as much as it can is trusted for none of its photos."""
    layout = lay_out([Size(100, 100)] * 4, Shape(2, 2), (320, 320))
    reasons = doubt_reasons(layout, Task.FACES, some(found), most)
    assert list(reasons) == list(range(doubts))
    assert all("5 detections" in reason for reason in reasons.values())


def test_full_alone() -> None:
    """A photo alone has nobody to share with: its answer is what there is to be had."""
    layout = lay_out([Size(100, 100)], ALONE, (320, 320))
    assert doubt_reasons(layout, Task.FACES, some(5), 5) == {}


def test_adapts() -> None:
    """Crowded photos share canvases with fewer others; when they are few again, with as many as
    before."""
    crowds, shape = DetectionCap(), Shape(5, 5)
    assert crowds.bound(shape, LIMITED, Task.FACES) == shape
    for _ in range(10):
        crowds.record(LIMITED, Task.FACES, some(25 * 15), 25)
    assert crowds.bound(shape, LIMITED, Task.FACES) == Shape(2, 2)
    assert crowds.bound(ALONE, LIMITED, Task.FACES) == ALONE
    for _ in range(300):
        crowds.record(LIMITED, Task.FACES, some(1), 1)
    assert crowds.bound(shape, LIMITED, Task.FACES) == shape


def test_one_photo() -> None:
    """A single crowded photo among many others moves little."""
    crowds = DetectionCap()
    crowds.record(LIMITED, Task.FACES, some(60), 1)
    assert crowds.bound(Shape(5, 5), LIMITED, Task.FACES) == Shape(5, 5)


def test_unlimited() -> None:
    """Where no limit is known, or for another task or provider, shapes stay as they are."""
    crowds = DetectionCap()
    crowds.record(LIMITED, Task.FACES, some(5000), 10)
    crowds.record(about(), Task.OBJECTS, some(5000), 10)
    other = about("other", task=Task.FACES, most={Task.FACES: 100})
    for at, task in ((LIMITED, Task.TEXT), (about(), Task.OBJECTS), (other, Task.FACES)):
        assert crowds.bound(Shape(5, 5), at, task) == Shape(5, 5)


@given(
    seen=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 25)), min_size=1, max_size=20),
    rows=st.integers(1, 10),
    cols=st.integers(1, 10),
)
def test_bound(seen, rows, cols) -> None:
    """Whatever was seen, the shape is within the one asked for, and what its photos should hold is
    under the limit."""
    crowds = DetectionCap()
    for found, photos in seen:
        crowds.record(LIMITED, Task.FACES, [Detection("one", 1.0, WHOLE)] * found, photos)
    bound = crowds.bound(Shape(rows, cols), LIMITED, Task.FACES)
    assert 1 <= bound.rows <= rows
    assert 1 <= bound.cols <= cols
    mean = crowds._means[LIMITED.name, Task.FACES]
    assert bound == ALONE or MARGIN * mean * bound.cells <= 100
