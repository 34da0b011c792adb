"""From boxes on a canvas to boxes of its photos: EECS-2023-182, section 3.1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.layout import Layout, Rect
from gateway.core.model import Size
from gateway.grid.layout import lay_out
from gateway.grid.ungrid import photos_of_torn_text, ungrid
from providers.detection import Box, Detection, Landmark
from thresholds.shape import Shape

FOUR = lay_out([Size(200, 100)] * 4, Shape(2, 2), (400, 200))
"""Four photos of 200 x 100 on a canvas of 400 x 200."""


def detection_at(
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    label: str = "cat",
    score: float = 0.9,
    layout: Layout = FOUR,
    **fields: Any,
) -> Detection:
    """A detection with a box in the canvas's pixels."""
    width, height = layout.width_px, layout.height_px
    return Detection(label, score, Box(x0 / width, y0 / height, x1 / width, y1 / height), **fields)


def test_the_example_is_four_photos_in_a_grid() -> None:
    """The layout that these tests calculate with by hand has four photos of 200 x 100."""
    assert FOUR.photos == (
        Rect(0, 0, 200, 100),
        Rect(200, 0, 200, 100),
        Rect(0, 100, 200, 100),
        Rect(200, 100, 200, 100),
    )


@pytest.mark.parametrize(
    ("box", "photo", "own_box"),
    [
        ((20, 10, 120, 60), 0, (0.1, 0.1, 0.6, 0.6)),
        ((220, 10, 320, 60), 1, (0.1, 0.1, 0.6, 0.6)),
        ((20, 110, 120, 160), 2, (0.1, 0.1, 0.6, 0.6)),
        ((250, 125, 350, 175), 3, (0.25, 0.25, 0.75, 0.75)),
        ((200, 100, 400, 200), 3, (0, 0, 1, 1)),
    ],
)
def test_a_box_belongs_to_the_photo_at_its_midpoint(
    box: tuple[int, ...], photo: int, own_box: tuple[float, ...]
) -> None:
    """The midpoint's quotients by a photo's width and height are the photo's column and row, and
    the remainders are the photo's coordinates."""
    by_photo = ungrid(FOUR, [detection_at(*box)])
    assert [len(each) for each in by_photo] == [int(index == photo) for index in range(4)]
    assert by_photo[photo][0].box == pytest.approx(own_box)


@pytest.mark.parametrize(
    ("box", "photo", "own_box"),
    [
        ((150, 10, 240, 60), 0, (0.75, 0.1, 1, 0.6)),  # midpoint at 195
        ((150, 10, 260, 60), 1, (0, 0.1, 0.3, 0.6)),  # at 205
        (
            (150, 10, 250, 60),
            1,
            (0, 0.1, 0.25, 0.6),
        ),  # on the seam: the later photo, as the floor is taken
        ((20, 60, 120, 160), 2, (0.1, 0, 0.6, 0.6)),
        ((0, 0, 390, 190), 0, (0, 0, 1, 1)),
    ],
)
def test_a_box_over_a_seam_is_clipped(
    box: tuple[int, ...], photo: int, own_box: tuple[float, ...]
) -> None:
    """A box over a seam belongs to the photo that holds its midpoint, and is clipped at that
    photo's edge."""
    by_photo = ungrid(FOUR, [detection_at(*box)])
    assert [len(each) for each in by_photo] == [int(index == photo) for index in range(4)]
    assert by_photo[photo][0].box == pytest.approx(own_box)
    assert ungrid(FOUR, [detection_at(*box)], crossing="discard") == [[], [], [], []]


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 200, 100),
        (200, 0, 400, 100),
        (200, 100, 400, 200),
        (-20, 10, 100, 60),
        (300, 150, 420, 210),
    ],
)
def test_a_box_up_to_a_seam_crosses_none(box: tuple[int, ...]) -> None:
    """A box that ends at a seam, or that reaches over the edge of the canvas, overlaps no second
    photo."""
    assert ungrid(FOUR, [detection_at(*box)], crossing="discard") == ungrid(
        FOUR, [detection_at(*box)]
    )
    assert sum(map(len, ungrid(FOUR, [detection_at(*box)]))) == 1


@pytest.mark.parametrize("cells", range(1, 21))
def test_a_box_around_a_whole_photo_crosses_no_seam(cells: int) -> None:
    """A box around the whole of a photo crosses no seam, however the fractions of the canvas are
    rounded."""
    for side in range(20, 60):
        layout = lay_out([Size(100, 100)] * cells, Shape(1, cells), (side * cells, side))
        detections = [
            detection_at(p.x, p.y, p.x + p.width, p.y + p.height, layout=layout)
            for p in layout.photos
        ]
        assert [
            len(own_detections) for own_detections in ungrid(layout, detections, crossing="discard")
        ] == [1] * cells


@pytest.mark.parametrize("box", [(-120, 10, 20, 60), (390, 110, 500, 190), (20, 180, 60, 260)])
def test_a_box_off_the_canvas_is_dropped(box: tuple[int, ...]) -> None:
    """A box whose midpoint is off the canvas belongs to no photo."""
    assert ungrid(FOUR, [detection_at(*box)]) == [[], [], [], []]


def test_a_box_in_an_empty_cell_is_dropped() -> None:
    """A box in a cell without a photo is dropped."""
    layout = lay_out([Size(200, 100)] * 3, Shape(2, 2), (400, 200))
    assert ungrid(layout, [detection_at(250, 110, 350, 190)]) == [[], [], []]


def test_a_box_beside_its_photo_is_dropped() -> None:
    """A box on the grey beside a photo is dropped, and one that is half on the grey is clipped
    there."""
    layout = lay_out([Size(200, 100), Size(100, 200)], Shape(1, 2), (400, 200))
    assert layout.photos == (Rect(0, 50, 200, 100), Rect(250, 0, 100, 200))
    grey, half = (
        detection_at(0, 10, 100, 40, layout=layout),
        detection_at(0, 20, 100, 80, layout=layout),
    )
    assert ungrid(layout, [grey, half])[0][0].box == pytest.approx((0, 0, 0.5, 0.3))
    assert [len(detections) for detections in ungrid(layout, [grey, half])] == [1, 0]


def test_no_detections_are_none_for_each_photo() -> None:
    """Where there are no detections, each photo has none."""
    assert ungrid(FOUR, []) == [[], [], [], []]


def test_a_detection_keeps_its_other_fields() -> None:
    """Label, score, kind and details travel with the box, and polygons are mapped and clipped like
    it."""
    corners = ((0.5, 0.0), (0.75, 0.0), (0.75, 0.25), (0.4, 0.25))
    animal = detection_at(200, 0, 300, 50, kind="animal", polygon=corners, details={"pose": "sits"})
    own_animal = ungrid(FOUR, [animal])[1][0]
    assert (own_animal.label, own_animal.score, own_animal.kind, own_animal.details) == (
        "cat",
        0.9,
        "animal",
        {"pose": "sits"},
    )
    assert sum(own_animal.polygon, ()) == pytest.approx((0, 0, 0.5, 0, 0.5, 0.5, 0, 0.5))


SHAPES = st.builds(Shape, st.integers(1, 6), st.integers(1, 6))
SIZES = st.builds(Size, st.integers(20, 4000), st.integers(20, 4000))
SPAN = st.tuples(st.integers(0, 19), st.integers(0, 19)).map(
    lambda ends: (min(ends), max(ends) + 1)
)
INNER = st.tuples(SPAN, SPAN).map(
    lambda spans: (spans[0][0], spans[1][0], spans[0][1], spans[1][1])
)
"""A box in twentieths of its photo."""


@given(
    st.data(),
    SHAPES,
    st.tuples(st.integers(200, 2000), st.integers(200, 2000)),
    st.integers(1, 200),
)
def test_boxes_survive_the_grid_within_one_pixel(
    data: st.DataObject, shape: Shape, canvas: tuple[int, int], least_px: int
) -> None:
    """A box inside a photo of any size and orientation survives a grid of any shape within one
    pixel."""
    boxed = data.draw(st.lists(st.tuples(SIZES, INNER), min_size=1, max_size=shape.cells))
    layout = lay_out([size for size, _ in boxed], shape, canvas, min_side_px=least_px)
    boxes = [Box(*(side / 20 for side in inner)) for _, inner in boxed]
    on_canvas = [
        whole_pixel_box(place, box) for place, box in zip(layout.photos, boxes, strict=True)
    ]
    detections = [
        detection_at(*sides, label=str(index), layout=layout)
        for index, sides in enumerate(on_canvas)
    ]
    for crossing in ("midpoint", "discard"):
        for index, own_detections in enumerate(ungrid(layout, detections, crossing=crossing)):
            place, box = layout.photos[index], boxes[index]
            if (
                on_canvas[index][0] == on_canvas[index][2]
                or on_canvas[index][1] == on_canvas[index][3]
            ):
                continue  # less than a pixel remains of it
            assert [detection.label for detection in own_detections] == [str(index)]
            for side, (before, after) in enumerate(zip(box, own_detections[0].box, strict=True)):
                assert abs(before - after) * (place.width, place.height)[side % 2] <= 1 + 1e-6


def whole_pixel_box(place: Rect, box: Box) -> tuple[int, int, int, int]:
    """A box of the photo in whole pixels of the canvas, as a detector without finer coordinates
    gives it."""
    return (
        round(place.x + box.x0 * place.width),
        round(place.y + box.y0 * place.height),
        round(place.x + box.x1 * place.width),
        round(place.y + box.y1 * place.height),
    )


@given(st.data(), SHAPES)
def test_any_box_goes_to_one_photo_at_most(data: st.DataObject, shape: Shape) -> None:
    """Any detection that a provider may return goes to one photo at most and lies inside it, and
    discarding keeps no more."""
    sizes = data.draw(st.lists(SIZES, min_size=1, max_size=shape.cells))
    sides = st.floats(-1, 2)
    boxes = data.draw(st.lists(st.tuples(sides, sides, sides, sides), max_size=8))
    detections = [Detection(str(index), 0.5, Box(*box)) for index, box in enumerate(boxes)]
    layout = lay_out(sizes, shape, (640, 640))
    by_photo = ungrid(layout, detections)
    labels = [detection.label for each in by_photo for detection in each]
    assert len(by_photo) == len(sizes)
    assert len(set(labels)) == len(labels)
    assert all(d.box.area > 0 and d.box == d.box.clip() for each in by_photo for d in each)
    uncrossed = ungrid(layout, detections, crossing="discard")
    assert all(
        set(map(repr, fewer)) <= set(map(repr, own_detections))
        for fewer, own_detections in zip(uncrossed, by_photo, strict=True)
    )


# -- text


def words(*texts: tuple[str, int, int], parent: int = 0, y: int = 20) -> list[Detection]:
    """Words on one row, each given as its text, x0 and x1."""
    return [
        detection_at(x0, y, x1, y + 20, text, 0.8, kind="WORD", parent=parent)
        for text, x0, x1 in texts
    ]


def line(text: str, x0: int, x1: int, key: int = 0, y: int = 20, score: float = 0.9) -> Detection:
    """A line of text on a row."""
    return detection_at(x0, y, x1, y + 20, text, score, kind="LINE", key=key)


def lines_of(detections: Iterable[Detection]) -> list[str]:
    """The texts of the lines."""
    return [detection.label for detection in detections if detection.kind == "LINE"]


def words_of(detections: Iterable[Detection]) -> list[str]:
    """The texts of the words."""
    return [detection.label for detection in detections if detection.kind == "WORD"]


def test_a_line_within_a_photo_stays_whole() -> None:
    """A line within one photo stays as it was read, with its words."""
    first, second, *_ = ungrid(
        FOUR, [line("total  35", 20, 180), *words(("total", 20, 90), ("35", 100, 180))]
    )
    assert lines_of(first) == ["total  35"]
    assert words_of(first) == ["total", "35"]
    assert second == []


def test_a_line_over_a_seam_is_split_by_words() -> None:
    """A line that was read over a seam becomes one line in each photo, made of the photo's own
    words and around their boxes."""
    words_read = words(("good", 20, 90), ("day", 110, 190), ("EXIT", 220, 300), ("left", 310, 380))
    first, second, *_ = ungrid(FOUR, [line("good day EXIT left", 20, 380), *words_read])
    assert (lines_of(first), words_of(first)) == (["good day"], ["good", "day"])
    assert (lines_of(second), words_of(second)) == (["EXIT left"], ["EXIT", "left"])
    assert first[0].box == pytest.approx((0.1, 0.2, 0.95, 0.4))
    assert second[0].box == pytest.approx((0.1, 0.2, 0.9, 0.4))
    assert sum(first[0].polygon, ()) == pytest.approx((0.1, 0.2, 0.95, 0.2, 0.95, 0.4, 0.1, 0.4))


def test_every_word_keeps_its_line() -> None:
    """Every word is tied to the line in its own photo."""
    first, second, *_ = ungrid(
        FOUR, [line("a b", 20, 380, key=7), *words(("a", 20, 90), ("b", 300, 380), parent=7)]
    )
    for detections in (first, second):
        assert detections[0].key == detections[1].parent == 7


def test_a_split_line_scores_no_higher_than_its_parts() -> None:
    """A rebuilt line scores no higher than the whole line did, nor than any of its words."""
    left_word, right_word = words(("a", 20, 90), ("b", 300, 380))
    first, second, *_ = ungrid(FOUR, [line("a b", 20, 380, score=0.7), left_word, right_word])
    assert [detections[0].score for detections in (first, second)] == [0.7, 0.7]
    first, *_ = ungrid(FOUR, [line("a b", 20, 380, score=0.99), left_word, right_word])
    assert first[0].score == 0.8


def test_a_line_without_words_over_a_seam_is_torn() -> None:
    """Where a provider returns lines only, a line over a seam belongs to no photo, and its photos
    count as torn."""
    detections = [line("good day EXIT", 20, 300), line("left", 310, 380)]
    first, second, *_ = ungrid(FOUR, detections)
    assert (lines_of(first), lines_of(second)) == ([], ["left"])
    assert photos_of_torn_text(FOUR, detections) == {0, 1}


def test_a_word_over_a_seam_belongs_to_no_photo() -> None:
    """A word that was read over a seam is in no photo's words and in no line, because half of it is
    another photo's."""
    detections = [
        line("ALICE 1234 BOB", 20, 380),
        *words(("ALICE", 20, 150), ("1234", 160, 240), ("BOB", 250, 380)),
    ]
    first, second, *_ = ungrid(FOUR, detections)
    assert (lines_of(first), words_of(first)) == (["ALICE"], ["ALICE"])
    assert (lines_of(second), words_of(second)) == (["BOB"], ["BOB"])
    assert photos_of_torn_text(FOUR, detections) == {0, 1}


def test_a_words_padding_over_a_seam_tears_nothing() -> None:
    """A word whose box crosses the seam only by its padding belongs to its photo, and tears
    nothing."""
    detections = [line("EXIT", 120, 203), *words(("EXIT", 120, 203))]
    first, *_ = ungrid(FOUR, detections)
    assert words_of(first) == ["EXIT"]
    assert photos_of_torn_text(FOUR, detections) == set()


def test_a_line_follows_its_words() -> None:
    """A line whose box lies in another photo than its words is rebuilt in the photo of the
    words."""
    first, second, *_ = ungrid(
        FOUR, [line("good day", 150, 390), *words(("good", 150, 170), ("day", 172, 199))]
    )
    assert (lines_of(first), words_of(first)) == (["good day"], ["good", "day"])
    assert second == []


def test_a_word_needs_no_line() -> None:
    """A word without a line in the answer is kept as a word."""
    first, *_ = ungrid(FOUR, words(("total", 20, 90), parent=3))
    assert words_of(first) == ["total"]


def test_words_in_an_empty_cell_leave_their_line() -> None:
    """Words that were read in an empty cell are dropped from their line."""
    layout = lay_out([Size(200, 100)] * 3, Shape(2, 2), (400, 200))
    detections = [
        line("sum ghost", 20, 380, y=120),
        *words(("sum", 20, 90), ("ghost", 300, 380), y=120),
    ]
    by_photo = ungrid(layout, detections)
    assert (lines_of(by_photo[2]), words_of(by_photo[2])) == (["sum"], ["sum"])
    assert by_photo[:2] == [[], []]


def test_a_photo_alone_keeps_all_detections() -> None:
    """The detections of a photo alone stay as they are."""
    alone = Layout(Shape(1, 1), Size(200, 100), (Rect(0, 0, 200, 100),))
    detections = [
        Detection("cat", 0.9, Box(0.1, 0.2, 0.3, 0.4)),
        Detection("dog", 0.8, Box(0, 0, 1, 1)),
    ]
    assert ungrid(alone, detections) == [detections]


def test_landmarks_follow_their_face() -> None:
    """A face's landmarks go where its box goes, and their depth is scaled like their x."""
    eye = Landmark("eyeLeft", 250 / 400, 125 / 200, 20 / 400)
    (_, _, _, (face,)) = ungrid(FOUR, [detection_at(240, 110, 300, 160, landmarks=(eye,))])
    (mark,) = face.landmarks
    assert mark[0] == "eyeLeft"
    assert mark[1:] == pytest.approx((0.25, 0.25, 0.1))


def test_parts_follow_their_person() -> None:
    """A helmet goes to the photo of the person that wears it, and a helmet in another photo's cell
    is dropped."""
    person = detection_at(150, 10, 190, 90, "Person", key=7)
    own_part, neighbours_part = (
        detection_at(160, 10, 180, 30, "HEAD_COVER", parent=7),
        detection_at(205, 10, 225, 30, "HEAD_COVER", parent=7),
    )
    detections = ungrid(FOUR, [person, own_part, neighbours_part])
    assert [[part.label for part in each] for each in detections] == [
        ["Person", "HEAD_COVER"],
        [],
        [],
        [],
    ]
