"""Azure Image Analysis' dialect, spoken to by Azure's own SDK."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from typing import Any

import pytest
from azure.ai.vision.imageanalysis import ImageAnalysisClient
from azure.ai.vision.imageanalysis.aio import ImageAnalysisClient as AsyncClient
from azure.ai.vision.imageanalysis.models import VisualFeatures
from azure.core.credentials import AccessToken, AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from httpx import Client
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gateway.core.errors import (
    BilledUnknown,
    BufferAway,
    Busy,
    DeadlineExceeded,
    GatewayError,
    Stopping,
    Unauthenticated,
    UpstreamThrottled,
)
from gateway.core.model import Outcome, Photo, Size
from gateway.core.question import ItemAnswer, uniform_question
from gateway.dialects.azure.dialect import DIALECT
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider, about
from providers.detection import WHOLE, Box, Detection, Task
from providers.errors import Misconfigured, Throttled, Unavailable

IMAGE = drawn((400, 200), Block("red", 40, 20, 120, 180), Block("blue", 200, 50, 230, 80))
PHOTO = encoded(IMAGE, "JPEG")
"""Scores in it: red 1.0; blue (30 px) 0.75."""
OBJECTS = [VisualFeatures.OBJECTS]
PATH = "/computervision/imageanalysis:analyze"
QUERY = {"api-version": "2023-10-01", "features": "objects"}
RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def azure() -> Iterator[Callable[..., Any]]:
    """`azure(address, key)`: the SDK's client, which tries once."""
    with ExitStack() as stack:

        def client(address, key="any", **options):
            credential = AzureKeyCredential(key) if isinstance(key, str) else key
            return stack.enter_context(
                ImageAnalysisClient(address, credential, **{"retry_total": 0, **options})
            )

        yield client


@pytest.fixture(scope="module")
def post(gateway: str, http: Client) -> Callable[..., Any]:
    """`post(**request)`: the raw reply to a request that asks for the objects of `PHOTO`, but for
    what is given."""

    def ask(path=PATH, **request):
        return http.post(
            gateway + path, **{"params": QUERY, "headers": RAW, "content": PHOTO, **request}
        )

    return ask


def ok(reply):
    assert reply.status_code == 200, reply.text
    return reply.json()


def refusal(reply, status, inner=None):
    """The message of an error in Azure's form, which no SDK is to send again."""
    assert reply.status_code == status, reply.text
    assert reply.headers["Content-Type"].startswith("application/json")
    assert "Retry-After" not in reply.headers
    error = reply.json()["error"]
    assert error["code"] == "InvalidRequest"
    assert error.get("innererror", {}).get("code") == inner
    return error["message"]


class TestObjects:
    def test_boxes_are_pixels_and_the_best_comes_first(
        self, azure: Callable[..., Any], gateway: str
    ) -> None:
        """Boxes are whole pixels of the client's photo, confidences are 0 to 1, and the best comes
        first."""
        answer = azure(gateway).analyze(PHOTO, OBJECTS)
        red, blue = answer.objects.list
        assert [tag.name for tag in red.tags] == ["red"]
        assert red.tags[0].confidence == pytest.approx(1)
        assert blue.tags[0].confidence == pytest.approx(0.75)
        box = red.bounding_box
        assert [box.x, box.y, box.width, box.height] == pytest.approx([40, 20, 80, 160], abs=6)

    def test_the_wire_holds_only_what_was_requested(self, post: Callable[..., Any]) -> None:
        """The reply on the wire holds the requested features, the photo's size and the model's
        version, and nothing else."""
        answer = ok(post())
        assert set(answer) == {"modelVersion", "metadata", "objectsResult"}
        assert answer["modelVersion"] == "2023-10-01"
        assert answer["metadata"] == {"width": 400, "height": 200}
        for found in answer["objectsResult"]["values"]:
            assert set(found) == {"boundingBox", "tags"}
            assert {type(number) for number in found["boundingBox"].values()} == {int}
            (tag,) = found["tags"]
            assert set(tag) == {"name", "confidence"}

    def test_a_photo_without_objects_has_an_empty_list(
        self, azure: Callable[..., Any], serve: Callable[..., Any]
    ) -> None:
        """If nothing is detected, the list is there, and empty."""
        assert azure(serve(lambda *_: [])).analyze(PHOTO, OBJECTS).objects.list == []

    def test_objects_below_one_half_are_left_out(
        self, azure: Callable[..., Any], serve: Callable[..., Any]
    ) -> None:
        """Objects that score less than one half are left out, because the API has no parameter for
        the minimum."""
        seen = [
            Detection(name, score, Box(0.1, 0.1, 0.5, 0.5))
            for name, score in (("cat", 0.49), ("dog", 0.5))
        ]
        answer = azure(serve(lambda *_: seen)).analyze(PHOTO, OBJECTS)
        assert [found.tags[0].name for found in answer.objects.list] == ["dog"]

    def test_boxes_are_those_of_the_upright_photo(
        self, azure: Callable[..., Any], gateway: str
    ) -> None:
        """For a JPEG that is turned by its EXIF, size and boxes are those of the photo as people
        see it."""
        answer = azure(gateway).analyze(encoded(IMAGE, "JPEG", orientation=6), OBJECTS)
        assert (answer.metadata.width, answer.metadata.height) == (400, 200)
        assert answer.objects.list[0].bounding_box.x == pytest.approx(40, abs=6)

    async def test_the_asynchronous_client_is_answered(self, gateway: str) -> None:
        """The SDK's asynchronous client is answered too."""
        async with AsyncClient(gateway, AzureKeyCredential("any")) as client:
            answer = await client.analyze(PHOTO, OBJECTS)
        assert [found.tags[0].name for found in answer.objects.list] == ["red", "blue"]


PEOPLE = [
    Detection("x", 0.2, Box(0.5, 0.5, 0.75, 1)),
    Detection("Person", 0.9, Box(0.25, 0.1, 0.5, 0.9)),
]
READ = [
    Detection("Hello", 0.9, Box(0.1, 0.1, 0.4, 0.3), kind="WORD", parent=7),
    Detection("world", 0.7, Box(0.5, 0.1, 0.9, 0.3), kind="WORD", parent=7),
    Detection("Hello world", 0.8, Box(0.1, 0.1, 0.9, 0.3), kind="LINE", key=7),
    Detection(
        "Bye",
        0.3,
        Box(0.1, 0.7, 0.3, 0.8),
        kind="LINE",
        key=4,
        polygon=((0.1, 0.7), (0.31, 0.71), (0.3, 0.8), (0.09, 0.79)),
    ),
    Detection("Bye", 0.3, Box(0.1, 0.7, 0.3, 0.8), kind="WORD", parent=4),
]


@pytest.fixture(scope="module")
def versed(serve: Callable[..., Any]) -> str:
    """One that sees people and reads, too."""
    return serve(text=lambda *_: READ, people=lambda *_: PEOPLE)


class TestPeople:
    def test_all_people_come_surest_first_without_names(
        self, azure: Callable[..., Any], versed: str
    ) -> None:
        """People have boxes and confidences but no names; all detections are returned, the surest
        first."""
        answer = azure(versed).analyze(PHOTO, [VisualFeatures.PEOPLE])
        assert [found.confidence for found in answer.people.list] == pytest.approx([0.9, 0.2])
        assert answer.people.list[0].bounding_box == {"x": 100, "y": 20, "w": 100, "h": 160}
        assert set(answer) == {"modelVersion", "metadata", "peopleResult"}
        assert {key for found in answer["peopleResult"]["values"] for key in found} == {
            "boundingBox",
            "confidence",
        }


class TestRead:
    def test_one_block_holds_lines_and_their_words(
        self, azure: Callable[..., Any], versed: str
    ) -> None:
        """The answer has one block of lines with their words; only words have confidences."""
        answer = azure(versed).analyze(PHOTO, [VisualFeatures.READ])
        (block,) = answer.read.blocks
        assert [line.text for line in block.lines] == ["Hello world", "Bye"]
        assert [[word.text for word in line.words] for line in block.lines] == [
            ["Hello", "world"],
            ["Bye"],
        ]
        assert [word.confidence for word in block.lines[0].words] == pytest.approx([0.9, 0.7])
        assert {key for line in block["lines"] for key in line} == {
            "text",
            "boundingPolygon",
            "words",
        }

    def test_lines_and_words_have_four_corners_in_pixels(
        self, azure: Callable[..., Any], versed: str
    ) -> None:
        """Lines and words have four corners in whole pixels: the provider's polygon, or the corners
        of the box."""
        hello, bye = azure(versed).analyze(PHOTO, [VisualFeatures.READ])["readResult"]["blocks"][0][
            "lines"
        ]
        corners = [(40, 20), (160, 20), (160, 60), (40, 60)]
        assert [
            (point["x"], point["y"]) for point in hello["words"][0]["boundingPolygon"]
        ] == corners
        corners = [(40, 140), (124, 142), (120, 160), (36, 158)]
        assert [(point["x"], point["y"]) for point in bye["boundingPolygon"]] == corners
        assert type(bye["boundingPolygon"][0]["x"]) is int

    def test_a_photo_without_text_has_one_empty_block(
        self, azure: Callable[..., Any], serve: Callable[..., Any]
    ) -> None:
        """A photo without text has one block without lines."""
        client = azure(serve(text=lambda *_: []))
        (block,) = client.analyze(PHOTO, [VisualFeatures.READ]).read.blocks
        assert block.lines == []


class TestFeatures:
    @pytest.mark.parametrize(
        "query",
        [
            "features=Objects",
            "features=OBJECTS%2Cobjects",
            "features=objects,Objects",
            "features=objects&features=%20",
            "features=%6Fbjects%2C",
            "features=objects&language=EN&model-version=Latest&gender-neutral-caption=true",
        ],
    )
    def test_features_are_named_in_any_spelling(self, post: Callable[..., Any], query: str) -> None:
        """Features are named in any case, percent-encoded or not, and optionally more than once."""
        assert "objectsResult" in ok(post(params=f"api-version=2024-02-01&{query}"))

    @pytest.mark.parametrize("feature", ["adult", "celebrities"])
    def test_an_unknown_feature_is_refused_with_the_served_ones(
        self, azure: Callable[..., Any], gateway: str, feature: str
    ) -> None:
        """An unknown feature is refused by name, with a list of the served features."""
        with pytest.raises(
            HttpResponseError, match=r"objects, people, read, tags, caption.* are"
        ) as caught:
            azure(gateway).analyze(PHOTO, [feature])
        assert (caught.value.status_code, caught.value.error.code) == (400, "InvalidRequest")
        assert caught.value.error.innererror["code"] == "NotSupportedVisualFeature"
        assert feature in caught.value.error.message

    @pytest.mark.parametrize("feature", ["caption", "denseCaptions", "smartCrops"])
    def test_azures_own_features_need_a_route(self, post: Callable[..., Any], feature: str) -> None:
        """Features that only Azure can answer are refused by name if no route leads there."""
        message = refusal(
            post(params={**QUERY, "features": f"objects,{feature}"}),
            400,
            "NotSupportedVisualFeature",
        )
        assert feature in message

    def test_several_features_share_one_answer(
        self, azure: Callable[..., Any], versed: str
    ) -> None:
        """Several features are answered in one answer."""
        answer = azure(versed).analyze(
            PHOTO, [VisualFeatures.OBJECTS, VisualFeatures.READ, VisualFeatures.PEOPLE]
        )
        assert answer.objects.list
        assert answer.read.blocks[0].lines
        assert answer.people.list
        assert answer.tags is None

    def test_a_feature_without_a_route_is_refused(
        self, azure: Callable[..., Any], gateway: str
    ) -> None:
        """A feature that no route serves is refused as one that the region does not have."""
        with pytest.raises(HttpResponseError, match="No route serves the task text") as caught:
            azure(gateway).analyze(PHOTO, [VisualFeatures.READ])
        assert caught.value.error.innererror["code"] == "NotSupportedVisualFeature"

    @pytest.mark.parametrize(
        ("change", "inner", "said"),
        [
            ({"features": None}, None, "no features"),
            ({"features": ","}, None, "no features"),
            ({"api-version": None}, "BadArgument", "no api-version"),
            ({"api-version": "2023-02-01-preview"}, "BadArgument", "2023-10-01 and 2024-02-01"),
            ({"model-version": "2022-01-01"}, "BadArgument", "latest"),
            ({"model-name": "mine"}, "BadArgument", "model-name"),
            ({"language": "es"}, "NotSupportedLanguage", "'es'"),
            ({"language": "es", "features": "tags"}, "NotSupportedLanguage", "'es'"),
            ({"smartcrops-aspect-ratios": "0.7"}, "BadArgument", "0.75 to 1.8"),
            ({"smartcrops-aspect-ratios": "1,nan"}, "BadArgument", "0.75 to 1.8"),
            ({"smartcrops-aspect-ratios": "wide"}, "BadArgument", "0.75 to 1.8"),
        ],
    )
    def test_a_bad_query_is_refused_by_name(
        self,
        post: Callable[..., Any],
        change: dict[str, None] | dict[str, str],
        inner: str | None,
        said: str,
    ) -> None:
        """A parameter of the query that is missing or not available here is refused by name."""
        query = {name: value for name, value in {**QUERY, **change}.items() if value is not None}
        assert said in refusal(post(params=query), 400, inner)

    def test_the_language_does_not_matter_for_people(
        self, azure: Callable[..., Any], versed: str
    ) -> None:
        """For people and text the language makes no difference."""
        assert azure(versed).analyze(PHOTO, [VisualFeatures.PEOPLE], language="es").people.list


class TestEndpoints:
    @pytest.mark.parametrize("suffix", ["", "/", "/azure", "/azure/", "/a/b/", "//"])
    def test_an_endpoint_may_have_a_path(
        self, azure: Callable[..., Any], gateway: str, suffix: str
    ) -> None:
        """An endpoint may have a path, with or without a slash at its end."""
        assert azure(gateway + suffix).analyze(PHOTO, OBJECTS).objects.list

    @pytest.mark.parametrize("version", ["2023-10-01", "2024-02-01"])
    def test_both_living_api_versions_are_served(
        self, azure: Callable[..., Any], gateway: str, version: str
    ) -> None:
        """Both versions of the API that Azure still runs are served."""
        assert azure(gateway, api_version=version).analyze(PHOTO, OBJECTS).objects.list

    def test_other_operations_are_404_in_json(self, post: Callable[..., Any]) -> None:
        """Other operations and older APIs are not found, in a form that the SDK can read."""
        for path in (
            "/vision/v3.2/analyze",
            "/computervision/retrieval:vectorizeImage",
            f"{PATH}/x",
        ):
            reply = post(path)
            assert reply.status_code == 404
            assert reply.headers["Content-Type"] == "application/json"

    def test_only_post_is_allowed(self, gateway: str, http: Client) -> None:
        """Any method but POST is refused."""
        reply = http.get(f"{gateway}{PATH}", params=QUERY)
        assert (reply.status_code, reply.headers["Content-Type"]) == (405, "application/json")

    def test_the_operation_is_documented_once(self, gateway: str, http: Client) -> None:
        """The OpenAPI document has the operation once."""
        paths = ok(http.get(f"{gateway}/openapi.json"))["paths"]
        assert [path for path in paths if "imageanalysis" in path] == [PATH]


def image(width, height, form="PNG"):
    return encoded(Image.new("RGB", (width, height)), form)


BAD = {
    "garbage": ("InvalidImageFormat", b"no picture at all"),
    "truncated": ("InvalidImageFormat", PHOTO[: len(PHOTO) // 2]),
    "another format": ("InvalidImageFormat", image(100, 100, "PPM")),
    "under 50 px": ("InvalidImageSize", image(200, 49)),
    "over 16000 px": ("InvalidImageSize", image(16_001, 50)),
    "no bytes": (None, b""),
    "over 20 MiB": (None, PHOTO + bytes(20_971_521)),
}


class TestPhotos:
    @pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
    def test_azures_formats_are_accepted(
        self, azure: Callable[..., Any], gateway: str, form: str
    ) -> None:
        """The formats that Azure accepts are accepted, if they can be decoded here."""
        answer = azure(gateway).analyze(encoded(IMAGE, form), OBJECTS)
        assert answer.objects.list[0].tags[0].name == "red"

    def test_a_side_of_50_pixels_is_enough(self, azure: Callable[..., Any], gateway: str) -> None:
        """A side of 50 pixels is enough."""
        assert azure(gateway).analyze(image(50, 50), OBJECTS).metadata == {
            "width": 50,
            "height": 50,
        }

    @pytest.mark.parametrize("case", BAD)
    def test_bad_photos_have_azures_codes_and_words(
        self, post: Callable[..., Any], case: str
    ) -> None:
        """Photos that Azure would refuse are refused in its words and under its codes."""
        inner, data = BAD[case]
        message = refusal(post(content=data), 400, inner)
        said = {
            "InvalidImageFormat": "Image format is not valid.",
            "InvalidImageSize": "The image dimension is not",
        }
        assert message.startswith(
            said.get(inner, "The image size is not allowed to be zero or larger than 20971520")
        )

    def test_the_sdk_shows_the_fault_and_does_not_retry(
        self, azure: Callable[..., Any], gateway: str
    ) -> None:
        """The SDK shows what was wrong, and does not ask again."""
        sent = []
        client = azure(gateway, retry_total=10, raw_response_hook=sent.append)
        with pytest.raises(HttpResponseError, match="Image format is not valid") as caught:
            client.analyze(b"no picture at all", OBJECTS)
        assert caught.value.error.innererror["code"] == "InvalidImageFormat"
        assert len(sent) == 1

    @pytest.mark.parametrize("body", [b"", b"{}", b'{"url": ""}', b'{"url": 1}', b"[]"])
    def test_json_without_a_url_is_refused(self, post: Callable[..., Any], body: bytes) -> None:
        """JSON without a URL is refused with the expected form."""
        message = refusal(post(headers={"Content-Type": "application/json"}, content=body), 400)
        assert '{"url":' in message

    @pytest.mark.parametrize(
        "url", ["ftp://example.com/a.jpg", "http://169.254.169.254/a.jpg", "nowhere"]
    )
    def test_a_url_that_may_not_be_fetched_is_refused(
        self, azure: Callable[..., Any], gateway: str, url: str
    ) -> None:
        """A URL that may not be fetched, or leads to no photo, is a bad request, and the SDK does
        not send it again."""
        with pytest.raises(HttpResponseError) as caught:
            azure(gateway).analyze_from_url(url, OBJECTS)
        assert (caught.value.status_code, caught.value.error.code) == (400, "InvalidRequest")

    @pytest.mark.parametrize(
        "kind", ["application/octet-stream; x=y", "image/jpeg", "Application/Octet-Stream"]
    )
    def test_any_type_of_bytes_or_image_is_accepted(
        self, post: Callable[..., Any], kind: str
    ) -> None:
        """Bytes are accepted as octets or as any image type, in any case."""
        ok(post(headers={"Content-Type": kind}))

    @pytest.mark.parametrize("kind", ["", "text/plain", "multipart/form-data; boundary=b"])
    def test_other_content_types_are_refused(self, post: Callable[..., Any], kind: str) -> None:
        """Other content types are refused, and the right one is named."""
        assert "application/octet-stream" in refusal(post(headers={"Content-Type": kind}), 400)


class TestByUrl:
    def test_a_photo_at_a_url_is_fetched_and_answered(
        self, azure: Callable[..., Any], serve: Callable[..., Any]
    ) -> None:
        """A photo that is given by its URL is fetched, and answered as its bytes would be."""
        with web(PHOTO) as url:
            answer = azure(serve(fetch={"allow": ["127.0.0.0/8"]})).analyze_from_url(url, OBJECTS)
        assert [found.tags[0].name for found in answer.objects.list] == ["red", "blue"]
        assert answer.metadata == {"width": 400, "height": 200}


@contextmanager
def web(data):
    """The URL of a photo, on a server on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/photo.jpg"
        server.shutdown()


class TestTags:
    def test_tags_without_a_route_are_those_of_objects(
        self, http: Client, gateway: str, azure: Callable[..., Any]
    ) -> None:
        """If no route serves labels, tags are those of the objects, each once, and the answer is
        marked so."""
        reply = http.post(
            gateway + PATH, params={**QUERY, "features": "tags"}, headers=RAW, content=PHOTO
        )
        assert [tag["name"] for tag in ok(reply)["tagsResult"]["values"]] == ["red", "blue"]
        assert reply.headers["X-Imgrid-Labels"] == "boxes"
        assert azure(gateway).analyze(PHOTO, [VisualFeatures.TAGS]).tags.list[
            0
        ].confidence == pytest.approx(1)

    def test_tags_are_a_label_providers_surest_first(
        self, http: Client, serve: Callable[..., Any]
    ) -> None:
        """If a route serves labels, tags are the provider's for the whole photo, surest first."""
        seen = [
            Detection(name, score, WHOLE, kind="LABEL")
            for name, score in (("grass", 0.6), ("outdoor", 0.9))
        ]
        address = serve(labels=lambda *_: seen, route={"stages": [{"shape": "1x1"}]})
        reply = http.post(
            address + PATH, params={**QUERY, "features": "tags"}, headers=RAW, content=PHOTO
        )
        assert ok(reply)["tagsResult"]["values"] == [
            {"name": "outdoor", "confidence": 0.9},
            {"name": "grass", "confidence": 0.6},
        ]
        assert "X-Imgrid-Labels" not in reply.headers


CAPTION = {"text": "a red tower", "confidence": 0.8}
DENSE = {"values": [{**CAPTION, "boundingBox": {"x": 0, "y": 0, "w": 400, "h": 200}}]}
CROPS = {"values": [{"aspectRatio": 1.5, "boundingBox": {"x": 0, "y": 0, "w": 300, "h": 200}}]}


class TestExtras:
    def test_azures_own_features_are_requested_once_and_unchanged(
        self, azure: Callable[..., Any], serve: Callable[..., Any]
    ) -> None:
        """The features that only Azure can answer are requested from it once for this photo alone,
        with the options of the call, and returned beside the other features."""
        told = {"caption": CAPTION, "denseCaptions": DENSE, "smartCrops": CROPS}
        vendor = ScriptedProvider(
            lambda *_: [
                Detection(name, 1.0, WHOLE, details={"raw": raw}) for name, raw in told.items()
            ],
            introduced=about("azure", task=Task.EXTRAS, kind="azure"),
        )
        answer = azure(serve(extras={"azure": vendor})).analyze(
            PHOTO,
            [
                VisualFeatures.CAPTION,
                VisualFeatures.DENSE_CAPTIONS,
                VisualFeatures.SMART_CROPS,
                *OBJECTS,
            ],
            gender_neutral_caption=True,
            smart_crops_aspect_ratios=[0.9, 1.5],
        )
        assert answer.caption.text == "a red tower"
        assert answer.dense_captions.list[0].bounding_box.width == 400
        assert answer.smart_crops.list[0].aspect_ratio == 1.5
        assert [found.tags[0].name for found in answer.objects.list] == ["red", "blue"]
        assert [picture.data for picture in vendor.asked] == [PHOTO]
        assert vendor.wanted == [
            (
                "caption?gender-neutral-caption=true",
                "denseCaptions?gender-neutral-caption=true",
                "smartCrops?smartcrops-aspect-ratios=0.9%2C1.5",
            )
        ]

    def test_places_of_extras_are_pixels_of_the_photo(
        self, azure: Callable[..., Any], serve: Callable[..., Any]
    ) -> None:
        """Their places are pixels of the client's photo, whose size is returned beside them; a JPEG
        that is turned by its EXIF is sent upright at its full size."""
        vendor = ScriptedProvider(
            lambda picture, _: [
                Detection(
                    "smartCrops",
                    1.0,
                    WHOLE,
                    details={
                        "raw": {
                            "values": [
                                {
                                    "aspectRatio": 1.5,
                                    "boundingBox": {
                                        "x": 0,
                                        "y": 0,
                                        "w": picture.width_px,
                                        "h": picture.height_px,
                                    },
                                }
                            ]
                        }
                    },
                )
            ],
            introduced=about("azure", task=Task.EXTRAS, kind="azure"),
        )
        client = azure(serve(extras={"azure": vendor}))
        turned = encoded(drawn((450, 250), Block("red", 40, 20, 120, 180)), "JPEG", orientation=6)
        for photo, size in ((PHOTO, (400, 200)), (turned, (450, 250))):
            answer = client.analyze(photo, [VisualFeatures.SMART_CROPS])
            box = answer.smart_crops.list[0].bounding_box
            assert (
                (answer.metadata.width, answer.metadata.height) == (box.width, box.height) == size
            )


class Token:
    """A credential like those of Microsoft Entra, whose token is a key."""

    def get_token(self, *scopes, **options):
        return AccessToken("az-shop", 2_000_000_000)


class TestKeys:
    def test_a_tenants_key_is_accepted(self, azure: Callable[..., Any], closed: str) -> None:
        """A request with a tenant's key is answered."""
        assert azure(closed, "az-shop").analyze(PHOTO, OBJECTS).objects.list

    def test_a_key_may_be_a_bearer_token(self, azure: Callable[..., Any], closed: str) -> None:
        """The key may come as a bearer token."""
        assert azure(closed, Token()).analyze(PHOTO, OBJECTS, enforce_https=False).objects.list

    @pytest.mark.parametrize("key", ["wrong", "key-shop", "sk-shop"])
    def test_a_wrong_key_is_refused_as_azure_does(
        self, azure: Callable[..., Any], closed: str, key: str
    ) -> None:
        """A wrong key, or one of another dialect, is refused as Azure refuses it."""
        with pytest.raises(
            ClientAuthenticationError, match="Access denied due to invalid subscription key"
        ) as caught:
            azure(closed, key).analyze(PHOTO, OBJECTS)
        assert (caught.value.status_code, caught.value.error.code) == (401, "401")

    def test_an_azure_key_opens_no_other_dialect(self, closed: str, http: Client) -> None:
        """A key of this dialect opens no other."""
        reply = http.post(f"{closed}/v1/detect", headers={"X-Api-Key": "az-shop"}, content=PHOTO)
        assert reply.status_code == 401

    @pytest.mark.parametrize(
        "headers", [{}, {"Ocp-Apim-Subscription-Key": ""}, {"Authorization": "Bearer"}]
    )
    def test_a_missing_key_is_refused_with_its_header(
        self, closed: str, http: Client, headers: dict[Any, Any] | dict[str, str]
    ) -> None:
        """A request without a key is refused with the name of the header that it belongs in, before
        anything else is checked."""
        reply = http.post(f"{closed}{PATH}", headers=headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "401")
        assert "Ocp-Apim-Subscription-Key: KEY" in reply.json()["error"]["message"]
        assert reply.headers["WWW-Authenticate"].startswith("AzureApiManagementKey realm=")


class TestRetries:
    """What the SDK does of itself: it asks again after 500, 503 and 504, and after whatever has a
    Retry-After."""

    @pytest.fixture
    def sent(self, azure: Callable[..., Any]) -> Callable[..., Any]:
        """`sent(address)`: the statuses that a client of it saw that would ask once again, and its
        error."""

        def ask(address):
            statuses = []
            hook = {
                "raw_response_hook": lambda reply: statuses.append(reply.http_response.status_code)
            }
            client = azure(address, retry_total=1, retry_backoff_factor=0.01, **hook)
            with pytest.raises(HttpResponseError) as caught:
                client.analyze(PHOTO, OBJECTS)
            return statuses, caught.value

        return ask

    def test_a_full_buffer_is_429_and_tried_again(
        self, sent: Callable[..., Any], serve: Callable[..., Any]
    ) -> None:
        """A full buffer is 429 with the time to wait, and the SDK tries again."""
        statuses, error = sent(serve(buffer={"max_bytes": 10}))
        assert statuses == [429, 429]
        assert error.error.code == "429"
        assert int(error.response.headers["Retry-After"]) >= 1

    def test_a_throttling_provider_is_429_and_tried_again(
        self, sent: Callable[..., Any], serve: Callable[..., Any]
    ) -> None:
        """A provider that keeps throttling is 429 too, and the SDK tries again."""
        provider = ScriptedProvider(errors=repeat(Throttled("slow down")))
        statuses, _ = sent(serve(provider, route={"deadline_ms": 300}))
        assert statuses == [429, 429]

    @pytest.mark.parametrize("error", [Unavailable("down"), Misconfigured("secret details")])
    def test_a_failed_provider_is_not_tried_again(
        self,
        sent: Callable[..., Any],
        serve: Callable[..., Any],
        error: Misconfigured | Unavailable,
    ) -> None:
        """A provider that failed for as long as there was time is not asked again, because that
        might be billed again."""
        statuses, caught = sent(
            serve(ScriptedProvider(errors=repeat(error)), route={"deadline_ms": 300})
        )
        assert statuses == [502]
        assert caught.error.code == "InternalServerError"
        assert "secret details" not in str(caught)

    def test_a_passed_deadline_is_not_tried_again(
        self, sent: Callable[..., Any], serve: Callable[..., Any]
    ) -> None:
        """A photo whose deadline has passed is not sent again."""
        statuses, _ = sent(
            serve(ScriptedProvider(gate=asyncio.Event()), route={"deadline_ms": 200})
        )
        assert statuses == [502]

    @pytest.mark.parametrize("kind", [Busy, UpstreamThrottled, Stopping, BufferAway])
    def test_a_temporary_error_has_retry_after(self, kind: type) -> None:
        """If a retry can help, a reply gives the time to wait."""
        assert int(DIALECT.render_error(kind("full")).headers["Retry-After"]) >= 1

    @pytest.mark.parametrize(
        "kind", [GatewayError, BilledUnknown, DeadlineExceeded, Unauthenticated]
    )
    def test_a_lasting_error_has_no_retry_after(self, kind: type) -> None:
        """If a retry cannot help, a reply gives no time to wait."""
        assert "Retry-After" not in DIALECT.render_error(kind("failed")).headers


def answered(photo, task, found):
    return ItemAnswer(photo, {task: Outcome(photo, found)})


boxes = st.tuples(*[st.floats(-2, 3) | st.just(float("nan"))] * 4).map(lambda sides: Box(*sides))


@given(box=boxes, size=st.builds(Size, st.integers(50, 16_000), st.integers(50, 16_000)))
def test_any_box_lies_in_the_photo_in_whole_pixels(box, size) -> None:
    """Any box of a provider is returned in whole pixels inside the photo."""
    photo = Photo("id", b"", "JPEG", size)
    found = tuple(Detection("x", 1.0, box, kind=kind, key=1) for kind in ("", "LINE"))
    for task, feature in ((Task.OBJECTS, "objects"), (Task.PEOPLE, "people")):
        reply = DIALECT.render(
            uniform_question(task, [b""], options=(feature,)), [answered(photo, task, found[:1])]
        )
        (value,) = json.loads(reply.body)[f"{feature}Result"]["values"]
        x, y, w, h = (value["boundingBox"][side] for side in "xywh")
        assert min(x, y) >= 0 < min(w, h)
        assert x + w <= size.width_px
        assert y + h <= size.height_px
    reply = DIALECT.render(
        uniform_question(Task.TEXT, [b""], options=("read",)),
        [answered(photo, Task.TEXT, found[1:])],
    )
    (line,) = json.loads(reply.body)["readResult"]["blocks"][0]["lines"]
    assert len(line["boundingPolygon"]) == 4
    assert all(
        0 <= p["x"] <= size.width_px and 0 <= p["y"] <= size.height_px
        for p in line["boundingPolygon"]
    )
