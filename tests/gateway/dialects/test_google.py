"""Google Cloud Vision's dialect, spoken to by Google's own SDKs over REST."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import repeat
from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import vision
from google.oauth2.credentials import Credentials
from google.protobuf import json_format
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from httpx import Client
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gateway.core.errors import (
    BilledUnknown,
    BufferAway,
    Busy,
    DeadLetter,
    DeadlineExceeded,
    Stopping,
    UpstreamFailed,
)
from gateway.core.model import Outcome, Photo, Size
from gateway.core.question import ItemAnswer, uniform_question
from gateway.dialects.google.dialect import DIALECT
from gateway.dialects.google.request import FEATURE_TYPES, TASK_OF_FEATURE, GoogleReplyOptions
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider
from providers.detection import Box, Detection, Task
from providers.errors import Misconfigured, Throttled

IMAGE = drawn((400, 200), Block("red", 40, 20, 120, 180), Block("blue", 200, 50, 230, 80))
PHOTO = encoded(IMAGE, "JPEG")
"""Scores in it: red 1.0; blue (30 px) 0.75."""
CONTENT = base64.b64encode(PHOTO).decode()
SQUARE = Size(100, 100)
GREEN = encoded(drawn((200, 200), Block("green", 20, 20, 180, 180)), "PNG")
OBJECTS, TEXT, DOCUMENT, LABELS = (
    vision.Feature.Type[name]
    for name in (
        "OBJECT_LOCALIZATION",
        "TEXT_DETECTION",
        "DOCUMENT_TEXT_DETECTION",
        "LABEL_DETECTION",
    )
)
PATH = "/v1/images:annotate"
ASKED = {"image": {"content": CONTENT}, "features": [{"type": "OBJECT_LOCALIZATION"}]}


@pytest.fixture(scope="module")
def google() -> Iterator[Callable[..., Any]]:
    """`google(address, key)`: the SDK's client over REST; without a key it is anonymous."""
    with ExitStack() as stack:

        def client(address, key="any", credentials=None, path=""):
            options = {"api_endpoint": address + path}
            known = {"credentials": credentials or AnonymousCredentials()}
            if key and not credentials:
                options["api_key"], known = key, {}
            made = vision.ImageAnnotatorClient(transport="rest", client_options=options, **known)
            return stack.enter_context(made)

        yield client


@pytest.fixture(scope="module")
def discovered() -> Iterator[Callable[..., Any]]:
    """`discovered(address, key)`: the older client, which is made from the API's discovery
    document."""
    with ExitStack() as stack:

        def client(address, key):
            options = {"api_endpoint": address}
            return stack.enter_context(
                build("vision", "v1", developerKey=key, client_options=options)
            )

        yield client


@pytest.fixture(scope="module")
def post(gateway: str, http: Client) -> Callable[..., Any]:
    """`post(*requests, **change)`: the raw reply to a call about these images."""

    def ask(*requests, path=PATH, **change):
        return http.post(gateway + path, **{"json": {"requests": requests}, **change})

    return ask


def of(content, *types, **feature):
    """The SDK's request about one photo."""
    features = [vision.Feature(type_=kind, **feature) for kind in types or (OBJECTS,)]
    return vision.AnnotateImageRequest(image=vision.Image(content=content), features=features)


def ok(reply):
    """The responses of a raw reply, held to the service's own messages, in which no unknown member
    may be."""
    assert reply.status_code == 200, reply.text
    assert reply.headers["Content-Type"] == "application/json; charset=UTF-8"
    message = vision.BatchAnnotateImagesResponse.pb()()
    json_format.Parse(reply.content, message, ignore_unknown_fields=False)
    return reply.json().get("responses", [])


def refusal(reply, status=400, name="INVALID_ARGUMENT"):
    """The message of a whole call's error, in Google's envelope."""
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["status"]) == (status, status, name)
    assert reply.headers["Content-Type"].startswith("application/json")
    return error["message"]


def names(response):
    return [found.name for found in response.localized_object_annotations]


class TestObjects:
    def test_boxes_are_fractions_and_the_best_comes_first(
        self, google: Callable[..., Any], gateway: str
    ) -> None:
        """Objects have their box as fractions of the client's photo and scores of 0 to 1; the best
        comes first."""
        answer = google(gateway).object_localization(image=vision.Image(content=PHOTO))
        red, blue = answer.localized_object_annotations
        assert (red.name, blue.name) == ("red", "blue")
        assert red.score == pytest.approx(1)
        assert blue.score == pytest.approx(0.75)
        corners = [(point.x, point.y) for point in red.bounding_poly.normalized_vertices]
        for corner, expected in zip(
            corners, [(0.1, 0.1), (0.3, 0.1), (0.3, 0.9), (0.1, 0.9)], strict=True
        ):
            assert corner == pytest.approx(expected, abs=0.02)

    def test_the_wire_holds_only_the_services_members(self, post: Callable[..., Any]) -> None:
        """The reply on the wire holds the service's own members and nothing else."""
        (answer,) = ok(post(ASKED))
        assert set(answer) == {"localizedObjectAnnotations"}
        assert all(
            set(each) == {"name", "score", "boundingPoly"}
            for each in answer["localizedObjectAnnotations"]
        )

    def test_a_photo_without_objects_has_an_empty_response(
        self, serve: Callable[..., Any], http: Client
    ) -> None:
        """If nothing is detected, the response is there, and empty."""
        reply = http.post(serve(lambda *_: []) + PATH, json={"requests": [ASKED]})
        assert ok(reply) == [{}]

    def test_objects_below_one_half_are_left_out(
        self, google: Callable[..., Any], serve: Callable[..., Any]
    ) -> None:
        """Objects that score less than one half are left out, because the API has no parameter for
        the minimum."""
        seen = [
            Detection(name, score, Box(0.1, 0.1, 0.5, 0.5))
            for name, score in (("cat", 0.49), ("dog", 0.5))
        ]
        assert names(google(serve(lambda *_: seen)).annotate_image(of(PHOTO))) == ["dog"]

    def test_googles_identifier_of_a_kind_is_passed_on(
        self, google: Callable[..., Any], serve: Callable[..., Any]
    ) -> None:
        """If the provider knows Google's identifier of a kind of object, it is passed on."""
        seen = [Detection("Dog", 0.9, Box(0, 0, 1, 1), details={"mid": "/m/0bt9lr"})]
        (found,) = (
            google(serve(lambda *_: seen)).annotate_image(of(PHOTO)).localized_object_annotations
        )
        assert found.mid == "/m/0bt9lr"

    @pytest.mark.parametrize(("most", "count"), [(0, 2), (1, 1), (5, 2)])
    def test_max_results_keeps_the_best(
        self, google: Callable[..., Any], gateway: str, most: int, count: int
    ) -> None:
        """A client gets as many results as it requested, the best ones; without a number it gets
        all."""
        found = names(google(gateway).annotate_image(of(PHOTO, max_results=most)))
        assert found == ["red", "blue"][:count]

    def test_boxes_are_those_of_the_upright_photo(
        self, google: Callable[..., Any], gateway: str
    ) -> None:
        """For a JPEG that is turned by its EXIF, boxes are those of the photo as people see it."""
        answer = google(gateway).annotate_image(of(encoded(IMAGE, "JPEG", orientation=6)))
        (corner, *_) = answer.localized_object_annotations[0].bounding_poly.normalized_vertices
        assert corner.x == pytest.approx(0.1, abs=0.02)

    @pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
    def test_googles_formats_are_accepted(
        self, google: Callable[..., Any], gateway: str, form: str
    ) -> None:
        """The formats that Google accepts are accepted, if they can be decoded here."""
        assert names(google(gateway).annotate_image(of(encoded(IMAGE, form))))[0] == "red"


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
def reader(serve: Callable[..., Any]) -> str:
    """One that reads, too."""
    return serve(text=lambda *_: READ)


def corners(poly):
    return [(point.x, point.y) for point in poly.vertices]


BREAKS = {"SPACE": " ", "LINE_BREAK": "\n"}


def spelled(full):
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
        self, google: Callable[..., Any], reader: str
    ) -> None:
        """The whole text comes first, with the rectangle around it, then each word with its own
        four corners, in pixels."""
        answer = google(reader).text_detection(image=vision.Image(content=PHOTO))
        whole, *words = answer.text_annotations
        assert whole.description == "Hello world\nBye"
        assert corners(whole.bounding_poly) == [(36, 20), (360, 20), (360, 160), (36, 160)]
        assert [word.description for word in words] == ["Hello", "world", "Bye"]
        assert corners(words[0].bounding_poly) == [(40, 20), (160, 20), (160, 60), (40, 60)]

    def test_one_page_has_one_block_of_lines(self, google: Callable[..., Any], reader: str) -> None:
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
        self, google: Callable[..., Any], reader: str
    ) -> None:
        """Symbols divide their word evenly, and with the breaks after them they spell the text."""
        full = (
            google(reader)
            .document_text_detection(image=vision.Image(content=PHOTO))
            .full_text_annotation
        )
        assert spelled(full) == full.text + "\n"
        hello = full.pages[0].blocks[0].paragraphs[0].words[0]
        assert [symbol.text for symbol in hello.symbols] == list("Hello")
        assert corners(hello.symbols[1].bounding_box) == [(64, 20), (88, 20), (88, 60), (64, 60)]

    @pytest.mark.parametrize("kinds", [(TEXT,), (DOCUMENT,), (TEXT, DOCUMENT)])
    def test_text_and_document_text_are_answered_alike(
        self, google: Callable[..., Any], reader: str, kinds: tuple[Any, ...]
    ) -> None:
        """Text and document text are answered alike, with all words, whatever `maxResults` is."""
        answer = google(reader).annotate_image(of(PHOTO, *kinds, max_results=1))
        assert len(answer.text_annotations) == 4
        assert answer.full_text_annotation.text == "Hello world\nBye"

    def test_pixels_on_the_wire_are_whole_numbers(self, reader: str, http: Client) -> None:
        """The reply on the wire holds the service's own members, and pixels are whole numbers."""
        wanted = {**ASKED, "features": [{"type": "DOCUMENT_TEXT_DETECTION"}]}
        (answer,) = ok(http.post(reader + PATH, json={"requests": [wanted]}))
        assert set(answer) == {"textAnnotations", "fullTextAnnotation"}
        vertices = answer["textAnnotations"][0]["boundingPoly"]["vertices"]
        assert {type(number) for point in vertices for number in point.values()} == {int}

    def test_a_photo_without_text_has_an_empty_response(
        self, serve: Callable[..., Any], http: Client
    ) -> None:
        """If there is no text, the response is empty."""
        address = serve(text=lambda *_: [Detection(" ", 0.9, Box(0, 0, 1, 1), kind="LINE", key=1)])
        wanted = {**ASKED, "features": [{"type": "TEXT_DETECTION"}]}
        assert ok(http.post(address + PATH, json={"requests": [wanted]})) == [{}]


def told(task, *found, size=SQUARE, most=0):
    """What is told of detections, as the SDK reads it."""
    photo = Photo("id", b"", "JPEG", size)
    answer = ItemAnswer(photo, {task: Outcome(photo, found)})
    reply = DIALECT.render(
        uniform_question(task, [b""], options=GoogleReplyOptions(({task: most},), {})), [answer]
    )
    (answer,) = vision.BatchAnnotateImagesResponse.from_json(
        reply.body, ignore_unknown_fields=False
    ).responses
    return answer


class TestLines:
    """How lines become words where a provider says less than Google would."""

    def test_a_line_without_words_is_split_at_its_spaces(self) -> None:
        """A line without words is split at the spaces of its text, by the places of its
        characters."""
        line = Detection("ab  cd", 0.9, Box(0.2, 0, 0.8, 0.1), kind="LINE", key=1)
        answer = told(Task.TEXT, line)
        whole, ab, cd = answer.text_annotations
        assert (whole.description, ab.description, cd.description) == ("ab cd", "ab", "cd")
        assert corners(ab.bounding_poly)[:2] == [(20, 0), (40, 0)]
        assert corners(cd.bounding_poly)[:2] == [(60, 0), (80, 0)]

    def test_words_without_a_space_between_get_none(self) -> None:
        """Words that the line's text has no space between get no space."""
        line = Detection("再見世界 ok", 0.9, Box(0, 0, 1, 1), kind="LINE", key=1)
        words = [
            Detection(text, 0.9, Box(0, 0, 1, 1), kind="WORD", parent=1)
            for text in ("再見", "世界", "ok")
        ]
        answer = told(Task.TEXT, line, *words)
        assert answer.full_text_annotation.text == "再見世界 ok"
        assert spelled(answer.full_text_annotation) == "再見世界 ok\n"

    def test_words_win_over_the_text_of_their_line(self) -> None:
        """If the words and the line's text differ, the words count."""
        line = Detection("he110 x", 0.9, Box(0, 0, 1, 1), kind="LINE", key=1)
        words = [
            Detection(text, 0.9, Box(0, 0, 1, 1), kind="WORD", parent=1) for text in ("hello", "x")
        ]
        assert told(Task.TEXT, line, *words).full_text_annotation.text == "hello x"


class TestBatches:
    def test_each_image_is_answered_in_its_place(
        self, google: Callable[..., Any], gateway: str
    ) -> None:
        """Each image of a call is answered separately, in its place."""
        requests = [
            of(PHOTO, max_results=1),
            of(GREEN),
            of(encoded(Image.new("RGB", (100, 100)))),
            of(PHOTO),
        ]
        answer = google(gateway).batch_annotate_images(requests=requests)
        assert [names(response) for response in answer.responses] == [
            ["red"],
            ["green"],
            [],
            ["red", "blue"],
        ]

    def test_sixteen_images_are_accepted(self, google: Callable[..., Any], gateway: str) -> None:
        """Sixteen images are accepted."""
        assert len(google(gateway).batch_annotate_images(requests=[of(GREEN)] * 16).responses) == 16

    def test_seventeen_images_are_refused(self, google: Callable[..., Any], gateway: str) -> None:
        """Seventeen images are refused in Google's words."""
        with pytest.raises(exceptions.BadRequest, match="Too many images per request"):
            google(gateway).batch_annotate_images(requests=[of(GREEN)] * 17)

    @pytest.mark.parametrize("body", ["{}", '{"requests": []}', '{"requests": null}', ""])
    def test_an_empty_call_has_an_empty_answer(self, post: Callable[..., Any], body: str) -> None:
        """A call without images has an empty answer, whatever is served."""
        assert post(content=body).content == b"{}"

    def test_a_bad_image_fails_alone(self, google: Callable[..., Any], gateway: str) -> None:
        """Bad images, and those that request an unserved feature, each have their own error, and
        the other images have their answers."""
        source = vision.AnnotateImageRequest(
            image={"source": {"image_uri": "https://example.com/a.jpg"}},
            features=[{"type_": OBJECTS}],
        )
        faces = of(PHOTO, vision.Feature.Type.FACE_DETECTION)
        requests = [
            of(b"no picture"),
            of(PHOTO),
            of(b""),
            source,
            faces,
            of(PHOTO, OBJECTS, TEXT),
            of(GREEN),
        ]
        answer = google(gateway).batch_annotate_images(requests=requests)
        assert [names(response) for response in answer.responses] == [
            [],
            ["red", "blue"],
            [],
            [],
            [],
            [],
            ["green"],
        ]
        said = [(response.error.code, response.error.message) for response in answer.responses]
        assert [code for code, _ in said] == [3, 0, 3, 14, 3, 3, 0]
        texts = [
            "Bad image data.",
            "",
            "Request must specify image and features.",
            "We can not access the URL",
            "No route serves the task faces",
            "No route serves the task text",
            "",
        ]
        assert all(text in message for text, (_, message) in zip(texts, said, strict=True))

    def test_too_many_pixels_are_refused_in_googles_words(
        self, serve: Callable[..., Any], google: Callable[..., Any]
    ) -> None:
        """An image with too many pixels is refused in Google's words, whichever limit applies."""
        answer = google(serve(limits={"max_photo_pixels": 79_999})).annotate_image(of(PHOTO))
        assert answer.error.code == 3
        assert answer.error.message.startswith("Image too large. Please limit to 75 megapixels.")

    def test_an_image_that_cannot_be_decoded_fails_alone(
        self, google: Callable[..., Any], gateway: str
    ) -> None:
        """An image that cannot be decoded has its own error too."""
        answer = google(gateway).batch_annotate_images(
            requests=[of(GREEN[: len(GREEN) // 2]), of(PHOTO)]
        )
        assert answer.responses[0].error.message.startswith("Bad image data.")
        assert names(answer.responses[1]) == ["red", "blue"]


class TestFeatures:
    @pytest.mark.parametrize(("number", "name"), FEATURE_TYPES.items())
    def test_features_are_named_by_number_or_name(
        self, post: Callable[..., Any], number: str, name: str
    ) -> None:
        """Features are named by the service's numbers or names."""
        assert vision.Feature.Type(int(number)).name == name
        asked = [{**ASKED, "features": [{"type": kind}]} for kind in (name, int(number), number)]
        replies = [post(each) for each in asked]
        assert len({reply.text for reply in replies}) == 1
        if name not in TASK_OF_FEATURE:
            assert name in refusal(replies[0])
        elif TASK_OF_FEATURE[name] == Task.EXTRAS:
            assert f"the task extras ({name})" in refusal(replies[0])

    @pytest.mark.parametrize(
        "feature",
        [
            {"maxResults": 1},
            {"max_results": 1},
            {"maxResults": "1"},
            {"maxResults": 1.0, "model": "x"},
        ],
    )
    def test_members_are_spelled_either_way(
        self,
        post: Callable[..., Any],
        feature: dict[str, float | str] | dict[str, int] | dict[str, str],
    ) -> None:
        """Members are spelled either way, and numbers may come as text."""
        (answer,) = ok(post({**ASKED, "features": [{"type": "OBJECT_LOCALIZATION", **feature}]}))
        assert len(answer["localizedObjectAnnotations"]) == 1

    def test_an_unknown_feature_is_refused_with_the_served_ones(
        self, post: Callable[..., Any]
    ) -> None:
        """A feature that Google does not have is refused by name, with a list of the served
        features."""
        asked = {**ASKED, "features": [{"type": "MIND_READING"}]}
        assert refusal(post(asked)).startswith(
            "Not served here: MIND_READING; FACE_DETECTION, LOGO_DETECTION,"
        )

    def test_a_request_for_all_features_needs_all_routes(
        self, google: Callable[..., Any], gateway: str
    ) -> None:
        """The SDK asks for all features if a call names none; that is refused if a route is
        missing."""
        with pytest.raises(exceptions.BadRequest, match="No route serves the task"):
            google(gateway).annotate_image({"image": {"content": PHOTO}})

    def test_each_image_gets_the_features_it_requested(
        self, google: Callable[..., Any], serve: Callable[..., Any]
    ) -> None:
        """One image may request objects and text, and the next text alone; each gets what it
        requested."""
        address = serve(
            text=lambda *_: [Detection("STOP", 0.9, Box(0, 0, 1, 1), kind="LINE", key=1)]
        )
        answer = google(address).batch_annotate_images(
            requests=[of(PHOTO, OBJECTS, TEXT), of(GREEN, TEXT)]
        )
        both, one = answer.responses
        assert (names(both), both.full_text_annotation.text) == (["red", "blue"], "STOP")
        assert (names(one), one.full_text_annotation.text) == ([], "STOP")

    def test_a_call_without_features_is_refused(self, post: Callable[..., Any]) -> None:
        """A call without any features is refused in Google's words."""
        assert refusal(post({"image": {"content": CONTENT}})).startswith(
            "Request must specify image and features."
        )

    def test_a_feature_without_a_route_is_refused(
        self, google: Callable[..., Any], gateway: str
    ) -> None:
        """A feature that no route serves is refused by the name of its task."""
        with pytest.raises(exceptions.BadRequest, match="No route serves the task text"):
            google(gateway).text_detection(image=vision.Image(content=PHOTO))


class TestRequests:
    @pytest.mark.parametrize(
        "path",
        [
            "/v1/projects/p/images:annotate",
            "/v1/projects/p/locations/eu/images:annotate",
            "/gcv/v1/images:annotate",
            "/a/b/v1/projects/p/images:annotate",
        ],
    )
    def test_projects_locations_and_prefixes_are_served(
        self, post: Callable[..., Any], path: str
    ) -> None:
        """It is served for projects and their locations, and under any prefix."""
        assert ok(post(ASKED, path=path))[0]["localizedObjectAnnotations"]

    def test_the_sdks_endpoint_may_have_a_path(
        self, google: Callable[..., Any], gateway: str
    ) -> None:
        """The SDK's endpoint may have a path, and its call a parent."""
        client = google(gateway, path="/gcv")
        answer = client.batch_annotate_images(
            {"requests": [of(PHOTO)], "parent": "projects/p/locations/eu"}
        )
        assert names(answer.responses[0]) == ["red", "blue"]

    @pytest.mark.parametrize(
        "query",
        [
            "$alt=json;enum-encoding=int",
            "$alt=json%3Benum-encoding%3Dint",
            "$.xgafv=2",
            "quotaUser=me",
            "prettyPrint=false&fields=&alt=json",
        ],
    )
    def test_googles_standard_parameters_change_nothing(
        self, post: Callable[..., Any], query: str
    ) -> None:
        """Google's standard parameters are accepted, and change nothing."""
        assert ok(post(ASKED, path=f"{PATH}?{query}"))[0]["localizedObjectAnnotations"]

    @pytest.mark.parametrize(
        "content",
        [
            CONTENT.rstrip("="),
            CONTENT.replace("+", "-").replace("/", "_"),
            CONTENT[:76] + "\r\n" + CONTENT[76:],
        ],
    )
    def test_both_alphabets_of_base64_are_accepted(
        self, post: Callable[..., Any], content: str
    ) -> None:
        """Bytes come in either alphabet of base64, padded or not, in lines or not."""
        assert ok(post({**ASKED, "image": {"content": content}}))[0]["localizedObjectAnnotations"]

    @pytest.mark.parametrize("content", ["data:image/jpeg;base64,AAAA", "AAAAA", "é"])
    def test_bad_base64_is_refused_by_its_place(
        self, post: Callable[..., Any], content: str
    ) -> None:
        """Bad base64 is refused by its place, as Google's own parser does."""
        said = refusal(post(ASKED, {**ASKED, "image": {"content": content}}))
        assert (
            said
            == "Invalid value at 'requests[1].image.content' (TYPE_BYTES), Base64 decoding failed."
        )

    def test_content_wins_over_the_source(self, post: Callable[..., Any]) -> None:
        """If an image has content and a source, the content counts."""
        image = {"content": CONTENT, "source": {"imageUri": "gs://bucket/photo.jpg"}}
        assert ok(post({**ASKED, "image": image}))[0]["localizedObjectAnnotations"]

    @pytest.mark.parametrize(
        "image", [{}, None, {"source": {}}, {"content": ""}, {"content": None, "source": None}]
    )
    def test_an_empty_image_has_its_own_error(
        self,
        post: Callable[..., Any],
        image: dict[Any, Any] | dict[str, None] | dict[str, dict[Any, Any]] | dict[str, str] | None,
    ) -> None:
        """An empty image has its own error."""
        (answer,) = ok(post({**ASKED, "image": image}))
        assert answer["error"]["code"] == 3

    def test_members_without_effect_are_ignored(self, post: Callable[..., Any]) -> None:
        """Members that do not affect the answer are ignored: the parent, labels, contexts and
        hints."""
        asked = {**ASKED, "imageContext": {"languageHints": ["en"]}, "image_context": None}
        assert ok(post(json={"requests": [asked], "parent": "projects/p", "labels": {"a": "b"}}))

    @pytest.mark.parametrize(
        "body",
        [
            "[]",
            "{",
            '"',
            "null",
            '{"requests": {}}',
            '{"requests": [1]}',
            f'{{"requests": [{{"features": [{{"type": 1{"0" * 5000}}}]}}]}}',
            f'{{"requests": [{{"features": [{{"type": "{"x" * 65}"}}]}}]}}',
        ],
    )
    def test_json_of_another_form_is_refused(self, post: Callable[..., Any], body: str) -> None:
        """JSON of another form is refused in Google's words."""
        assert refusal(post(content=body)).startswith("Invalid JSON payload received.")

    def test_a_request_over_10_mb_is_refused(self, post: Callable[..., Any]) -> None:
        """A request of over 10 MB is refused in Google's words, with the limit."""
        body = json.dumps({"requests": [ASKED], "parent": "x" * 10_485_760})
        assert (
            refusal(post(content=body)) == "Request payload size exceeds the limit: 10485760 bytes."
        )


class TestDiscovery:
    """google-api-python-client."""

    def test_feature_names_and_a_key_in_the_query_are_accepted(
        self, discovered: Callable[..., Any], closed: str
    ) -> None:
        """This client sends names of features, and its key in the query."""
        answer = (
            discovered(closed, "g-shop").images().annotate(body={"requests": [ASKED]}).execute()
        )
        assert [
            found["name"] for found in answer["responses"][0]["localizedObjectAnnotations"]
        ] == ["red", "blue"]

    def test_the_parent_may_be_in_the_path(
        self, discovered: Callable[..., Any], closed: str
    ) -> None:
        """This client puts the parent into the path."""
        images = discovered(closed, "g-shop").projects().locations().images()
        answer = images.annotate(
            parent="projects/p/locations/eu", body={"requests": [ASKED]}
        ).execute()
        assert answer["responses"][0]["localizedObjectAnnotations"]

    def test_a_wrong_key_shows_why(self, discovered: Callable[..., Any], closed: str) -> None:
        """This client shows why a wrong key is refused."""
        with pytest.raises(HttpError, match="API key not valid") as caught:
            discovered(closed, "wrong").images().annotate(body={"requests": [ASKED]}).execute()
        assert caught.value.status_code == 400


class TestKeys:
    def test_a_tenants_key_is_accepted(self, google: Callable[..., Any], closed: str) -> None:
        """A request with a tenant's key is answered."""
        assert names(google(closed, "g-shop").annotate_image(of(PHOTO)))

    def test_a_key_may_be_a_bearer_token(self, google: Callable[..., Any], closed: str) -> None:
        """The key may come as a bearer token."""
        assert names(google(closed, credentials=Credentials("g-shop")).annotate_image(of(PHOTO)))

    @pytest.mark.parametrize("key", ["wrong", "key-shop", "az-shop"])
    def test_a_wrong_key_is_refused_as_google_does(
        self, google: Callable[..., Any], closed: str, key: str
    ) -> None:
        """A wrong key, or one of another dialect, is refused as Google refuses it."""
        with pytest.raises(
            exceptions.BadRequest, match=r"API key not valid\. Please pass a valid API key\."
        ) as caught:
            google(closed, key).annotate_image(of(PHOTO))
        assert (caught.value.reason, caught.value.domain) == ("API_KEY_INVALID", "googleapis.com")

    def test_a_missing_key_is_403_and_not_401(
        self, google: Callable[..., Any], closed: str
    ) -> None:
        """A request without a key is refused with the name of its header, with a status that makes
        no client fetch a new token."""
        with pytest.raises(exceptions.Forbidden, match="x-goog-api-key: KEY") as caught:
            google(closed, key="").annotate_image(of(PHOTO))
        assert caught.value.reason == "API_KEY_INVALID"

    @pytest.mark.parametrize(
        "query", ["key=g-shop", "a=b&key=g%2Dshop", "key=other&key=g-shop", "access_token=g-shop"]
    )
    def test_a_key_may_be_in_the_query(self, closed: str, http: Client, query: str) -> None:
        """The key may be in the query."""
        assert ok(http.post(f"{closed}{PATH}?{query}", json={"requests": [ASKED]}))

    def test_a_missing_key_is_refused_first(self, closed: str, http: Client) -> None:
        """A request without a key is refused before anything else is checked."""
        assert "unregistered callers" in refusal(
            http.post(f"{closed}{PATH}?key="), 403, "PERMISSION_DENIED"
        )
        refusal(http.post(f"{closed}{PATH}?key=wrong", content=b"{"))

    def test_a_google_key_opens_no_other_dialect(self, closed: str, http: Client) -> None:
        """A key of this dialect opens no other."""
        reply = http.post(f"{closed}/v1/detect", headers={"X-Api-Key": "g-shop"}, content=PHOTO)
        assert reply.status_code == 401


class TestFailures:
    def test_a_full_buffer_is_429_without_a_retry(
        self, google: Callable[..., Any], serve: Callable[..., Any]
    ) -> None:
        """A full buffer is an exhausted resource, which the SDK does not request again."""
        with pytest.raises(exceptions.TooManyRequests):
            google(serve(buffer={"max_bytes": 10})).batch_annotate_images(requests=[of(PHOTO)])

    @pytest.mark.parametrize(
        ("error", "code"), [(Throttled("slow down"), 8), (Misconfigured("secret details"), 13)]
    )
    def test_a_failed_provider_fails_each_image(
        self,
        google: Callable[..., Any],
        serve: Callable[..., Any],
        error: Misconfigured | Throttled,
        code: int,
    ) -> None:
        """A provider that throttles or fails is an error of each of the images that were sent to
        it."""
        provider = ScriptedProvider(errors=repeat(error))
        client = google(serve(provider, route={"deadline_ms": 300}))
        answer = client.batch_annotate_images(requests=[of(PHOTO), of(b"no picture")])
        assert [response.error.code for response in answer.responses] == [code, 3]
        assert "secret details" not in answer.responses[0].error.message

    def test_a_passed_deadline_is_the_images_error(
        self, google: Callable[..., Any], serve: Callable[..., Any]
    ) -> None:
        """A deadline that passes is an error of the image too."""
        client = google(serve(ScriptedProvider(gate=asyncio.Event()), route={"deadline_ms": 200}))
        assert client.annotate_image(of(PHOTO)).error.code == 4

    @pytest.mark.parametrize(
        ("kind", "status", "name"),
        [
            (Busy, 429, "RESOURCE_EXHAUSTED"),
            (Stopping, 503, "UNAVAILABLE"),
            (BufferAway, 503, "UNAVAILABLE"),
            (DeadlineExceeded, 504, "DEADLINE_EXCEEDED"),
            (UpstreamFailed, 500, "INTERNAL"),
            (BilledUnknown, 500, "INTERNAL"),
            (DeadLetter, 500, "INTERNAL"),
        ],
    )
    def test_a_failed_call_has_googles_status(self, kind: type, status: int, name: str) -> None:
        """A failed call has Google's status; 503, after which the SDK asks again, only if nothing
        was accepted."""
        reply = DIALECT.render_error(kind("failed"))
        error = json.loads(reply.body)["error"]
        assert (reply.status, error["code"], error["status"], error["message"]) == (
            status,
            status,
            name,
            "failed",
        )


numbers = st.floats(-2, 3) | st.sampled_from([float("nan"), float("inf"), -float("inf")])
boxes = st.tuples(*[numbers] * 4).map(lambda sides: Box(*sides))
polygons = st.just(()) | st.tuples(*[st.tuples(numbers, numbers)] * 4)
sizes = st.builds(Size, st.integers(1, 16_000), st.integers(1, 16_000))
labels = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(box=boxes, score=numbers, label=labels)
def test_any_object_lies_inside_the_photo(box, score, label) -> None:
    """Any box and score of a provider is returned within 0 and 1 and can be read by the SDK."""
    for found in told(Task.OBJECTS, Detection(label, score, box)).localized_object_annotations:
        assert 0.5 <= found.score <= 1
        vertices = found.bounding_poly.normalized_vertices
        assert len(vertices) == 4
        assert all(0 <= point.x <= 1 and 0 <= point.y <= 1 for point in vertices)


@given(
    lines=st.lists(st.tuples(boxes, polygons, labels, st.lists(labels, max_size=3)), max_size=3),
    size=sizes,
)
def test_any_text_lies_inside_and_both_forms_agree(lines, size) -> None:
    """For any lines and words of a provider, both forms of the text agree, and all pixels are
    inside the photo."""
    found = [
        Detection(text, 0.5, box, kind="LINE", key=key, polygon=polygon)
        for key, (box, polygon, text, _) in enumerate(lines)
    ]
    found += [
        Detection(word, 0.5, box, kind="WORD", parent=key)
        for key, (box, _, _, words) in enumerate(lines)
        for word in words
    ]
    answer = told(Task.TEXT, *found, size=size)
    full = answer.full_text_annotation
    assert spelled(full) == (full.text + "\n" if answer.text_annotations else "")
    assert [each.description for each in answer.text_annotations[:1]] == (
        [full.text] if full.pages else []
    )
    for each in answer.text_annotations:
        assert len(each.bounding_poly.vertices) == 4
        assert all(
            0 <= x <= size.width_px and 0 <= y <= size.height_px
            for x, y in corners(each.bounding_poly)
        )
