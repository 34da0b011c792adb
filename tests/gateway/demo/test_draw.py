"""Drawing on canvases: cells, clients' names, boxes, labels and scores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from gateway.demo.draw import MAX_HIDDEN, PALETTE, BoxMark, Cell, annotate, colour, tags_of
from tests.support.examples import examples

GREY = (120, 120, 120)


def canvas(width: int = 1000, height: int = 600) -> Image.Image:
    """A grey canvas."""
    return Image.new("RGB", (width, height), GREY)


def drawn_area(picture: Image.Image) -> tuple[int, int, int, int] | None:
    """The smallest rectangle that holds all that was drawn."""
    return ImageChops.difference(picture, Image.new("RGB", picture.size, GREY)).getbbox()


def drawn_pixels(picture: Image.Image) -> int:
    """The number of pixels that were drawn on."""
    grey_pixels = next(count for count, ink in picture.getcolors(10**6) or () if ink == GREY)
    return picture.width * picture.height - grey_pixels


@pytest.mark.parametrize(
    ("size", "expected"), [((1280, 1280), (1280, 1280)), ((900, 90), (900, 90))]
)
def test_large_canvases_keep_their_size(size: tuple[int, int], expected: tuple[int, int]) -> None:
    """A canvas of 900 px or more is drawn as large as it is."""
    assert annotate(canvas(*size), [], []).size == expected


@pytest.mark.parametrize(
    ("size", "expected"), [((320, 320), (640, 640)), ((899, 500), (1798, 1000))]
)
def test_small_canvases_are_doubled(size: tuple[int, int], expected: tuple[int, int]) -> None:
    """A smaller canvas is doubled, so that tags can be read."""
    assert annotate(canvas(*size), [], []).size == expected


def test_the_original_canvas_is_not_drawn_on() -> None:
    """Boxes are drawn on a copy, in RGB whatever the original's mode."""
    original = Image.new("L", (1000, 600), 120)
    drawn = annotate(
        original,
        [Cell((0, 0, 500, 600), "client 01")],
        [BoxMark((600, 100, 700, 200), "cat", 0.9)],
    )
    assert original.getextrema() == (120, 120)
    assert drawn.mode == "RGB"


def test_without_cells_and_boxes_nothing_is_drawn() -> None:
    """Without cells and boxes the picture stays as it is."""
    assert drawn_area(annotate(canvas(), [], [])) is None


def test_a_box_has_its_labels_colour() -> None:
    """A box is outlined in its label's colour and lightly tinted; outside it and its tag nothing
    changes."""
    drawn = annotate(canvas(), [], [BoxMark((300, 200, 500, 400), "cat", 0.9)])
    assert (
        drawn.getpixel((300, 300))
        == drawn.getpixel((500, 300))
        == drawn.getpixel((400, 400))
        == colour("cat")
    )
    assert drawn.getpixel((400, 300)) not in (GREY, colour("cat"))
    left, top, right, bottom = drawn_area(drawn) or (0, 0, 0, 0)
    assert (left, right, bottom) == (299, 502, 402)
    assert 170 < top < 200


def test_boxes_are_doubled_with_their_canvas() -> None:
    """On a doubled canvas a box is at twice its pixels."""
    drawn = annotate(canvas(400, 300), [], [BoxMark((100, 100, 200, 200), "cat", 0.9)])
    assert drawn.getpixel((200, 300)) == drawn.getpixel((400, 300)) == colour("cat")


def test_cells_are_dashed_and_named() -> None:
    """A cell has a dashed border just inside it and a dark plate with the caption in its corner."""
    drawn = annotate(canvas(), [Cell((0, 0, 500, 600), "client 07")], [])
    border = {drawn.getpixel((499, y)) for y in range(100, 200)}
    assert len(border) == 2
    assert GREY in border
    assert drawn_area(drawn) == (0, 0, 500, 600)
    assert max(drawn.getpixel((6, 12))) < 80


def test_neighbouring_tags_do_not_overlap() -> None:
    """Two boxes side by side have two readable tags, which together take the area of both."""
    marks = [
        BoxMark((300, 200, 340, 230), "seven", 0.9),
        BoxMark((342, 200, 380, 230), "words", 0.8),
    ]
    pixels_apart = [drawn_pixels(annotate(canvas(), [], [mark])) for mark in marks]
    assert drawn_pixels(annotate(canvas(), [], marks)) > 0.98 * sum(pixels_apart)


def test_a_tag_stays_in_its_cell() -> None:
    """A box at the edge of its cell has its tag in that cell, not on a neighbour's photo."""
    cells = [Cell((0, 0, 500, 300), "client 01"), Cell((0, 300, 500, 600), "client 02")]
    bare = annotate(canvas(), cells, [])
    drawn = annotate(canvas(), cells, [BoxMark((200, 302, 260, 330), "umbrella", 0.51)])
    _, top, _, _ = ImageChops.difference(bare, drawn).getbbox() or (0, 0, 0, 0)
    assert top >= 300


def test_a_label_always_has_the_same_colour() -> None:
    """A label always has the same colour, from the palette, and labels in any script have one."""
    assert colour("cat") == colour("cat")
    assert {colour(label) for label in ("cat", "dog", "", "Straße", "猫")} <= set(PALETTE)
    assert len({colour(f"label {number}") for number in range(200)}) == len(PALETTE)


sides = st.floats(-200, 1200, allow_nan=False)


@examples(25)
@given(
    st.lists(
        st.builds(
            BoxMark, st.tuples(sides, sides, sides, sides), st.text(max_size=12), st.floats(0, 1)
        ),
        max_size=6,
    )
)
def test_any_boxes_can_be_drawn(marks: list[BoxMark]) -> None:
    """Boxes that reach outside, are empty or inverted, and labels of any text, can be drawn."""
    assert annotate(canvas(), [Cell((0, 0, 1000, 600), "client 01")], marks).size == (1000, 600)


@st.composite
def lines_of_text(draw: st.DrawFn) -> list[BoxMark]:
    """Boxes as text has them: wide, low, and close together."""
    corners = draw(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 570)), max_size=40))
    return [
        BoxMark((x, y, x + draw(st.integers(20, 300)), y + draw(st.integers(12, 60))), "words", 0.9)
        for x, y in corners
    ]


@examples(25)
@given(lines_of_text())
def test_no_tag_covers_what_was_read(marks: list[BoxMark]) -> None:
    """However close the boxes are, no tag or caption covers more than a twentieth of any, and no
    two tags overlap: a tag without room is left out."""
    tags = tags_of([Cell((0, 0, 1000, 600), "client-01")], marks, (0, 0, 1000, 600))
    for number, tag in enumerate(tags):
        for mark in marks:
            x0, y0, x1, y1 = mark.rect
            assert overlap(tag.rect, mark.rect) <= MAX_HIDDEN * (x1 - x0) * (y1 - y0) + 1e-6
        assert not any(overlap(tag.rect, other.rect) for other in tags[:number])


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Square pixels that two rectangles share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)


def test_a_single_box_always_has_its_tag() -> None:
    """Where there is room, nothing is left out: a caption, and a tag inside a box that fills its
    cell."""
    cells = [Cell((0, 0, 1000, 600), "client-01")]
    tags = tags_of(cells, [BoxMark((0, 0, 1000, 600), "sheep", 0.8)], (0, 0, 1000, 600))
    assert [tag.text for tag in tags] == ["client-01", "sheep 0.80"]


def test_a_label_that_is_a_colour_has_it() -> None:
    """The label `blue` is drawn in blue."""
    assert colour("blue") == (0, 0, 255)
