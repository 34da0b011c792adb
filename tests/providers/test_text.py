"""Kind `text`: lines and their words are read and found where they stand."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from providers.detection import Task
from providers.engine.worker import LocalProvider
from providers.text import OcrReader, read_lines

LINES = [("STOP Exit 42", 40, 60), ("Hello, world", 120, 250)]
SIDE_PX = 400
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reader(make: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> LocalProvider:
    return make("text", tmp_path_factory.mktemp("text"), threads=1, concurrency=1)


@pytest.fixture(scope="module")
def page(paper: Callable[..., Any]) -> Image:
    return paper((SIDE_PX, SIDE_PX), *LINES)


async def seen(reader, picture, image, kind):
    return [found for found in await reader.detect(picture(image), Task.TEXT) if found.kind == kind]


async def test_lines(reader: LocalProvider, picture: Callable[..., Any], page: Image) -> None:
    """Lines are read from the top down, each at its place."""
    lines = await seen(reader, picture, page, "LINE")
    assert [line.label for line in lines] == [text for text, _, _ in LINES]
    for line, (_, x, y) in zip(lines, LINES, strict=True):
        assert abs(line.box.x0 * SIDE_PX - x) < 12
        assert abs(line.box.y0 * SIDE_PX - y) < 12
        assert line.score > 0.9


async def test_words(reader: LocalProvider, picture: Callable[..., Any], page: Image) -> None:
    """Words are what spaces part, have their line as parent and lie in it from left to right."""
    lines = await seen(reader, picture, page, "LINE")
    words = await seen(reader, picture, page, "WORD")
    for line in lines:
        own = [word for word in words if word.parent == line.key]
        assert [word.label for word in own] == line.label.split()
        assert [word.box.x0 for word in own] == sorted(word.box.x0 for word in own)
        assert all(line.box.x0 - 0.02 < word.box.midpoint[0] < line.box.x1 + 0.02 for word in own)
        assert {word.score for word in own} == {line.score}


async def test_blank(reader: LocalProvider, picture: Callable[..., Any]) -> None:
    """Nothing is read on blank paper."""
    assert await reader.detect(picture(Image.new("RGB", (64, 64), "white")), Task.TEXT) == []


async def test_silence(
    reader: LocalProvider, picture: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    """Reading and finding nothing write neither to the console nor to anyone else's log."""
    level = logging.getLogger().level
    await reader.detect(picture(Image.new("RGB", (64, 64))), Task.TEXT)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().level == level


def square(x):
    return [[x, 0], [x + 10, 0], [x + 10, 10], [x, 10]]


def output(texts, words):
    """What RapidOCR gives, one line below the other."""
    boxes = np.array([square(at * 20) for at in range(len(texts))], dtype=np.float32)
    return SimpleNamespace(
        txts=texts,
        scores=[0.9 - at / 2 for at in range(len(texts))],
        boxes=boxes,
        word_results=words,
    )


def test_floor() -> None:
    """Lines under the floor go, with their words."""
    words = (((("sure", 0.9, square(0)),)), ((("not", 0.9, square(20)),)))
    found = OcrReader([lambda *_, **__: output(("sure", "not"), words)], min_score=0.5)(
        Image.new("RGB", (100, 10))
    )
    assert [(one.label, one.kind, one.key, one.parent) for one in found] == [
        ("sure", "LINE", 0, None),
        ("sure", "WORD", None, 0),
    ]


def test_missing_words() -> None:
    """Where RapidOCR gives no words for a line, the lines after it keep theirs."""
    texts, words = ("one", "a b", "two"), ((("one", 1, square(0)),), (("two", 1, square(40)),))
    lines = read_lines(lambda *_, **__: output(texts, words), Image.new("RGB", (100, 10)))
    assert [[word.text for word in line.words] for line in lines] == [["one"], [], ["two"]]


def test_stumbling() -> None:
    """Where RapidOCR fails at finding words, the lines are read without them."""

    def engine(bgr, use_det, return_word_box):
        if return_word_box:
            raise IndexError
        return output(("one", "two"), (("", 1.0, None),))

    lines = read_lines(engine, Image.new("RGB", (100, 10)))
    assert [(line.text, line.words) for line in lines] == [("one", ()), ("two", ())]


def test_colour_order() -> None:
    """The engine is given BGR."""
    given = []
    read_lines(
        lambda bgr, **_: given.append(bgr) or output((), ()), Image.new("RGB", (2, 1), (1, 2, 3))
    )
    assert given[0].tolist() == [[[3, 2, 1], [3, 2, 1]]]


def test_engine_is_given_back() -> None:
    """An engine that fails is free for the next picture."""
    answers = iter([RuntimeError("once"), output((), ())])

    def engine(*_, **__):
        if isinstance(answer := next(answers), Exception):
            raise answer
        return answer

    reader = OcrReader([engine], min_score=0)
    with pytest.raises(RuntimeError):
        reader(Image.new("RGB", (4, 4)))
    assert reader(Image.new("RGB", (4, 4))) == []
