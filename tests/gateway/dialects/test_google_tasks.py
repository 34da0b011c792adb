"""All of Google Cloud Vision's features, by its SDK over REST and gRPC, with answers held to the
service's messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from google.api_core import exceptions
from google.cloud import vision
from google.protobuf import json_format

from gateway.testing.provider import ScriptedProvider, about, see_shapes
from gateway.wiring.parts import Parts
from providers.base import Picture
from providers.detection import WHOLE, Box, Detection, Landmark, Task
from tests.support.google_vision import (
    EXTRAS,
    PATH,
    PHOTO,
    ExtrasProvider,
    features_request,
    responses_of,
)

Feature, Likelihood = vision.Feature.Type, vision.Likelihood


RAW_FACE = {
    "rollAngle": 1.5,
    "panAngle": -2.5,
    "tiltAngle": 0.0,
    "landmarkingConfidence": 0.75,
    "joyLikelihood": 5,
    "sorrowLikelihood": 1,
    "angerLikelihood": 0,
    "surpriseLikelihood": 9,
    "underExposedLikelihood": 2,
    "blurredLikelihood": 3,
    "headwearLikelihood": 4,
}


def faces(picture: Picture, task: Task) -> list[Detection]:
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
            details={"vendor": "google", "raw": RAW_FACE},
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


@pytest.fixture(scope="module")
def extras() -> ExtrasProvider:
    return ExtrasProvider()


@pytest.fixture(scope="module")
def full(
    start_gateway: Callable[..., tuple[str, Parts]], extras: ExtrasProvider
) -> tuple[str, Parts]:
    """A gateway that serves every task by both transports: its REST address and its parts."""
    alone = {"stages": [{"shape": "1x1"}]}
    return start_gateway(
        faces=faces,
        labels=lambda *_: LABELS,
        moderation=lambda *_: SAFE,
        logos=lambda *_: [LOGO],
        text=lambda *_: [LINE],
        extras={"google": extras},
        route=alone,
        grpc={"listen": "127.0.0.1:0"},
    )


@pytest.fixture(params=["rest", "grpc"])
def client(
    request: pytest.FixtureRequest,
    google_client: Callable[[str, tuple[str, Parts]], vision.ImageAnnotatorClient],
    full: tuple[str, Parts],
) -> vision.ImageAnnotatorClient:
    return google_client(request.param, full)


def response_to(
    client: vision.ImageAnnotatorClient,
    *names: str,
    context: dict[str, Any] | None = None,
    **feature: Any,
) -> vision.AnnotateImageResponse:
    """The response to one photo, held to the service's messages as it is on the wire."""
    features = [vision.Feature(type_=Feature[name], **feature) for name in names]
    request = vision.AnnotateImageRequest(
        image={"content": PHOTO}, features=features, image_context=context
    )
    (response,) = client.batch_annotate_images(requests=[request]).responses
    return response


class TestFaces:
    def test_faces_have_polygons_and_landmarks_in_pixels(
        self, client: vision.ImageAnnotatorClient
    ) -> None:
        """Faces have both polygons in whole pixels of the client's photo, and landmarks in pixels
        with their depth."""
        face, small = response_to(client, "FACE_DETECTION").face_annotations
        assert small.detection_confidence < face.detection_confidence == 1
        for poly in (face.bounding_poly, face.fd_bounding_poly):
            corners = [(point.x, point.y) for point in poly.vertices]
            assert corners == [
                (pytest.approx(x, abs=4), pytest.approx(y, abs=4))
                for x, y in ((40, 20), (120, 20), (120, 180), (40, 180))
            ]
        (eye,) = face.landmarks  # the others have no name here, or no place
        assert eye.type_.name == "LEFT_EYE"
        assert (eye.position.x, eye.position.y) == (
            pytest.approx(40, abs=4),
            pytest.approx(20, abs=4),
        )
        assert eye.position.z == pytest.approx(40)

    def test_googles_angles_and_likelihoods_are_passed_on(
        self, client: vision.ImageAnnotatorClient
    ) -> None:
        """Angles and likelihoods are those that Google returned; one that is not a number or a
        likelihood is left out."""
        face = response_to(client, "FACE_DETECTION", max_results=1).face_annotations[0]
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

    def test_max_results_keeps_the_surest_faces(self, client: vision.ImageAnnotatorClient) -> None:
        """No more faces are returned than were requested, the surest first."""
        assert len(response_to(client, "FACE_DETECTION", max_results=1).face_annotations) == 1

    def test_another_vendors_face_has_googles_members(
        self, serve: Callable[..., str], http: httpx.Client
    ) -> None:
        """Another vendor's facts about a face are returned in Google's members."""
        details = {"pose": [1.0, 2.0, 3.0], "emotions": {"joy": 0.9, "sorrow": 0.1}}
        address = serve(
            faces=lambda *_: [Detection("Face", 0.8, Box(0.1, 0.1, 0.5, 0.9), details=details)]
        )
        (response,) = responses_of(
            http.post(address + PATH, json={"requests": [features_request(["FACE_DETECTION"])]})
        )
        (face,) = response["faceAnnotations"]
        assert (face["rollAngle"], face["panAngle"], face["tiltAngle"]) == (1.0, 2.0, 3.0)
        assert (face["joyLikelihood"], face["sorrowLikelihood"]) == ("VERY_LIKELY", "VERY_UNLIKELY")
        assert (face["angerLikelihood"], face["landmarkingConfidence"]) == ("UNKNOWN", 0.0)


class TestLabels:
    def test_a_providers_labels_come_surest_first(
        self, client: vision.ImageAnnotatorClient
    ) -> None:
        """A provider's labels come with their scores, the surest first, without those that score
        below one half."""
        sunset, dog = response_to(client, "LABEL_DETECTION").label_annotations
        assert (sunset.description, dog.description, dog.mid) == ("Sunset", "Dog", "/m/0bt9lr")
        assert (sunset.score, sunset.topicality) == (pytest.approx(0.95), pytest.approx(0.95))
        assert (dog.score, dog.topicality) == (pytest.approx(0.9), pytest.approx(0.6))

    def test_max_results_keeps_the_surest_labels(self, client: vision.ImageAnnotatorClient) -> None:
        """No more labels are returned than were requested."""
        (sunset,) = response_to(client, "LABEL_DETECTION", max_results=1).label_annotations
        assert sunset.description == "Sunset"

    def test_labels_without_a_route_are_those_of_boxes(
        self, serve: Callable[..., str], http: httpx.Client
    ) -> None:
        """If no route serves labels, they are those of the boxes, each once with its best score,
        and marked so."""
        detections = [
            Detection(name, score, Box(0.1, 0.1, 0.5, 0.5))
            for name, score in (("cat", 0.6), ("dog", 0.8), ("cat", 0.9), ("owl", 0.4))
        ]
        address = serve(lambda *_: detections)
        reply = http.post(
            address + PATH, json={"requests": [features_request(["LABEL_DETECTION"])]}
        )
        (response,) = responses_of(reply)
        assert [
            (label["description"], label["score"]) for label in response["labelAnnotations"]
        ] == [
            ("cat", 0.9),
            ("dog", 0.8),
        ]
        assert reply.headers["X-Imgrid-Labels"] == "boxes"

    def test_a_providers_labels_are_not_marked(
        self, full: tuple[str, Parts], http: httpx.Client
    ) -> None:
        """A provider's labels are not marked, nor is an answer without labels."""
        reply = http.post(
            full[0] + PATH,
            json={
                "requests": [
                    features_request(["LABEL_DETECTION"]),
                    features_request(["LOGO_DETECTION"]),
                ]
            },
        )
        assert responses_of(reply)
        assert "X-Imgrid-Labels" not in reply.headers


class TestSafeSearch:
    GRADES = ("adult", "spoof", "medical", "violence", "racy")

    def likelihoods(self, response: vision.AnnotateImageResponse) -> list[int]:
        return [getattr(response.safe_search_annotation, name).value for name in self.GRADES]

    def test_all_five_likelihoods_are_the_providers(
        self, client: vision.ImageAnnotatorClient
    ) -> None:
        """All five likelihoods are those that the provider returned."""
        assert self.likelihoods(response_to(client, "SAFE_SEARCH_DETECTION")) == [5, 1, 0, 3, 2]

    @pytest.mark.parametrize(
        ("detections", "grades"),
        [
            ([], ["VERY_UNLIKELY"] * 5),
            ([Detection("adult", 0.75, WHOLE)], ["LIKELY", *["UNKNOWN"] * 4]),
            ([Detection("Weapons", 0.9, WHOLE)], ["UNKNOWN"] * 5),
        ],
        ids=["cleared", "score", "other label"],
    )
    def test_scores_become_the_nearest_likelihoods(
        self,
        serve: Callable[..., str],
        http: httpx.Client,
        detections: list[Detection],
        grades: list[str],
    ) -> None:
        """A cleared photo is very unlikely in every category; a score becomes the nearest
        likelihood, and a category without a score is unknown."""
        address = serve(moderation=lambda *_: detections, route={"stages": [{"shape": "1x1"}]})
        (response,) = responses_of(
            http.post(
                address + PATH, json={"requests": [features_request(["SAFE_SEARCH_DETECTION"])]}
            )
        )
        assert response == {"safeSearchAnnotation": dict(zip(self.GRADES, grades, strict=True))}


def test_logos_have_their_corners_in_pixels(client: vision.ImageAnnotatorClient) -> None:
    """Logos have their corners in pixels."""
    (logo,) = response_to(client, "LOGO_DETECTION").logo_annotations
    assert (logo.description, logo.mid, logo.score) == ("Acme", "/m/0acme", pytest.approx(0.9))
    assert [(point.x, point.y) for point in logo.bounding_poly.vertices] == [
        (40, 20),
        (164, 20),
        (160, 120),
        (40, 120),
    ]


class TestExtras:
    @pytest.mark.parametrize("name", EXTRAS)
    def test_the_vendors_own_answers_are_passed_through(
        self, client: vision.ImageAnnotatorClient, name: str
    ) -> None:
        """Answers that only the vendor can give are passed through unchanged."""
        expected = vision.AnnotateImageResponse.pb()()
        json_format.ParseDict(EXTRAS[name], expected)
        assert vision.AnnotateImageResponse.pb(response_to(client, name)) == expected

    def test_the_vendor_is_asked_once_with_each_features_options(
        self, client: vision.ImageAnnotatorClient, extras: ExtrasProvider
    ) -> None:
        """The vendor is asked once for all features of this photo, as it came, with the options
        that apply to each."""
        context = {
            "crop_hints_params": {"aspect_ratios": [1.5]},
            "web_detection_params": {"include_geo_results": True},
            "lat_long_rect": {"min_lat_lng": {"latitude": 1.5}},
        }
        calls = extras.calls
        response_to(
            client,
            "CROP_HINTS",
            "WEB_DETECTION",
            "IMAGE_PROPERTIES",
            context=context,
            max_results=3,
        )
        assert extras.calls == calls + 1
        assert extras.pictures[-1].data == PHOTO
        options = {
            item.partition("?")[0]: parse_qs(item.partition("?")[2]) for item in extras.features[-1]
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

    def test_a_call_without_features_gets_all_of_them(
        self, client: vision.ImageAnnotatorClient
    ) -> None:
        """The SDK asks for all features if a call names none, and gets all answers."""
        response = client.annotate_image({"image": {"content": PHOTO}})
        assert response.error.code == 0
        members = {
            field.name for field, _ in vision.AnnotateImageResponse.pb(response).ListFields()
        }
        assert (
            len(members) == 12
        )  # as many as features: text comes in two forms, of which document text is one

    def test_all_features_on_the_wire_fit_the_services_messages(
        self, full: tuple[str, Parts], http: httpx.Client
    ) -> None:
        """On the wire the answers to all features fit the service's messages."""
        (response,) = responses_of(
            http.post(
                full[0] + PATH, json={"requests": [features_request(list(Feature.__members__)[1:])]}
            )
        )
        assert len(response) == 12

    @pytest.mark.parametrize("transport", ["rest", "grpc"])
    @pytest.mark.parametrize(
        ("features", "message"),
        [
            ([{"type_": Feature.CROP_HINTS, "model": "x" * 65}], "at most 64 are taken"),
            ([{"type_": Feature.CROP_HINTS}] * 101, "Too many features per image"),
        ],
        ids=["long model", "many features"],
    )
    def test_models_and_features_are_limited(
        self,
        google_client: Callable[[str, tuple[str, Parts]], vision.ImageAnnotatorClient],
        full: tuple[str, Parts],
        transport: str,
        features: list[dict[str, Any]],
        message: str,
    ) -> None:
        """The length of a model's name and the number of features are limited."""
        with pytest.raises(exceptions.BadRequest, match=message):
            google_client(transport, full).annotate_image(
                {"image": {"content": PHOTO}, "features": features}
            )


class TestContext:
    def test_photos_with_language_hints_share_no_text_canvas(
        self,
        start_gateway: Callable[..., tuple[str, Parts]],
        google_client: Callable[[str, tuple[str, Parts]], vision.ImageAnnotatorClient],
    ) -> None:
        """Photos with language hints share no canvas for their text; for objects they may."""
        reader, finder = (
            ScriptedProvider(about=about("text", task=Task.TEXT)),
            ScriptedProvider(),
        )
        client = google_client("rest", start_gateway(objects=finder, text=reader))
        features = [{"type_": Feature.TEXT_DETECTION}, {"type_": Feature.OBJECT_LOCALIZATION}]
        hinted = {
            "image": {"content": PHOTO},
            "features": features,
            "image_context": {"language_hints": ["de"]},
        }
        client.batch_annotate_images(requests=[hinted] * 2)
        assert [picture.data for picture in reader.pictures] == [PHOTO] * 2
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
        ids=[
            "hints as text",
            "number as hint",
            "17 ratios",
            "params as list",
            "latitude as text",
            "half a pixel",
            "too deep",
            "too long",
            "list",
            "text",
        ],
    )
    def test_a_wrong_context_is_a_bad_request(
        self, full: tuple[str, Parts], http: httpx.Client, context: Any
    ) -> None:
        """A context of another form than Google's is a bad request."""
        reply = http.post(
            full[0] + PATH,
            json={"requests": [features_request(["CROP_HINTS"], imageContext=context)]},
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
        ids=["underscores", "null and unknown"],
    )
    def test_members_may_have_underscores_be_null_or_unknown(
        self,
        full: tuple[str, Parts],
        http: httpx.Client,
        context: Any,
    ) -> None:
        """Members may be spelled with underscores, be null or be unknown."""
        first = {"aspectRatios": [1.5, 2]}
        cases = (
            [context, {"cropHintsParams": first}]
            if "cropHintsParams" in context
            else [{"cropHintsParams": first}]
        )
        for case in cases:
            assert responses_of(
                http.post(
                    full[0] + PATH,
                    json={"requests": [features_request(["CROP_HINTS"], image_context=case)]},
                )
            )
