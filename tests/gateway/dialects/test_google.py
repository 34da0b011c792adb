"""Google Cloud Vision's dialect: objects, batches and features, by Google's own SDK over REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from google.api_core import exceptions
from google.cloud import vision
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gateway.dialects.google.request import FEATURE_TYPES, TASK_OF_FEATURE
from gateway.testing.pictures import encoded
from providers.detection import Box, Detection, Task
from tests.support.google_vision import (
    CONTENT,
    GREEN,
    IMAGE,
    OBJECTS,
    OBJECTS_REQUEST,
    PATH,
    PHOTO,
    TEXT,
    image_request,
    object_names,
    refusal,
    rendered,
    responses_of,
)


class TestObjects:
    def test_boxes_are_fractions_and_the_best_comes_first(
        self, google: Callable[..., vision.ImageAnnotatorClient], gateway: str
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

    def test_the_wire_holds_only_the_services_members(
        self, annotate: Callable[..., httpx.Response]
    ) -> None:
        """The reply on the wire holds the service's own members and nothing else."""
        (answer,) = responses_of(annotate(OBJECTS_REQUEST))
        assert set(answer) == {"localizedObjectAnnotations"}
        assert all(
            set(each) == {"name", "score", "boundingPoly"}
            for each in answer["localizedObjectAnnotations"]
        )

    def test_a_photo_without_objects_has_an_empty_response(
        self, serve: Callable[..., str], http: httpx.Client
    ) -> None:
        """If nothing is detected, the response is there, and empty."""
        reply = http.post(serve(lambda *_: []) + PATH, json={"requests": [OBJECTS_REQUEST]})
        assert responses_of(reply) == [{}]

    def test_objects_below_one_half_are_left_out(
        self, google: Callable[..., vision.ImageAnnotatorClient], serve: Callable[..., str]
    ) -> None:
        """Objects that score less than one half are left out, because the API has no parameter for
        the minimum."""
        detections = [
            Detection(name, score, Box(0.1, 0.1, 0.5, 0.5))
            for name, score in (("cat", 0.49), ("dog", 0.5))
        ]
        assert object_names(
            google(serve(lambda *_: detections)).annotate_image(image_request(PHOTO))
        ) == ["dog"]

    def test_googles_identifier_of_a_kind_is_passed_on(
        self, google: Callable[..., vision.ImageAnnotatorClient], serve: Callable[..., str]
    ) -> None:
        """If the provider knows Google's identifier of a kind of object, it is passed on."""
        detections = [Detection("Dog", 0.9, Box(0, 0, 1, 1), details={"mid": "/m/0bt9lr"})]
        (annotation,) = (
            google(serve(lambda *_: detections))
            .annotate_image(image_request(PHOTO))
            .localized_object_annotations
        )
        assert annotation.mid == "/m/0bt9lr"

    @pytest.mark.parametrize(("max_results", "count"), [(0, 2), (1, 1), (5, 2)])
    def test_max_results_keeps_the_best(
        self,
        google: Callable[..., vision.ImageAnnotatorClient],
        gateway: str,
        max_results: int,
        count: int,
    ) -> None:
        """A client gets as many results as it requested, the best ones; without a number it gets
        all."""
        object_list = object_names(
            google(gateway).annotate_image(image_request(PHOTO, max_results=max_results))
        )
        assert object_list == ["red", "blue"][:count]

    def test_boxes_are_those_of_the_upright_photo(
        self, google: Callable[..., vision.ImageAnnotatorClient], gateway: str
    ) -> None:
        """For a JPEG that is turned by its EXIF, boxes are those of the photo as people see it."""
        answer = google(gateway).annotate_image(
            image_request(encoded(IMAGE, "JPEG", orientation=6))
        )
        (corner, *_) = answer.localized_object_annotations[0].bounding_poly.normalized_vertices
        assert corner.x == pytest.approx(0.1, abs=0.02)

    @pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
    def test_googles_formats_are_accepted(
        self, google: Callable[..., vision.ImageAnnotatorClient], gateway: str, form: str
    ) -> None:
        """The formats that Google accepts are accepted, if they can be decoded here."""
        assert (
            object_names(google(gateway).annotate_image(image_request(encoded(IMAGE, form))))[0]
            == "red"
        )


class TestBatches:
    def test_each_image_is_answered_in_its_place(
        self, google: Callable[..., vision.ImageAnnotatorClient], gateway: str
    ) -> None:
        """Each image of a call is answered separately, in its place."""
        requests = [
            image_request(PHOTO, max_results=1),
            image_request(GREEN),
            image_request(encoded(Image.new("RGB", (100, 100)))),
            image_request(PHOTO),
        ]
        answer = google(gateway).batch_annotate_images(requests=requests)
        assert [object_names(response) for response in answer.responses] == [
            ["red"],
            ["green"],
            [],
            ["red", "blue"],
        ]

    def test_sixteen_images_are_accepted(
        self, google: Callable[..., vision.ImageAnnotatorClient], gateway: str
    ) -> None:
        """Sixteen images are accepted."""
        assert (
            len(
                google(gateway)
                .batch_annotate_images(requests=[image_request(GREEN)] * 16)
                .responses
            )
            == 16
        )

    def test_seventeen_images_are_refused(
        self, google: Callable[..., vision.ImageAnnotatorClient], gateway: str
    ) -> None:
        """Seventeen images are refused in Google's words."""
        with pytest.raises(exceptions.BadRequest, match="Too many images per request"):
            google(gateway).batch_annotate_images(requests=[image_request(GREEN)] * 17)

    @pytest.mark.parametrize("body", ["{}", '{"requests": []}', '{"requests": null}'])
    def test_an_empty_call_has_an_empty_answer(
        self, annotate: Callable[..., httpx.Response], body: str
    ) -> None:
        """A call without images has an empty answer, whatever is served."""
        assert annotate(content=body).content == b"{}"

    def test_a_bad_image_fails_alone(
        self, google: Callable[..., vision.ImageAnnotatorClient], gateway: str
    ) -> None:
        """Bad images, and those that request an unserved feature, each have their own error, and
        the other images have their answers."""
        source = vision.AnnotateImageRequest(
            image={"source": {"image_uri": "https://example.com/a.jpg"}},
            features=[{"type_": OBJECTS}],
        )
        faces = image_request(PHOTO, vision.Feature.Type.FACE_DETECTION)
        requests = [
            image_request(b"no picture"),
            image_request(PHOTO),
            image_request(b""),
            source,
            faces,
            image_request(PHOTO, OBJECTS, TEXT),
            image_request(GREEN),
        ]
        answer = google(gateway).batch_annotate_images(requests=requests)
        assert [object_names(response) for response in answer.responses] == [
            [],
            ["red", "blue"],
            [],
            [],
            [],
            ["red", "blue"],
            ["green"],
        ]
        response_errors = [
            (response.error.code, response.error.message) for response in answer.responses
        ]
        assert [code for code, _ in response_errors] == [3, 0, 3, 14, 3, 3, 0]
        texts = [
            "Bad image data.",
            "",
            "Request must specify image and features.",
            "We can not access the URL",
            "No route serves the task faces",
            "No route serves the task text",
            "",
        ]
        assert all(
            text in message for text, (_, message) in zip(texts, response_errors, strict=True)
        )

    def test_too_many_pixels_are_refused_in_googles_words(
        self, serve: Callable[..., str], google: Callable[..., vision.ImageAnnotatorClient]
    ) -> None:
        """An image with too many pixels is refused in Google's words, whichever limit applies."""
        answer = google(serve(limits={"max_photo_pixels": 79_999})).annotate_image(
            image_request(PHOTO)
        )
        assert answer.error.code == 3
        assert answer.error.message.startswith("Image too large. Please limit to 75 megapixels.")

    def test_an_image_that_cannot_be_decoded_fails_alone(
        self, google: Callable[..., vision.ImageAnnotatorClient], gateway: str
    ) -> None:
        """An image that cannot be decoded has its own error too."""
        answer = google(gateway).batch_annotate_images(
            requests=[image_request(GREEN[: len(GREEN) // 2]), image_request(PHOTO)]
        )
        assert answer.responses[0].error.message.startswith("Bad image data.")
        assert object_names(answer.responses[1]) == ["red", "blue"]


class TestFeatures:
    @pytest.mark.parametrize(("number", "name"), FEATURE_TYPES.items())
    def test_features_are_named_by_number_or_name(
        self, annotate: Callable[..., httpx.Response], number: str, name: str
    ) -> None:
        """Features are named by the service's numbers or names."""
        assert vision.Feature.Type(int(number)).name == name
        requests = [
            {**OBJECTS_REQUEST, "features": [{"type": kind}]}
            for kind in (name, int(number), number)
        ]
        replies = [annotate(each) for each in requests]
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
        ids=["maxResults", "max_results", "as text", "as a float"],
    )
    def test_members_are_spelled_either_way(
        self,
        annotate: Callable[..., httpx.Response],
        feature: dict[str, Any],
    ) -> None:
        """Members are spelled either way, and numbers may come as text."""
        (answer,) = responses_of(
            annotate({**OBJECTS_REQUEST, "features": [{"type": "OBJECT_LOCALIZATION", **feature}]})
        )
        assert len(answer["localizedObjectAnnotations"]) == 1

    def test_an_unknown_feature_is_refused_with_the_served_ones(
        self, annotate: Callable[..., httpx.Response]
    ) -> None:
        """A feature that Google does not have is refused by name, with a list of the served
        features."""
        request = {**OBJECTS_REQUEST, "features": [{"type": "MIND_READING"}]}
        assert refusal(annotate(request)).startswith(
            "Not served here: MIND_READING; FACE_DETECTION, LOGO_DETECTION,"
        )

    def test_a_request_for_all_features_gets_those_with_routes(
        self, google: Callable[..., vision.ImageAnnotatorClient], gateway: str
    ) -> None:
        """The SDK asks for all features if a call names none. Those with a route are answered, and
        the error beside them says that others have none."""
        response = google(gateway).annotate_image({"image": {"content": PHOTO}})
        assert object_names(response) == ["red", "blue"]
        assert "No route serves the task" in response.error.message

    def test_an_unknown_feature_is_told_beside_the_others(
        self, google: Callable[..., vision.ImageAnnotatorClient], gateway: str
    ) -> None:
        """A feature that the gateway does not have costs the others nothing."""
        features = [{"type_": OBJECTS}, {"type_": vision.Feature.Type.TYPE_UNSPECIFIED}]
        request = {"image": {"content": PHOTO}, "features": features}
        (response,) = google(gateway).batch_annotate_images(requests=[request]).responses
        assert object_names(response) == ["red", "blue"]
        assert "Not served here: TYPE_UNSPECIFIED" in response.error.message

    def test_each_image_gets_the_features_it_requested(
        self, google: Callable[..., vision.ImageAnnotatorClient], serve: Callable[..., str]
    ) -> None:
        """One image may request objects and text, and the next text alone; each gets what it
        requested."""
        address = serve(
            text=lambda *_: [Detection("STOP", 0.9, Box(0, 0, 1, 1), kind="LINE", key=1)]
        )
        answer = google(address).batch_annotate_images(
            requests=[image_request(PHOTO, OBJECTS, TEXT), image_request(GREEN, TEXT)]
        )
        first, second = answer.responses
        assert (object_names(first), first.full_text_annotation.text) == (["red", "blue"], "STOP")
        assert (object_names(second), second.full_text_annotation.text) == ([], "STOP")

    def test_a_call_without_features_is_refused(
        self, annotate: Callable[..., httpx.Response]
    ) -> None:
        """A call without any features is refused in Google's words."""
        assert refusal(annotate({"image": {"content": CONTENT}})).startswith(
            "Request must specify image and features."
        )

    def test_a_feature_without_a_route_is_refused(
        self, google: Callable[..., vision.ImageAnnotatorClient], gateway: str
    ) -> None:
        """A feature that no route serves is refused by the name of its task."""
        with pytest.raises(exceptions.BadRequest, match="No route serves the task text"):
            google(gateway).text_detection(image=vision.Image(content=PHOTO))


numbers = st.floats(-2, 3) | st.sampled_from([float("nan"), float("inf"), -float("inf")])


boxes = st.tuples(*[numbers] * 4).map(lambda sides: Box(*sides))


labels = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(box=boxes, score=numbers, label=labels)
def test_any_object_lies_inside_the_photo(box: Box, score: float, label: str) -> None:
    """Any box and score of a provider is returned within 0 and 1 and can be read by the SDK."""
    for annotation in rendered(
        Task.OBJECTS, Detection(label, score, box)
    ).localized_object_annotations:
        assert 0.5 <= annotation.score <= 1
        vertices = annotation.bounding_poly.normalized_vertices
        assert len(vertices) == 4
        assert all(0 <= point.x <= 1 and 0 <= point.y <= 1 for point in vertices)
