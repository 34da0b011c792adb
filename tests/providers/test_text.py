"""Kind `text`: lines and their words are read, each at its place."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from providers.base import Picture, Provider
from providers.detection import Detection, Task
from providers.errors import NoAnswer, Unavailable
from providers.text import OcrReader, read_lines

LINES = [("STOP Exit 42", 40, 60), ("Hello, world", 120, 250)]
SIDE_PX = 400
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reader(make: Callable[..., Provider], tmp_path_factory: pytest.TempPathFactory) -> Provider:
    """A reader, loaded once as that takes seconds."""
    return make(
        "text", tmp_path_factory.mktemp("text"), threads=1, concurrency=1, timeout_ms=600_000
    )


@pytest.fixture(scope="module")
def page(paper: Callable[..., Image.Image]) -> Image.Image:
    """Paper with the lines."""
    return paper((SIDE_PX, SIDE_PX), *LINES)


async def read(
    reader: Provider, picture: Callable[..., Picture], image: Image.Image, kind: str
) -> list[Detection]:
    """The lines, or the words, that the reader finds on the image."""
    return [each for each in await reader.detect(picture(image), Task.TEXT) if each.kind == kind]


async def test_lines_are_read_from_the_top_down(
    reader: Provider, picture: Callable[..., Picture], page: Image.Image
) -> None:
    """Lines are read from the top down, each at its place."""
    lines = await read(reader, picture, page, "LINE")
    assert [line.label for line in lines] == [text for text, _, _ in LINES]
    for line, (_, x, y) in zip(lines, LINES, strict=True):
        assert abs(line.box.x0 * SIDE_PX - x) < 12
        assert abs(line.box.y0 * SIDE_PX - y) < 12
        assert line.score > 0.9


async def test_words_lie_in_their_lines_in_order(
    reader: Provider, picture: Callable[..., Picture], page: Image.Image
) -> None:
    """Words are the parts of a line between spaces, have the line as parent and lie in it from left
    to right."""
    lines = await read(reader, picture, page, "LINE")
    words = await read(reader, picture, page, "WORD")
    for line in lines:
        own = [word for word in words if word.parent == line.key]
        assert [word.label for word in own] == line.label.split()
        assert [word.box.x0 for word in own] == sorted(word.box.x0 for word in own)
        assert all(line.box.x0 - 0.02 < word.box.midpoint[0] < line.box.x1 + 0.02 for word in own)
        assert {word.score for word in own} == {line.score}


async def test_blank_paper_has_no_text(reader: Provider, picture: Callable[..., Picture]) -> None:
    """Nothing is read on blank paper."""
    assert await reader.detect(picture(Image.new("RGB", (64, 64), "white")), Task.TEXT) == []


async def test_reading_writes_to_no_console_or_log(
    reader: Provider, picture: Callable[..., Picture], capfd: pytest.CaptureFixture[str]
) -> None:
    """A reader that finds nothing writes nothing to the console and leaves the root log's level."""
    level = logging.getLogger().level
    await reader.detect(picture(Image.new("RGB", (64, 64))), Task.TEXT)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().level == level


def square(x: int) -> list[list[int]]:
    """The corners of a square of 10 px at x."""
    return [[x, 0], [x + 10, 0], [x + 10, 10], [x, 10]]


def output(texts: Sequence[str], words: Sequence[Any]) -> SimpleNamespace:
    """RapidOCR's output for texts, one line below the other."""
    boxes = np.array([square(at * 20) for at in range(len(texts))], dtype=np.float32)
    return SimpleNamespace(
        txts=texts,
        scores=[0.9 - at / 2 for at in range(len(texts))],
        boxes=boxes,
        word_results=words,
    )


def test_lines_under_the_floor_go_with_their_words() -> None:
    """Lines under the floor are left out, with their words."""
    words = (((("sure", 0.9, square(0)),)), ((("not", 0.9, square(20)),)))
    detections = OcrReader([lambda *_, **__: output(("sure", "not"), words)], min_score=0.5)(
        Image.new("RGB", (100, 10))
    )
    assert [(each.label, each.kind, each.key, each.parent) for each in detections] == [
        ("sure", "LINE", 0, None),
        ("sure", "WORD", None, 0),
    ]


def test_a_line_without_words_costs_no_other_its_own() -> None:
    """Where RapidOCR gives no words for a line, the lines after it keep theirs."""
    texts, words = ("one", "a b", "two"), ((("one", 1, square(0)),), (("two", 1, square(40)),))
    lines = read_lines(lambda *_, **__: output(texts, words), Image.new("RGB", (100, 10)))
    assert [[word.text for word in line.words] for line in lines] == [["one"], [], ["two"]]


def test_lines_are_read_though_words_fail() -> None:
    """Where RapidOCR fails at the words, the lines are read without them."""

    def engine(bgr: np.ndarray, use_det: bool, return_word_box: bool) -> SimpleNamespace:
        if return_word_box:
            raise IndexError
        return output(("one", "two"), (("", 1.0, None),))

    lines = read_lines(engine, Image.new("RGB", (100, 10)))
    assert [(line.text, line.words) for line in lines] == [("one", ()), ("two", ())]


def test_the_engine_takes_bgr() -> None:
    """The engine is given BGR."""
    arrays = []
    read_lines(
        lambda bgr, **_: arrays.append(bgr) or output((), ()), Image.new("RGB", (2, 1), (1, 2, 3))
    )
    assert arrays[0].tolist() == [[[3, 2, 1], [3, 2, 1]]]


def test_an_engine_that_fails_is_free_again() -> None:
    """An engine that fails is free for the next picture."""
    answers = iter([RuntimeError("once"), output((), ())])

    def engine(*_: Any, **__: Any) -> SimpleNamespace:
        if isinstance(answer := next(answers), Exception):
            raise answer
        return answer

    reader = OcrReader([engine], min_score=0)
    with pytest.raises(RuntimeError):
        reader(Image.new("RGB", (4, 4)))
    assert reader(Image.new("RGB", (4, 4))) == []


@pytest.mark.parametrize("size", [(1280, 4), (4, 1280), (1280, 40)])
async def test_extreme_proportions_take_no_longer_than_a_page(
    reader: Provider, picture: Callable[..., Picture], size: tuple[int, int]
) -> None:
    """A picture of extreme proportions takes about as long as a page: it is not enlarged to
    gigabytes."""
    began = time.process_time()
    await reader.detect(picture(Image.new("RGB", (1280, 1280), "white")), Task.TEXT)
    page_s = time.process_time() - began
    began = time.process_time()
    await reader.detect(picture(Image.effect_noise(size, 90).convert("RGB")), Task.TEXT)
    assert time.process_time() - began < 6 * page_s + 1


async def test_a_line_on_a_strip_is_read(
    reader: Provider, picture: Callable[..., Picture], paper: Callable[..., Image.Image]
) -> None:
    """A line on a long strip of paper is read, and lies where it is on the strip."""
    strip = paper((1200, 60), ("STOP Exit 42", 40, 10))
    (line,) = await read(reader, picture, strip, "LINE")
    assert line.label == "STOP Exit 42"
    assert abs(line.box.x0 * 1200 - 40) < 20
    assert line.box.y0 * 60 < 25
    assert line.box.y1 * 60 > 30


async def test_reading_that_outlives_its_time_is_ended(
    make: Callable[..., Provider],
    picture: Callable[..., Picture],
    page: Image.Image,
    tmp_path: Path,
) -> None:
    """Reading that outlives its time is ended, and the next page is read."""
    hurried = make("text", tmp_path, threads=1, concurrency=1, timeout_ms=30)
    with pytest.raises(NoAnswer):
        await hurried.detect(picture(page.resize((1280, 1280))), Task.TEXT)
    began = time.perf_counter()
    while True:
        try:
            await hurried.ready()
            break
        except Unavailable:
            await asyncio.sleep(0.01)
    assert time.perf_counter() - began < 5
    await hurried.close()
