"""Text in Google Cloud Vision's dialect: its words, lines and symbols."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from google.cloud import vision
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import Size
from providers.detection import Box, Detection, Task
from tests.support.google_vision import (
    DOCUMENT,
    OBJECTS_REQUEST,
    PATH,
    PHOTO,
    TEXT,
    corners,
    image_request,
    rendered,
    responses_of,
)

READ = [
    Detection("Hello", 0.9, Box(0.1, 0.1, 0.4, 0.3), kind="WORD", parent=7),
    Detection("world", 0.7, Box(0.5, 0.1, 0.9, 0.3), kind="WORD", parent=7),
    Detection("Hello world", 0.8, Box(0.1, 0.1, 0.9, 0.3), kind="LINE", key=7),
    Detection(
        "Bye",
        0.4,
        Box(0.1, 0.7, 0.3, 0.8),
        kind="LINE",
        key=4,
        polygon=((0.1, 0.7), (0.31, 0.71), (0.3, 0.8), (0.09, 0.79)),
    ),
    Detection("Bye", 0.4, Box(0.1, 0.7, 0.3, 0.8), kind="WORD", parent=4),
]


@pytest.fixture(scope="module")
def reader(serve: Callable[..., str]) -> str:
    """The address of a gateway that reads text too."""
    return serve(text=lambda *_: READ)


BREAKS = {"SPACE": " ", "LINE_BREAK": "\n"}


def text_of_symbols(full: vision.TextAnnotation) -> str:
    """The text that the symbols and the breaks after them spell."""
    words = [
        word
        for page in full.pages
        for block in page.blocks
        for line in block.paragraphs
        for word in line.words
    ]
    symbols = [symbol for word in words for symbol in word.symbols]
    return "".join(s.text + BREAKS.get(s.property.detected_break.type_.name, "") for s in symbols)


class TestText:
    def test_the_whole_text_comes_first_and_then_each_word(
        self, google: Callable[..., vision.ImageAnnotatorClient], reader: str
    ) -> None:
        """The whole text comes first, with the rectangle around it, then each word with its own
        four corners, in pixels."""
        answer = google(reader).text_detection(image=vision.Image(content=PHOTO))
        full_text, *words = answer.text_annotations
        assert full_text.description == "Hello world\nBye"
        assert corners(full_text.bounding_poly) == [(36, 20), (360, 20), (360, 160), (36, 160)]
        assert [word.description for word in words] == ["Hello", "world", "Bye"]
        assert corners(words[0].bounding_poly) == [(40, 20), (160, 20), (160, 60), (40, 60)]

    def test_one_page_has_one_block_of_lines(
        self, google: Callable[..., vision.ImageAnnotatorClient], reader: str
    ) -> None:
        """There is one page, as large as the client's photo, with one block, whose paragraphs are
        the lines."""
        full = (
            google(reader)
            .document_text_detection(image=vision.Image(content=PHOTO))
            .full_text_annotation
        )
        (page,) = full.pages
        (block,) = page.blocks
        assert (page.width, page.height) == (400, 200)
        assert block.block_type.name == "TEXT"
        assert [line.confidence for line in block.paragraphs] == pytest.approx([0.8, 0.4])
        assert [word.confidence for word in block.paragraphs[0].words] == pytest.approx([0.9, 0.7])
        assert corners(block.paragraphs[1].bounding_box) == [
            (40, 140),
            (124, 142),
            (120, 160),
            (36, 158),
        ]

    def test_symbols_and_breaks_spell_the_text(
        self, google: Callable[..., vision.ImageAnnotatorClient], reader: str
    ) -> None:
        """Symbols divide their word evenly, and with the breaks after them they spell the text."""
        full = (
            google(reader)
            .document_text_detection(image=vision.Image(content=PHOTO))
            .full_text_annotation
        )
        assert text_of_symbols(full) == full.text + "\n"
        hello = full.pages[0].blocks[0].paragraphs[0].words[0]
        assert [symbol.text for symbol in hello.symbols] == list("Hello")
        assert corners(hello.symbols[1].bounding_box) == [(64, 20), (88, 20), (88, 60), (64, 60)]

    @pytest.mark.parametrize(
        "kinds", [(TEXT,), (DOCUMENT,), (TEXT, DOCUMENT)], ids=["text", "document", "both"]
    )
    def test_text_and_document_text_are_answered_alike(
        self,
        google: Callable[..., vision.ImageAnnotatorClient],
        reader: str,
        kinds: tuple[vision.Feature.Type, ...],
    ) -> None:
        """Text and document text are answered alike, with all words, whatever `maxResults` is."""
        answer = google(reader).annotate_image(image_request(PHOTO, *kinds, max_results=1))
        assert len(answer.text_annotations) == 4
        assert answer.full_text_annotation.text == "Hello world\nBye"

    def test_pixels_on_the_wire_are_whole_numbers(self, reader: str, http: httpx.Client) -> None:
        """The reply on the wire holds the service's own members, and pixels are whole numbers."""
        request = {**OBJECTS_REQUEST, "features": [{"type": "DOCUMENT_TEXT_DETECTION"}]}
        (answer,) = responses_of(http.post(reader + PATH, json={"requests": [request]}))
        assert set(answer) == {"textAnnotations", "fullTextAnnotation"}
        vertices = answer["textAnnotations"][0]["boundingPoly"]["vertices"]
        assert {type(number) for point in vertices for number in point.values()} == {int}

    def test_a_photo_without_text_has_an_empty_response(
        self, serve: Callable[..., str], http: httpx.Client
    ) -> None:
        """If there is no text, the response is empty."""
        address = serve(text=lambda *_: [Detection(" ", 0.9, Box(0, 0, 1, 1), kind="LINE", key=1)])
        request = {**OBJECTS_REQUEST, "features": [{"type": "TEXT_DETECTION"}]}
        assert responses_of(http.post(address + PATH, json={"requests": [request]})) == [{}]


class TestLines:
    """Lines become words if a provider returns less than Google would."""

    def test_a_line_without_words_is_split_at_its_spaces(self) -> None:
        """A line without words is split at the spaces of its text, by the places of its
        characters."""
        line = Detection("ab  cd", 0.9, Box(0.2, 0, 0.8, 0.1), kind="LINE", key=1)
        answer = rendered(Task.TEXT, line)
        full_text, ab, cd = answer.text_annotations
        assert (full_text.description, ab.description, cd.description) == ("ab cd", "ab", "cd")
        assert corners(ab.bounding_poly)[:2] == [(20, 0), (40, 0)]
        assert corners(cd.bounding_poly)[:2] == [(60, 0), (80, 0)]

    def test_words_without_a_space_between_get_none(self) -> None:
        """Words that the line's text has no space between get no space."""
        line = Detection("再見世界 ok", 0.9, Box(0, 0, 1, 1), kind="LINE", key=1)
        words = [
            Detection(text, 0.9, Box(0, 0, 1, 1), kind="WORD", parent=1)
            for text in ("再見", "世界", "ok")
        ]
        answer = rendered(Task.TEXT, line, *words)
        assert answer.full_text_annotation.text == "再見世界 ok"
        assert text_of_symbols(answer.full_text_annotation) == "再見世界 ok\n"

    def test_words_win_over_the_text_of_their_line(self) -> None:
        """If the words and the line's text differ, the words count."""
        line = Detection("he110 x", 0.9, Box(0, 0, 1, 1), kind="LINE", key=1)
        words = [
            Detection(text, 0.9, Box(0, 0, 1, 1), kind="WORD", parent=1) for text in ("hello", "x")
        ]
        assert rendered(Task.TEXT, line, *words).full_text_annotation.text == "hello x"


numbers = st.floats(-2, 3) | st.sampled_from([float("nan"), float("inf"), -float("inf")])


boxes = st.tuples(*[numbers] * 4).map(lambda sides: Box(*sides))


polygons = st.just(()) | st.tuples(*[st.tuples(numbers, numbers)] * 4)


sizes = st.builds(Size, st.integers(1, 16_000), st.integers(1, 16_000))


labels = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    lines=st.lists(st.tuples(boxes, polygons, labels, st.lists(labels, max_size=3)), max_size=3),
    size=sizes,
)
def test_any_text_lies_inside_and_both_forms_agree(
    lines: list[tuple[Box, tuple[tuple[float, float], ...], str, list[str]]], size: Size
) -> None:
    """For any lines and words of a provider, both forms of the text agree, and all pixels are
    inside the photo."""
    detections = [
        Detection(text, 0.5, box, kind="LINE", key=key, polygon=polygon)
        for key, (box, polygon, text, _) in enumerate(lines)
    ]
    detections += [
        Detection(word, 0.5, box, kind="WORD", parent=key)
        for key, (box, _, _, words) in enumerate(lines)
        for word in words
    ]
    answer = rendered(Task.TEXT, *detections, size=size)
    full = answer.full_text_annotation
    assert text_of_symbols(full) == (full.text + "\n" if answer.text_annotations else "")
    assert [each.description for each in answer.text_annotations[:1]] == (
        [full.text] if full.pages else []
    )
    for each in answer.text_annotations:
        assert len(each.bounding_poly.vertices) == 4
        assert all(
            0 <= x <= size.width_px and 0 <= y <= size.height_px
            for x, y in corners(each.bounding_poly)
        )
