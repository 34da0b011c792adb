"""From boxes on a canvas to boxes of its photos: EECS-2023-182, section 3.1."""

from __future__ import annotations

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


def at(x0, y0, x1, y1, label="cat", score=0.9, layout=FOUR, **more):
    """A detection given in the canvas's pixels."""
    width, height = layout.width_px, layout.height_px
    return Detection(label, score, Box(x0 / width, y0 / height, x1 / width, y1 / height), **more)


def test_example() -> None:
    """The layout that the examples here are worked on by hand."""
    assert FOUR.photos == (
        Rect(0, 0, 200, 100),
        Rect(200, 0, 200, 100),
        Rect(0, 100, 200, 100),
        Rect(200, 100, 200, 100),
    )


@pytest.mark.parametrize(
    ("box", "photo", "own"),
    [
        ((20, 10, 120, 60), 0, (0.1, 0.1, 0.6, 0.6)),
        ((220, 10, 320, 60), 1, (0.1, 0.1, 0.6, 0.6)),
        ((20, 110, 120, 160), 2, (0.1, 0.1, 0.6, 0.6)),
        ((250, 125, 350, 175), 3, (0.25, 0.25, 0.75, 0.75)),
        ((200, 100, 400, 200), 3, (0, 0, 1, 1)),
    ],
)
def test_definition(
    box: tuple[int, ...], photo: int, own: tuple[float, ...] | tuple[int, ...]
) -> None:
    """Row and column are the midpoint's over a photo's height and width; what is left are the
    photo's coordinates."""
    found = ungrid(FOUR, [at(*box)])
    assert [len(each) for each in found] == [int(index == photo) for index in range(4)]
    assert found[photo][0].box == pytest.approx(own)


@pytest.mark.parametrize(
    ("box", "photo", "own"),
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
def test_crossing(
    box: tuple[int, ...], photo: int, own: tuple[float, ...] | tuple[int, ...]
) -> None:
    """A box over a seam belongs to the photo that holds its midpoint, and is cut off at that
    photo's edge."""
    found = ungrid(FOUR, [at(*box)])
    assert [len(each) for each in found] == [int(index == photo) for index in range(4)]
    assert found[photo][0].box == pytest.approx(own)
    assert ungrid(FOUR, [at(*box)], crossing="discard") == [[], [], [], []]


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
def test_not_crossing(box: tuple[int, ...]) -> None:
    """A box up to a seam, or over the edge of the canvas, reaches into no second photo."""
    assert ungrid(FOUR, [at(*box)], crossing="discard") == ungrid(FOUR, [at(*box)])
    assert sum(map(len, ungrid(FOUR, [at(*box)]))) == 1


@pytest.mark.parametrize("cells", range(1, 21))
def test_whole_photos(cells: int) -> None:
    """A box around the whole of a photo crosses no seam, however the fractions of the canvas are
    rounded."""
    for side in range(20, 60):
        layout = lay_out([Size(100, 100)] * cells, Shape(1, cells), (side * cells, side))
        found = [at(p.x, p.y, p.x + p.width, p.y + p.height, layout=layout) for p in layout.photos]
        assert [len(own) for own in ungrid(layout, found, crossing="discard")] == [1] * cells


@pytest.mark.parametrize("box", [(-120, 10, 20, 60), (390, 110, 500, 190), (20, 180, 60, 260)])
def test_off_canvas(box: tuple[int, ...]) -> None:
    """A box whose midpoint is off the canvas is nobody's."""
    assert ungrid(FOUR, [at(*box)]) == [[], [], [], []]


def test_empty_cell() -> None:
    """A box in a cell without a photo is dropped."""
    layout = lay_out([Size(200, 100)] * 3, Shape(2, 2), (400, 200))
    assert ungrid(layout, [at(250, 110, 350, 190)]) == [[], [], []]


def test_beside_its_photo() -> None:
    """A box on the grey beside a photo is dropped; one that is half on it is cut off there."""
    layout = lay_out([Size(200, 100), Size(100, 200)], Shape(1, 2), (400, 200))
    assert layout.photos == (Rect(0, 50, 200, 100), Rect(250, 0, 100, 200))
    grey, half = at(0, 10, 100, 40, layout=layout), at(0, 20, 100, 80, layout=layout)
    assert ungrid(layout, [grey, half])[0][0].box == pytest.approx((0, 0, 0.5, 0.3))
    assert [len(own) for own in ungrid(layout, [grey, half])] == [1, 0]


def test_nothing() -> None:
    """Nothing found is nothing for each photo."""
    assert ungrid(FOUR, []) == [[], [], [], []]


def test_the_rest_is_kept() -> None:
    """Label, score, kind and details travel with the box; polygons are mapped and cut off like
    it."""
    corners = ((0.5, 0.0), (0.75, 0.0), (0.75, 0.25), (0.4, 0.25))
    seen = at(200, 0, 300, 50, kind="animal", polygon=corners, details={"pose": "sits"})
    own = ungrid(FOUR, [seen])[1][0]
    assert (own.label, own.score, own.kind, own.details) == ("cat", 0.9, "animal", {"pose": "sits"})
    assert sum(own.polygon, ()) == pytest.approx((0, 0, 0.5, 0, 0.5, 0.5, 0, 0.5))


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
def test_there_and_back(data, shape, canvas, least_px) -> None:
    """A box inside any photo, of any size and orientation and in any shape, survives the grid
    within one pixel."""
    boxed = data.draw(st.lists(st.tuples(SIZES, INNER), min_size=1, max_size=shape.cells))
    layout = lay_out([size for size, _ in boxed], shape, canvas, min_side_px=least_px)
    boxes = [Box(*(side / 20 for side in inner)) for _, inner in boxed]
    on_canvas = [_drawn_at(place, box) for place, box in zip(layout.photos, boxes, strict=True)]
    found = [at(*sides, label=str(index), layout=layout) for index, sides in enumerate(on_canvas)]
    for crossing in ("midpoint", "discard"):
        for index, own in enumerate(ungrid(layout, found, crossing=crossing)):
            place, box = layout.photos[index], boxes[index]
            if (
                on_canvas[index][0] == on_canvas[index][2]
                or on_canvas[index][1] == on_canvas[index][3]
            ):
                continue  # less than a pixel remains of it
            assert [detection.label for detection in own] == [str(index)]
            for side, (there, back) in enumerate(zip(box, own[0].box, strict=True)):
                assert abs(there - back) * (place.width, place.height)[side % 2] <= 1 + 1e-6


def _drawn_at(place: Rect, box: Box):
    """Whole pixels of the canvas, as a detector with no finer eyes would tell them."""
    return (
        round(place.x + box.x0 * place.width),
        round(place.y + box.y0 * place.height),
        round(place.x + box.x1 * place.width),
        round(place.y + box.y1 * place.height),
    )


@given(st.data(), SHAPES)
def test_any_boxes(data, shape) -> None:
    """Whatever a provider says, each detection goes to one photo at most, inside it, and discarding
    keeps no more."""
    sizes = data.draw(st.lists(SIZES, min_size=1, max_size=shape.cells))
    sides = st.floats(-1, 2)
    boxes = data.draw(st.lists(st.tuples(sides, sides, sides, sides), max_size=8))
    found = [Detection(str(index), 0.5, Box(*box)) for index, box in enumerate(boxes)]
    layout = lay_out(sizes, shape, (640, 640))
    own = ungrid(layout, found)
    labels = [detection.label for each in own for detection in each]
    assert len(own) == len(sizes)
    assert len(set(labels)) == len(labels)
    assert all(d.box.area > 0 and d.box == d.box.clip() for each in own for d in each)
    uncrossed = ungrid(layout, found, crossing="discard")
    assert all(
        set(map(repr, few)) <= set(map(repr, all_))
        for few, all_ in zip(uncrossed, own, strict=True)
    )


# -- text


def words(*texts, parent=0, y=20):
    """One word after the other: (text, x0, x1)."""
    return [at(x0, y, x1, y + 20, text, 0.8, kind="WORD", parent=parent) for text, x0, x1 in texts]


def line(text, x0, x1, key=0, y=20, score=0.9):
    return at(x0, y, x1, y + 20, text, score, kind="LINE", key=key)


def lines_of(own):
    return [detection.label for detection in own if detection.kind == "LINE"]


def words_of(own):
    return [detection.label for detection in own if detection.kind == "WORD"]


def test_line_within_a_photo() -> None:
    """A line within one photo stays as it was read, with its words."""
    first, second, *_ = ungrid(
        FOUR, [line("total  35", 20, 180), *words(("total", 20, 90), ("35", 100, 180))]
    )
    assert lines_of(first) == ["total  35"]
    assert words_of(first) == ["total", "35"]
    assert second == []


def test_line_over_a_seam() -> None:
    """A line that was read over a seam becomes one in each photo, of the photo's own words, around
    their boxes."""
    read = words(("good", 20, 90), ("day", 110, 190), ("EXIT", 220, 300), ("left", 310, 380))
    first, second, *_ = ungrid(FOUR, [line("good day EXIT left", 20, 380), *read])
    assert (lines_of(first), words_of(first)) == (["good day"], ["good", "day"])
    assert (lines_of(second), words_of(second)) == (["EXIT left"], ["EXIT", "left"])
    assert first[0].box == pytest.approx((0.1, 0.2, 0.95, 0.4))
    assert second[0].box == pytest.approx((0.1, 0.2, 0.9, 0.4))
    assert sum(first[0].polygon, ()) == pytest.approx((0.1, 0.2, 0.95, 0.2, 0.95, 0.4, 0.1, 0.4))


def test_line_and_words_stay_tied() -> None:
    """Every word is tied to the line in its own photo."""
    first, second, *_ = ungrid(
        FOUR, [line("a b", 20, 380, key=7), *words(("a", 20, 90), ("b", 300, 380), parent=7)]
    )
    for own in (first, second):
        assert own[0].key == own[1].parent == 7


def test_score_of_a_part() -> None:
    """A rebuilt line is no surer than the line was, or any of its words."""
    low, high = words(("a", 20, 90), ("b", 300, 380))
    first, second, *_ = ungrid(FOUR, [line("a b", 20, 380, score=0.7), low, high])
    assert [own[0].score for own in (first, second)] == [0.7, 0.7]
    first, *_ = ungrid(FOUR, [line("a b", 20, 380, score=0.99), low, high])
    assert first[0].score == 0.8


def test_lines_without_words() -> None:
    """Where a provider tells lines only, a line over a seam is nobody's, and its photos are told to
    be torn."""
    found = [line("good day EXIT", 20, 300), line("left", 310, 380)]
    first, second, *_ = ungrid(FOUR, found)
    assert (lines_of(first), lines_of(second)) == ([], ["left"])
    assert photos_of_torn_text(FOUR, found) == {0, 1}


def test_word_over_a_seam() -> None:
    """A word that was read over a seam is in no photo's words and in no line: half of it is
    another's."""
    found = [
        line("ALICE 1234 BOB", 20, 380),
        *words(("ALICE", 20, 150), ("1234", 160, 240), ("BOB", 250, 380)),
    ]
    first, second, *_ = ungrid(FOUR, found)
    assert (lines_of(first), words_of(first)) == (["ALICE"], ["ALICE"])
    assert (lines_of(second), words_of(second)) == (["BOB"], ["BOB"])
    assert photos_of_torn_text(FOUR, found) == {0, 1}


def test_word_beside_a_seam() -> None:
    """A word that only its box's padding carries over the seam is its photo's, and tears
    nothing."""
    found = [line("EXIT", 120, 203), *words(("EXIT", 120, 203))]
    first, *_ = ungrid(FOUR, found)
    assert words_of(first) == ["EXIT"]
    assert photos_of_torn_text(FOUR, found) == set()


def test_line_apart_from_its_words() -> None:
    """A line whose box ends up in another photo than its words is made anew where they are."""
    first, second, *_ = ungrid(
        FOUR, [line("good day", 150, 390), *words(("good", 150, 170), ("day", 172, 199))]
    )
    assert (lines_of(first), words_of(first)) == (["good day"], ["good", "day"])
    assert second == []


def test_words_without_a_line() -> None:
    """A word whose line was not told is no less a word."""
    first, *_ = ungrid(FOUR, words(("total", 20, 90), parent=3))
    assert words_of(first) == ["total"]


def test_part_in_an_empty_cell() -> None:
    """What was read where no photo is, is dropped from the line."""
    layout = lay_out([Size(200, 100)] * 3, Shape(2, 2), (400, 200))
    read = [line("sum ghost", 20, 380, y=120), *words(("sum", 20, 90), ("ghost", 300, 380), y=120)]
    own = ungrid(layout, read)
    assert (lines_of(own[2]), words_of(own[2])) == (["sum"], ["sum"])
    assert own[:2] == [[], []]


def test_alone() -> None:
    """For a photo alone nothing changes."""
    alone = Layout(Shape(1, 1), Size(200, 100), (Rect(0, 0, 200, 100),))
    found = [Detection("cat", 0.9, Box(0.1, 0.2, 0.3, 0.4)), Detection("dog", 0.8, Box(0, 0, 1, 1))]
    assert ungrid(alone, found) == [found]


def test_landmarks() -> None:
    """A face's named points go where its box goes; their depth is scaled as their x is."""
    eye = Landmark("eyeLeft", 250 / 400, 125 / 200, 20 / 400)
    (_, _, _, (face,)) = ungrid(FOUR, [at(240, 110, 300, 160, landmarks=(eye,))])
    (mark,) = face.landmarks
    assert mark[0] == "eyeLeft"
    assert mark[1:] == pytest.approx((0.25, 0.25, 0.1))


def test_parts() -> None:
    """A helmet goes where who wears it goes, and one that lies in another photo's cell goes
    nowhere."""
    person = at(150, 10, 190, 90, "Person", key=7)
    own, next_door = (
        at(160, 10, 180, 30, "HEAD_COVER", parent=7),
        at(205, 10, 225, 30, "HEAD_COVER", parent=7),
    )
    found = ungrid(FOUR, [person, own, next_door])
    assert [[part.label for part in each] for each in found] == [
        ["Person", "HEAD_COVER"],
        [],
        [],
        [],
    ]
