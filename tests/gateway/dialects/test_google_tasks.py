"""All of Google Cloud Vision's features, by its SDK over REST and gRPC, with answers held to the
service's messages."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import grpc
import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import vision
from google.cloud.vision_v1.services.image_annotator.transports import ImageAnnotatorGrpcTransport
from google.protobuf import json_format
from httpx import Client

from gateway.core import errors
from gateway.core.errors import BadRequest, PhotoError
from gateway.core.exchange import Incoming
from gateway.core.question import Forward, Source
from gateway.dialects.google.dialect import DIALECT
from gateway.dialects.google.errors import status_of
from gateway.dialects.google.field_mask import field_mask_of, selection_of
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider, about, see_shapes
from gateway.wiring.parts import Parts
from providers.base import ForwardReply
from providers.detection import WHOLE, Box, Detection, Landmark, Task

PHOTO = encoded(
    drawn((400, 200), Block("red", 40, 20, 120, 180), Block("blue", 200, 50, 230, 80)), "JPEG"
)
CONTENT = base64.b64encode(PHOTO).decode()
PATH = "/v1/images:annotate"
Feature, Likelihood = vision.Feature.Type, vision.Likelihood
EXTRAS = {
    "LANDMARK_DETECTION": {
        "landmarkAnnotations": [{"mid": "/m/02j81", "description": "Eiffel Tower", "score": 0.9}]
    },
    "IMAGE_PROPERTIES": {
        "imagePropertiesAnnotation": {"dominantColors": {"colors": [{"color": {"red": 255}}]}}
    },
    "CROP_HINTS": {
        "cropHintsAnnotation": {"cropHints": [{"confidence": 0.5, "importanceFraction": 1.25}]}
    },
    "WEB_DETECTION": {
        "webDetection": {"bestGuessLabels": [{"label": "red block", "languageCode": "en"}]}
    },
    "PRODUCT_SEARCH": {"productSearchResults": {"indexTime": "2026-11-28T00:00:00Z"}},
}
SAID = {
    "rollAngle": 1.5,
    "panAngle": -2.5,
    "tiltAngle": float("nan"),
    "landmarkingConfidence": 0.75,
    "joyLikelihood": 5,
    "sorrowLikelihood": 1,
    "angerLikelihood": 0,
    "surpriseLikelihood": 9,
    "underExposedLikelihood": 2,
    "blurredLikelihood": 3,
    "headwearLikelihood": 4,
}


def faces(picture, task):
    """A face for every shape: its left eye at the shape's upper left corner, as deep as a tenth of
    the picture."""
    return [
        Detection(
            "Face",
            each.score,
            each.box,
            landmarks=(
                Landmark("LEFT_EYE", each.box.x0, each.box.y0, 0.1),
                Landmark("THIRD_EYE", 0.5, 0.5),
                Landmark("NOSE_TIP", float("inf"), 0.5),
            ),
            details={"vendor": "google", "raw": SAID},
        )
        for each in see_shapes(picture, task)
    ]


LABELS = (
    Detection("Dog", 0.9, WHOLE, kind="LABEL", details={"mid": "/m/0bt9lr", "topicality": 0.6}),
    Detection("Sunset", 0.95, WHOLE, kind="LABEL"),
    Detection("Cat", 0.4, WHOLE, kind="LABEL"),
    Detection("Dog", 0.7, Box(0.1, 0.1, 0.5, 0.9), kind="INSTANCE"),
)
SAFE = [
    Detection(name, 0.0, WHOLE, details={"likelihood": grade, "graded": True})
    for name, grade in (("adult", 5), ("spoof", 1), ("medical", 0), ("violence", 3), ("racy", 2))
]
LOGO = Detection(
    "Acme",
    0.9,
    Box(0.1, 0.1, 0.4, 0.6),
    polygon=((0.1, 0.1), (0.41, 0.1), (0.4, 0.6), (0.1, 0.6)),
    details={"mid": "/m/0acme"},
)
LINE = Detection("STOP", 0.9, Box(0.1, 0.1, 0.4, 0.3), kind="LINE", key=1)


class Says(ScriptedProvider):
    """Says of each extra what `EXTRAS` has, and keeps what was wanted."""

    def __init__(self):
        super().__init__(introduced=about("google", task=Task.EXTRAS, kind="google"))

    async def detect(self, picture, task, wanted=()):
        await super().detect(picture, task, wanted)
        names = [item.partition("?")[0] for item in wanted]
        return [Detection(name, 1.0, WHOLE, details={"raw": EXTRAS[name]}) for name in names]


@pytest.fixture(scope="module")
def extras() -> Any:
    return Says()


@pytest.fixture(scope="module")
def full(started: Callable[..., Any], extras: Any) -> tuple[Parts | str, ...]:
    """A gateway that serves every task by both transports: its REST address and its parts."""
    alone = {"stages": [{"shape": "1x1"}]}
    return started(
        faces=faces,
        labels=lambda *_: LABELS,
        moderation=lambda *_: SAFE,
        logos=lambda *_: [LOGO],
        text=lambda *_: [LINE],
        extras={"google": extras},
        route=alone,
        grpc={"listen": "127.0.0.1:0"},
    )


@pytest.fixture(scope="module")
def sdk() -> Iterator[Callable[..., Any]]:
    """`sdk(transport, (address, parts))`: the SDK's client of a gateway that has both."""
    made = []

    def client(transport, gateway):
        address, parts = gateway
        if transport == "rest":
            options = {"api_endpoint": address}
            each = vision.ImageAnnotatorClient(
                transport="rest", client_options=options, credentials=AnonymousCredentials()
            )
        else:
            channel = grpc.insecure_channel(parts.grpc.address)
            each = vision.ImageAnnotatorClient(
                transport=ImageAnnotatorGrpcTransport(channel=channel)
            )
        made.append(each)
        return each

    yield client
    for each in made:
        each.transport.close()


@pytest.fixture(params=["rest", "grpc"])
def client(
    request: pytest.FixtureRequest, sdk: Callable[..., Any], full: tuple[Parts | str, ...]
) -> Any:
    return sdk(request.param, full)


def asked(client, *names, context=None, **feature):
    """The response to one photo, held to the service's messages as it is on the wire."""
    features = [vision.Feature(type_=Feature[name], **feature) for name in names]
    request = vision.AnnotateImageRequest(
        image={"content": PHOTO}, features=features, image_context=context
    )
    (response,) = client.batch_annotate_images(requests=[request]).responses
    return response


def ok(reply):
    """The responses of a raw reply, held to the service's own messages, in which no unknown member
    may be."""
    assert reply.status_code == 200, reply.text
    json_format.Parse(
        reply.content, vision.BatchAnnotateImagesResponse.pb()(), ignore_unknown_fields=False
    )
    return reply.json().get("responses", [])


def wanted(names, **more):
    return {"image": {"content": CONTENT}, "features": [{"type": name} for name in names], **more}


class TestFaces:
    def test_faces_have_polygons_and_landmarks_in_pixels(self, client: Any) -> None:
        """Faces have both polygons in whole pixels of the client's photo, and landmarks in pixels
        with their depth."""
        face, small = asked(client, "FACE_DETECTION").face_annotations
        assert small.detection_confidence < face.detection_confidence == 1
        for poly in (face.bounding_poly, face.fd_bounding_poly):
            corners = [(point.x, point.y) for point in poly.vertices]
            assert corners == [
                (pytest.approx(x, abs=4), pytest.approx(y, abs=4))
                for x, y in ((40, 20), (120, 20), (120, 180), (40, 180))
            ]
        eye, nose = face.landmarks
        assert (eye.type_.name, nose.type_.name) == ("LEFT_EYE", "NOSE_TIP")
        assert (eye.position.x, eye.position.y) == (
            pytest.approx(40, abs=4),
            pytest.approx(20, abs=4),
        )
        assert eye.position.z == pytest.approx(40)
        assert nose.position.x == 0

    def test_googles_angles_and_likelihoods_are_passed_on(self, client: Any) -> None:
        """Angles and likelihoods are those that Google returned; one that is not a number or a
        likelihood is left out."""
        face = asked(client, "FACE_DETECTION", max_results=1).face_annotations[0]
        assert (face.roll_angle, face.pan_angle, face.tilt_angle) == (1.5, -2.5, 0)
        assert face.landmarking_confidence == 0.75
        assert (face.joy_likelihood, face.sorrow_likelihood) == (
            Likelihood.VERY_LIKELY,
            Likelihood.VERY_UNLIKELY,
        )
        assert (face.anger_likelihood, face.surprise_likelihood) == (
            Likelihood.UNKNOWN,
            Likelihood.UNKNOWN,
        )
        assert (
            face.under_exposed_likelihood,
            face.blurred_likelihood,
            face.headwear_likelihood,
        ) == (2, 3, 4)

    def test_max_results_keeps_the_surest_faces(self, client: Any) -> None:
        """No more faces are returned than were requested, the surest first."""
        assert len(asked(client, "FACE_DETECTION", max_results=1).face_annotations) == 1

    def test_another_vendors_face_has_googles_members(
        self, serve: Callable[..., Any], http: Client
    ) -> None:
        """Another vendor's facts about a face are returned in Google's members."""
        details = {"pose": [1.0, 2.0, 3.0], "emotions": {"joy": 0.9, "sorrow": 0.1}}
        address = serve(
            faces=lambda *_: [Detection("Face", 0.8, Box(0.1, 0.1, 0.5, 0.9), details=details)]
        )
        (response,) = ok(http.post(address + PATH, json={"requests": [wanted(["FACE_DETECTION"])]}))
        (face,) = response["faceAnnotations"]
        assert (face["rollAngle"], face["panAngle"], face["tiltAngle"]) == (1.0, 2.0, 3.0)
        assert (face["joyLikelihood"], face["sorrowLikelihood"]) == ("VERY_LIKELY", "VERY_UNLIKELY")
        assert (face["angerLikelihood"], face["landmarkingConfidence"]) == ("UNKNOWN", 0.0)


class TestLabels:
    def test_a_providers_labels_come_surest_first(self, client: Any) -> None:
        """A provider's labels come with their scores, the surest first, without those that score
        below one half."""
        sunset, dog = asked(client, "LABEL_DETECTION").label_annotations
        assert (sunset.description, dog.description, dog.mid) == ("Sunset", "Dog", "/m/0bt9lr")
        assert (sunset.score, sunset.topicality) == (pytest.approx(0.95), pytest.approx(0.95))
        assert (dog.score, dog.topicality) == (pytest.approx(0.9), pytest.approx(0.6))

    def test_max_results_keeps_the_surest_labels(self, client: Any) -> None:
        """No more labels are returned than were requested."""
        (sunset,) = asked(client, "LABEL_DETECTION", max_results=1).label_annotations
        assert sunset.description == "Sunset"

    def test_labels_without_a_route_are_those_of_boxes(
        self, serve: Callable[..., Any], http: Client
    ) -> None:
        """If no route serves labels, they are those of the boxes, each once with its best score,
        and marked so."""
        seen = [
            Detection(name, score, Box(0.1, 0.1, 0.5, 0.5))
            for name, score in (("cat", 0.6), ("dog", 0.8), ("cat", 0.9), ("owl", 0.4))
        ]
        address = serve(lambda *_: seen)
        reply = http.post(address + PATH, json={"requests": [wanted(["LABEL_DETECTION"])]})
        (response,) = ok(reply)
        assert [
            (label["description"], label["score"]) for label in response["labelAnnotations"]
        ] == [
            ("cat", 0.9),
            ("dog", 0.8),
        ]
        assert reply.headers["X-Imgrid-Labels"] == "boxes"

    def test_a_providers_labels_are_not_marked(
        self, full: tuple[Parts | str, ...], http: Client
    ) -> None:
        """A provider's labels are not marked, nor is an answer without labels."""
        reply = http.post(
            full[0] + PATH,
            json={"requests": [wanted(["LABEL_DETECTION"]), wanted(["LOGO_DETECTION"])]},
        )
        assert ok(reply)
        assert "X-Imgrid-Labels" not in reply.headers


class TestSafeSearch:
    GRADES = ("adult", "spoof", "medical", "violence", "racy")

    def graded(self, response):
        return [getattr(response.safe_search_annotation, name).value for name in self.GRADES]

    def test_all_five_likelihoods_are_the_providers(self, client: Any) -> None:
        """All five likelihoods are those that the provider returned."""
        assert self.graded(asked(client, "SAFE_SEARCH_DETECTION")) == [5, 1, 0, 3, 2]

    @pytest.mark.parametrize(
        ("found", "grades"),
        [
            ([], ["VERY_UNLIKELY"] * 5),
            ([Detection("adult", 0.75, WHOLE)], ["LIKELY", *["UNKNOWN"] * 4]),
            ([Detection("Weapons", 0.9, WHOLE)], ["UNKNOWN"] * 5),
        ],
    )
    def test_scores_become_the_nearest_likelihoods(
        self,
        serve: Callable[..., Any],
        http: Client,
        found: list[Any] | list[Detection],
        grades: list[str],
    ) -> None:
        """A cleared photo is very unlikely in every category; a score becomes the nearest
        likelihood, and a category without a score is unknown."""
        address = serve(moderation=lambda *_: found, route={"stages": [{"shape": "1x1"}]})
        (response,) = ok(
            http.post(address + PATH, json={"requests": [wanted(["SAFE_SEARCH_DETECTION"])]})
        )
        assert response == {"safeSearchAnnotation": dict(zip(self.GRADES, grades, strict=True))}


def test_logos_have_their_corners_in_pixels(client: Any) -> None:
    """Logos have their corners in pixels."""
    (logo,) = asked(client, "LOGO_DETECTION").logo_annotations
    assert (logo.description, logo.mid, logo.score) == ("Acme", "/m/0acme", pytest.approx(0.9))
    assert [(point.x, point.y) for point in logo.bounding_poly.vertices] == [
        (40, 20),
        (164, 20),
        (160, 120),
        (40, 120),
    ]


class TestExtras:
    @pytest.mark.parametrize("name", EXTRAS)
    def test_the_vendors_own_answers_are_passed_through(self, client: Any, name: str) -> None:
        """Answers that only the vendor can give are passed through unchanged."""
        expected = vision.AnnotateImageResponse.pb()()
        json_format.ParseDict(EXTRAS[name], expected)
        assert vision.AnnotateImageResponse.pb(asked(client, name)) == expected

    def test_the_vendor_is_asked_once_with_each_features_options(
        self, client: Any, extras: Any
    ) -> None:
        """The vendor is asked once for all features of this photo, as it came, with the options
        that apply to each."""
        context = {
            "crop_hints_params": {"aspect_ratios": [1.5]},
            "web_detection_params": {"include_geo_results": True},
            "lat_long_rect": {"min_lat_lng": {"latitude": 1.5}},
        }
        calls = extras.calls
        asked(
            client,
            "CROP_HINTS",
            "WEB_DETECTION",
            "IMAGE_PROPERTIES",
            context=context,
            max_results=3,
        )
        assert extras.calls == calls + 1
        assert extras.asked[-1].data == PHOTO
        options = {
            item.partition("?")[0]: parse_qs(item.partition("?")[2]) for item in extras.wanted[-1]
        }
        contexts = {
            name: json.loads(each.pop("context", ["{}"])[0]) for name, each in options.items()
        }
        place = {"latLongRect": {"minLatLng": {"latitude": 1.5}}}
        assert options == {
            name: {"max_results": ["3"]}
            for name in ("CROP_HINTS", "WEB_DETECTION", "IMAGE_PROPERTIES")
        }
        assert contexts == {
            "CROP_HINTS": {"cropHintsParams": {"aspectRatios": [1.5]}},
            "WEB_DETECTION": {"webDetectionParams": {"includeGeoResults": True}, **place},
            "IMAGE_PROPERTIES": {},
        }

    def test_a_call_without_features_gets_all_of_them(self, client: Any) -> None:
        """The SDK asks for all features if a call names none, and gets all answers."""
        response = client.annotate_image({"image": {"content": PHOTO}})
        assert response.error.code == 0
        said = {field.name for field, _ in vision.AnnotateImageResponse.pb(response).ListFields()}
        assert (
            len(said) == 12
        )  # as many as features: text comes in two forms, of which document text is one

    def test_all_features_on_the_wire_fit_the_services_messages(
        self, full: tuple[Parts | str, ...], http: Client
    ) -> None:
        """On the wire the answers to all features fit the service's messages."""
        (response,) = ok(
            http.post(full[0] + PATH, json={"requests": [wanted(list(Feature.__members__)[1:])]})
        )
        assert len(response) == 12

    @pytest.mark.parametrize("transport", ["rest", "grpc"])
    @pytest.mark.parametrize(
        ("features", "said"),
        [
            ([{"type_": Feature.CROP_HINTS, "model": "x" * 65}], "at most 64 are taken"),
            ([{"type_": Feature.CROP_HINTS}] * 101, "Too many features per image"),
        ],
    )
    def test_models_and_features_are_limited(
        self,
        sdk: Callable[..., Any],
        full: tuple[Parts | str, ...],
        transport: str,
        features: list[dict[str, Any]],
        said: str,
    ) -> None:
        """The length of a model's name and the number of features are limited."""
        with pytest.raises(exceptions.BadRequest, match=said):
            sdk(transport, full).annotate_image({"image": {"content": PHOTO}, "features": features})


class TestContext:
    def test_photos_with_language_hints_share_no_text_canvas(
        self, started: Callable[..., Any], sdk: Callable[..., Any]
    ) -> None:
        """Photos with language hints share no canvas for their text; for objects they may."""
        reader, finder = (
            ScriptedProvider(introduced=about("text", task=Task.TEXT)),
            ScriptedProvider(),
        )
        client = sdk("rest", started(objects=finder, text=reader))
        features = [{"type_": Feature.TEXT_DETECTION}, {"type_": Feature.OBJECT_LOCALIZATION}]
        hinted = {
            "image": {"content": PHOTO},
            "features": features,
            "image_context": {"language_hints": ["de"]},
        }
        client.batch_annotate_images(requests=[hinted] * 2)
        assert [picture.data for picture in reader.asked] == [PHOTO] * 2
        assert finder.calls == 1

    @pytest.mark.parametrize(
        "context",
        [
            {"languageHints": "en"},
            {"languageHints": [1]},
            {"cropHintsParams": {"aspectRatios": [1.0] * 17}},
            {"cropHintsParams": []},
            {"latLongRect": {"minLatLng": {"latitude": "x"}}},
            {"productSearchParams": {"boundingPoly": {"vertices": [{"x": 1.5}]}}},
            {"a": [[[[[[[[[1]]]]]]]]]},
            {"a": "x" * 65_536},
            [],
            "en",
        ],
    )
    def test_a_wrong_context_is_a_bad_request(
        self, full: tuple[Parts | str, ...], http: Client, context: Any
    ) -> None:
        """A context of another form than Google's is a bad request."""
        reply = http.post(
            full[0] + PATH, json={"requests": [wanted(["CROP_HINTS"], imageContext=context)]}
        )
        assert reply.status_code == 400
        assert reply.json()["error"]["message"].startswith(
            "Invalid JSON payload received. imageContext"
        )

    @pytest.mark.parametrize(
        "context",
        [
            {"crop_hints_params": {"aspect_ratios": ["1.5", None]}},
            {"cropHintsParams": None, "futureParams": {"a": 1}},
        ],
    )
    def test_members_may_have_underscores_be_null_or_unknown(
        self,
        full: tuple[Parts | str, ...],
        http: Client,
        context: dict[str, dict[str, int] | None] | dict[str, dict[str, list[str | None]]],
    ) -> None:
        """Members may be spelled with underscores, be null or be unknown."""
        first = {"aspectRatios": [1.5, 2]}
        cases = (
            [context, {"cropHintsParams": first}]
            if "cropHintsParams" in context
            else [{"cropHintsParams": first}]
        )
        for case in cases:
            assert ok(
                http.post(
                    full[0] + PATH, json={"requests": [wanted(["CROP_HINTS"], image_context=case)]}
                )
            )


@pytest.fixture
def website(tmp_path: Path) -> Iterator[str]:
    """The address of a folder on the web, in which there is the photo."""
    (tmp_path / "photo.jpg").write_bytes(PHOTO)
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class TestSources:
    @staticmethod
    def parsed(image):
        body = json.dumps(
            {"requests": [{"image": image, "features": [{"type": "LABEL_DETECTION"}]}]}
        ).encode()
        return DIALECT.parse(Incoming("POST", PATH, "", {}, body)).items[0].photo

    @pytest.mark.parametrize(
        ("source", "url"),
        [
            ({"imageUri": "gs://bucket/a.jpg"}, "gs://bucket/a.jpg"),
            ({"image_uri": "https://example.com/a.jpg"}, "https://example.com/a.jpg"),
            ({"gcsImageUri": "gs://bucket/a.jpg"}, "gs://bucket/a.jpg"),
            (
                {"gcs_image_uri": "gs://bucket/b.jpg", "imageUri": "http://example.com"},
                "http://example.com",
            ),
        ],
    )
    def test_a_photo_may_be_named_by_its_address(self, source: dict[str, str], url: str) -> None:
        """A photo may be given by its address, in a bucket or on the web; the newer member
        counts."""
        assert self.parsed({"source": source}) == Source(url)

    def test_content_wins_over_the_source(self) -> None:
        """Content counts if there are both."""
        assert self.parsed({"content": CONTENT, "source": {"imageUri": "gs://b/a.jpg"}}) == PHOTO

    @pytest.mark.parametrize(
        "url", ["ftp://example.com/a.jpg", "a.jpg", "s3://bucket/a.jpg", "gs://" + "a" * 2048]
    )
    def test_other_addresses_are_refused_for_that_photo(self, url: str) -> None:
        """An address of another kind, or one that is too long, is refused for that photo."""
        assert isinstance(self.parsed({"source": {"imageUri": url}}), PhotoError)

    @pytest.mark.parametrize(
        ("kind", "code", "said"),
        [
            (errors.SourceNotAllowed, 7, "We're not allowed to access the URL on your behalf."),
            (errors.SourceAway, 14, "We can not access the URL currently."),
            (errors.SourceMissing, 14, "We can not access the URL currently."),
            (errors.NotFetched, 14, "We can not access the URL currently."),
            (errors.SourceTooLarge, 3, "because"),
        ],
    )
    def test_fetch_failures_have_googles_words_and_codes(
        self, kind: type, code: int, said: str
    ) -> None:
        """The reason why a photo was not fetched is given in Google's words and codes."""
        status, message = status_of(kind("because"))
        assert (status.code, message.startswith(said), message.endswith("because")) == (
            code,
            True,
            True,
        )

    def test_a_photo_on_the_web_is_fetched(
        self, started: Callable[..., Any], sdk: Callable[..., Any], website: str
    ) -> None:
        """A photo on the web is fetched and answered; one that does not exist has its own error."""
        gateway = started(fetch={"allow": ["127.0.0.0/8"]}, grpc={"listen": "127.0.0.1:0"})
        features = [{"type_": Feature.OBJECT_LOCALIZATION}]
        requests = [
            {"image": {"source": {"image_uri": f"{website}/{name}"}}, "features": features}
            for name in ("photo.jpg", "none.jpg")
        ]
        for transport in ("rest", "grpc"):
            there, away = sdk(transport, gateway).batch_annotate_images(requests=requests).responses
            assert len(there.localized_object_annotations) == 2
            assert away.error.code == 14


class TestWholeCalls:
    FILES = {
        "requests": [
            {"features": [{"type": 11}, {"type": 4}], "pages": [1, 2]},
            {"features": [{"type": 11}]},
        ]
    }

    @pytest.mark.parametrize(
        "place", ["/v1/", "/v1/projects/p/", "/v1/projects/p/locations/eu/", "/gcv/v1/"]
    )
    @pytest.mark.parametrize(
        "call", ["files:annotate", "files:asyncBatchAnnotate", "images:asyncBatchAnnotate"]
    )
    def test_calls_about_files_and_buckets_are_forwarded(self, place: str, call: str) -> None:
        """Calls about files, and those whose answers go to a bucket, are forwarded; a page's
        features are billed."""
        incoming = Incoming("POST", place + call, "", {}, json.dumps(self.FILES).encode())
        assert DIALECT.parse(incoming) == Forward(
            call, images=5, target=place.removeprefix("/gcv") + call
        )

    @pytest.mark.parametrize(
        "place",
        ["/v1/operations/x", "/v1/projects/p/operations/x", "/a/v1/projects/p/operations/x/y"],
    )
    def test_a_question_about_an_operation_is_forwarded_unbilled(self, place: str) -> None:
        """A question about an operation is forwarded too, and is not billed."""
        assert DIALECT.parse(Incoming("GET", place, "", {}, b"")) == Forward(
            "operations:get", target=place.removeprefix("/a")
        )

    def test_calls_that_may_not_be_forwarded_are_refused(
        self, full: tuple[Parts | str, ...], http: Client
    ) -> None:
        """If the operator allows no forwarding, such calls are refused by name under every path."""
        for call in ("files:annotate", "projects/p/locations/eu/images:asyncBatchAnnotate"):
            reply = http.post(f"{full[0]}/v1/{call}", json=self.FILES)
            assert (
                reply.status_code,
                call.rpartition("/")[2] in reply.json()["error"]["message"],
            ) == (400, True)
        reply = http.get(f"{full[0]}/v1/projects/p/operations/x")
        assert "operations:get is not handed on here" in reply.json()["error"]["message"]

    def test_an_allowed_call_reaches_the_vendor_unchanged(
        self, started: Callable[..., Any], sdk: Callable[..., Any], http: Client
    ) -> None:
        """If the operator allows a call to be forwarded, the vendor gets it as it came, and the
        client gets the vendor's answer."""

        class Vendor(Says):
            def __init__(self):
                super().__init__()
                self.handed = []

            async def forward(self, call):
                self.handed.append(call)
                return ForwardReply(
                    200, {"content-type": "application/json"}, b'{"responses": [{"totalPages": 2}]}'
                )

        vendor, allowed = Vendor(), {"operations": ["files:annotate", "operations:get"]}
        gateway = started(extras={"google": vendor}, forwarding=allowed)
        answer = sdk("rest", gateway).batch_annotate_files(
            requests=[{"features": [{"type_": 11}], "pages": [1, 2]}]
        )
        assert answer.responses[0].total_pages == 2
        assert http.get(f"{gateway[0]}/v1/projects/p/operations/x").json()["responses"]
        assert [(call.method, call.target) for call in vendor.handed] == [
            ("POST", "/v1/files:annotate"),
            ("GET", "/v1/projects/p/operations/x"),
        ]

    def test_json_of_another_form_is_refused(
        self, full: tuple[Parts | str, ...], http: Client
    ) -> None:
        """JSON of another form is refused as for any other call."""
        reply = http.post(f"{full[0]}/v1/files:annotate", content=b'{"requests": 1}')
        assert reply.json()["error"]["message"].startswith("Invalid JSON payload received.")

    def test_the_sdk_raises_on_calls_that_may_not_be_forwarded(self, client: Any) -> None:
        """The SDK raises an error too: by REST it names the operation, by gRPC it is that of an
        unknown method."""
        with pytest.raises((exceptions.BadRequest, exceptions.MethodNotImplemented)):
            client.batch_annotate_files(requests=[{"features": [{"type_": 11}]}])


class TestMask:
    ANSWER = {
        "responses": [
            {
                "labelAnnotations": [{"description": "a", "score": 1}],
                "error": {"code": 3, "message": "x"},
            },
            {"fullTextAnnotation": {"text": "b", "pages": []}},
        ]
    }

    @pytest.mark.parametrize(
        ("fields", "left"),
        [
            ("", ANSWER),
            ("*", ANSWER),
            ("responses", ANSWER),
            ("responses.error", {"responses": [{"error": {"code": 3, "message": "x"}}, {}]}),
            ("responses.error.code", {"responses": [{"error": {"code": 3}}, {}]}),
            (
                "responses(error/code,full_text_annotation.text)",
                {"responses": [{"error": {"code": 3}}, {"fullTextAnnotation": {"text": "b"}}]},
            ),
            (
                "responses(labelAnnotations(description),error(code,message))",
                {
                    "responses": [
                        {
                            "labelAnnotations": [{"description": "a"}],
                            "error": {"code": 3, "message": "x"},
                        },
                        {},
                    ]
                },
            ),
            (
                "responses/*/text",
                {
                    "responses": [
                        {"labelAnnotations": [{}], "error": {}},
                        {"fullTextAnnotation": {"text": "b"}},
                    ]
                },
            ),
            ("other", {}),
        ],
    )
    def test_a_mask_selects_members_of_an_answer(self, fields: str, left: Any) -> None:
        """A mask selects the members that it names, with dots, slashes or brackets."""
        assert selection_of(self.ANSWER, field_mask_of(fields)) == left

    @pytest.mark.parametrize("fields", ["a(b", "a)", "a b", "ä", "x" * 1001, "a(b))", "a;b"])
    def test_a_malformed_mask_is_a_bad_request(self, fields: str) -> None:
        """A malformed mask is a bad request."""
        with pytest.raises(BadRequest, match="Invalid field selection"):
            field_mask_of(fields)

    @pytest.mark.parametrize(
        "where",
        [
            {"params": {"fields": "responses.error"}},
            {"params": {"$fields": "responses.error"}},
            {"headers": {"X-Goog-FieldMask": "responses.error"}},
        ],
    )
    def test_a_mask_is_a_parameter_or_a_header(
        self, full: tuple[Parts | str, ...], http: Client, where: dict[str, dict[str, str]]
    ) -> None:
        """A client gives a mask as a parameter or a header; each photo keeps its place."""
        body = {"requests": [wanted(["LABEL_DETECTION"]), wanted(["LOGO_DETECTION"])]}
        assert ok(http.post(full[0] + PATH, json=body, **where)) == [{}, {}]
