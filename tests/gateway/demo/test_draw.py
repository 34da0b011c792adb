"""Drawing on canvases: cells, who asked, boxes, labels and scores."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from gateway.demo.draw import PALETTE, BoxMark, Cell, annotate, colour

GREY = (120, 120, 120)


def canvas(width: int = 1000, height: int = 600) -> Image.Image:
    return Image.new("RGB", (width, height), GREY)


def changed(picture: Image.Image) -> tuple[int, int, int, int] | None:
    """The smallest rectangle that holds all that was drawn."""
    return ImageChops.difference(picture, Image.new("RGB", picture.size, GREY)).getbbox()


def inked(picture: Image.Image) -> int:
    """How many pixels were drawn on."""
    untouched = next(count for count, ink in picture.getcolors(10**6) or () if ink == GREY)
    return picture.width * picture.height - untouched


@pytest.mark.parametrize(("size", "drawn"), [((1280, 1280), (1280, 1280)), ((900, 90), (900, 90))])
def test_large_canvases_keep_their_size(size: tuple[int, int], drawn: tuple[int, int]) -> None:
    """A canvas of 900 px or more is drawn as large as it is."""
    assert annotate(canvas(*size), [], []).size == drawn


@pytest.mark.parametrize(("size", "drawn"), [((320, 320), (640, 640)), ((899, 500), (1798, 1000))])
def test_small_canvases_are_doubled(size: tuple[int, int], drawn: tuple[int, int]) -> None:
    """A smaller one is doubled, so that tags can be read."""
    assert annotate(canvas(*size), [], []).size == drawn


def test_the_canvas_is_left_alone() -> None:
    """What is drawn on is a copy, in RGB whatever came in."""
    given_one = Image.new("L", (1000, 600), 120)
    drawn = annotate(
        given_one,
        [Cell((0, 0, 500, 600), "client 01")],
        [BoxMark((600, 100, 700, 200), "cat", 0.9)],
    )
    assert given_one.getextrema() == (120, 120)
    assert drawn.mode == "RGB"


def test_nothing_to_draw() -> None:
    """Without cells and boxes the picture stays as it is."""
    assert changed(annotate(canvas(), [], [])) is None


def test_a_box_in_its_labels_colour() -> None:
    """A box is outlined in its label's colour and lightly tinted; beyond it and its tag nothing
    changes."""
    drawn = annotate(canvas(), [], [BoxMark((300, 200, 500, 400), "cat", 0.9)])
    assert (
        drawn.getpixel((300, 300))
        == drawn.getpixel((500, 300))
        == drawn.getpixel((400, 400))
        == colour("cat")
    )
    assert drawn.getpixel((400, 300)) not in (GREY, colour("cat"))
    left, top, right, bottom = changed(drawn) or (0, 0, 0, 0)
    assert (left, right, bottom) == (299, 502, 402)
    assert 170 < top < 200


def test_boxes_of_small_canvases_grow_too() -> None:
    """On a doubled canvas the box is where its thing is: at twice its pixels."""
    drawn = annotate(canvas(400, 300), [], [BoxMark((100, 100, 200, 200), "cat", 0.9)])
    assert drawn.getpixel((200, 300)) == drawn.getpixel((400, 300)) == colour("cat")


def test_cells_are_dashed_and_named() -> None:
    """A cell has a dashed border just inside it and a dark plate with the caption in its corner."""
    drawn = annotate(canvas(), [Cell((0, 0, 500, 600), "client 07")], [])
    border = {drawn.getpixel((499, y)) for y in range(100, 200)}
    assert len(border) == 2
    assert GREY in border
    assert changed(drawn) == (0, 0, 500, 600)
    assert max(drawn.getpixel((6, 12))) < 80


def test_tags_keep_out_of_each_others_way() -> None:
    """Two boxes side by side have two tags that can be read: together they take the room of
    both."""
    marks = [
        BoxMark((300, 200, 340, 230), "seven", 0.9),
        BoxMark((342, 200, 380, 230), "words", 0.8),
    ]
    apart = [inked(annotate(canvas(), [], [mark])) for mark in marks]
    assert inked(annotate(canvas(), [], marks)) > 0.98 * sum(apart)


def test_tags_stay_in_their_cell() -> None:
    """A box at the edge of its cell has its tag in that cell, not on a neighbour's photo."""
    cells = [Cell((0, 0, 500, 300), "client 01"), Cell((0, 300, 500, 600), "client 02")]
    bare = annotate(canvas(), cells, [])
    drawn = annotate(canvas(), cells, [BoxMark((200, 302, 260, 330), "umbrella", 0.51)])
    _, top, _, _ = ImageChops.difference(bare, drawn).getbbox() or (0, 0, 0, 0)
    assert top >= 300


def test_one_colour_a_label() -> None:
    """A label's colour is always the same and comes from the palette; labels of any script have
    one."""
    assert colour("cat") == colour("cat")
    assert {colour(label) for label in ("cat", "dog", "", "Straße", "猫")} <= set(PALETTE)
    assert len({colour(f"label {number}") for number in range(200)}) == len(PALETTE)


sides = st.floats(-200, 1200, allow_nan=False)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.builds(
            BoxMark, st.tuples(sides, sides, sides, sides), st.text(max_size=12), st.floats(0, 1)
        ),
        max_size=6,
    )
)
def test_any_boxes_can_be_drawn(marks: list[BoxMark]) -> None:
    """Boxes that reach outside, are empty or upside down, and labels of any text, are drawn without
    complaint."""
    assert annotate(canvas(), [Cell((0, 0, 1000, 600), "client 01")], marks).size == (1000, 600)
