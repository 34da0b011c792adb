"""The demo's signs: drawn photos on which every word is known."""

import io
from collections.abc import Callable
from random import Random

import pytest
from PIL import Image

from gateway.demo.signs import KINDS, Design, Sign, Text, TextBlock, draw

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def signs() -> list[Sign]:
    """Two signs of every kind."""
    return draw(2 * len(KINDS))


def image_of(sign: Sign) -> Image.Image:
    """The sign's picture."""
    return Image.open(io.BytesIO(sign.jpeg))


def test_there_are_as_many_signs_as_requested() -> None:
    """There are as many signs as requested, and none if none are."""
    assert len(draw(3)) == 3
    assert draw(0) == []


def test_every_kind_comes_in_turn(signs: list[Sign]) -> None:
    """Every kind comes in turn, and each name is its kind and its number."""
    kinds = [design.__name__ for design in KINDS]
    assert [sign.name for sign in signs] == [
        f"{kind}-{number:02d}" for number, kind in enumerate(kinds * 2, 1)
    ]


def test_signs_are_jpegs_of_four_sizes(signs: list[Sign]) -> None:
    """Each sign is an RGB JPEG of one of four sizes, wide or tall."""
    sizes = {(640, 480), (480, 640), (1200, 900), (900, 1200)}
    for sign in signs:
        picture = image_of(sign)
        picture.load()
        assert (picture.format, picture.mode) == ("JPEG", "RGB")
        assert picture.size in sizes


def test_a_few_signs_have_both_orientations_and_sizes(signs: list[Sign]) -> None:
    """A few signs have both orientations and both sizes."""
    sizes = {image_of(sign).size for sign in signs}
    assert {width > height for width, height in sizes} == {True, False}
    assert {max(size) for size in sizes} == {640, 1200}


def test_a_seed_gives_the_same_signs() -> None:
    """A seed gives the same bytes every time, and another seed gives others."""
    assert draw(2, seed=3) == draw(2, seed=3)
    assert all(
        one.jpeg != other.jpeg for one, other in zip(draw(2, seed=3), draw(2, seed=4), strict=True)
    )


def test_a_longer_list_begins_with_the_shorter() -> None:
    """A longer list begins with the shorter one."""
    assert draw(3)[:2] == draw(2)


def test_words_are_distinct_printable_ascii(signs: list[Sign]) -> None:
    """Words are printable ASCII without blanks, each sign has several, and no two signs have the
    same words."""
    for sign in signs:
        assert len(sign.words) >= 5
        assert all(
            word.isascii() and word.isprintable() and word == word.strip() and word
            for word in sign.words
        )
    assert len({sign.words for sign in signs}) == len(signs)


def test_a_receipt_adds_up(signs: list[Sign]) -> None:
    """A receipt's total is the sum of its prices."""
    words = next(sign.words for sign in signs if sign.name.startswith("receipt"))
    *prices, total = (float(word) for word in words if "." in word)
    assert total == pytest.approx(sum(prices))


@pytest.mark.parametrize("design_of", KINDS, ids=lambda design: design.__name__)
def test_texts_are_large_and_inside_the_sign(design_of: Callable[[Random], Design]) -> None:
    """Texts are 32 px or more and lie within the sign, so that a sign shrunk to half can still be
    read."""
    for seed in range(20):
        design = design_of(Random(seed))
        texts = [part for part in design if isinstance(part, Text)]
        reach_y = max(part.rect[3] for part in design if isinstance(part, TextBlock))
        width, height = (480, 640) if reach_y > 480 else (640, 480)
        assert all(text.size_px >= 32 for text in texts)
        assert all(20 < text.xy[0] < width - 20 and 20 < text.xy[1] < height - 20 for text in texts)


def test_signs_have_grain_and_light(signs: list[Sign]) -> None:
    """Grain and light make neighbouring pixels differ, as in a photo: any corner has dozens of
    colours."""
    for sign in signs[: len(KINDS)]:
        corner = image_of(sign).crop((0, 0, 64, 64))
        assert len(corner.getcolors(64 * 64) or ()) > 50
