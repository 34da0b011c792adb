"""Azure Computer Vision 3.2's dialect: its features, by Azure's own SDK."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from azure.cognitiveservices.vision.computervision import ComputerVisionClient
from azure.cognitiveservices.vision.computervision.models import (
    ComputerVisionErrorResponseException,
    VisualFeatureTypes,
)
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import NotServed
from gateway.core.model import Photo, Size
from gateway.dialects.azure_v32.dialect import DIALECT
from gateway.testing.pictures import encoded
from gateway.testing.provider import ScriptedProvider, about
from providers.detection import WHOLE, Box, Detection, Task, Vocabulary
from tests.support.azure_vision import IMAGE, PHOTO, RAW, content_of
from tests.support.questions import answered, uniform_question
from tests.support.web import web

ANALYZE = "/vision/v3.2/analyze"
FACES = [
    Detection("face", 0.9, Box(0.1, 0.1, 0.2, 0.3)),
    Detection("face", 0.8, Box(0.5, 0.1, 0.75, 0.9)),
    Detection("face", 0.4, Box(0.0, 0.0, 1.0, 1.0)),
]
LOGOS = [Detection("Contoso", 0.8, Box(0.25, 0.5, 0.5, 0.75))]
GRASS = [
    Detection(name, score, WHOLE, kind="LABEL")
    for name, score in (("grass", 0.6), ("outdoor", 0.9), ("sky", 0.4))
]


def rekognition_moderation(*labels: Detection) -> ScriptedProvider:
    """A provider that moderates in Rekognition's words."""
    return ScriptedProvider(
        lambda *_: labels, about=about(task=Task.MODERATION, vocabulary="rekognition")
    )


@pytest.fixture(scope="module")
def versed(serve: Callable[..., str]) -> str:
    """The address of a gateway with routes for all features."""
    return serve(
        faces=lambda *_: FACES,
        logos=lambda *_: LOGOS,
        labels=lambda *_: GRASS,
        moderation=rekognition_moderation(Detection("Explicit", 0.75, WHOLE)),
        route={"stages": [{"shape": "1x1"}]},
    )


class TestObjects:
    def test_rectangles_are_pixels_and_the_best_comes_first(
        self, azure_v32: Callable[..., ComputerVisionClient], gateway: str
    ) -> None:
        """Rectangles are whole pixels of the client's photo, confidences are 0 to 1, and the best
        comes first."""
        answer = azure_v32(gateway).detect_objects_in_stream(io.BytesIO(PHOTO))
        red, blue = answer.objects
        assert (red.object_property, blue.object_property) == ("red", "blue")
        assert (red.confidence, blue.confidence) == pytest.approx((1, 0.75))
        box = red.rectangle
        assert [box.x, box.y, box.w, box.h] == pytest.approx([40, 20, 80, 160], abs=6)
        assert red.parent is None

    def test_an_analysis_has_them_too(
        self, azure_v32: Callable[..., ComputerVisionClient], gateway: str
    ) -> None:
        """`analyze` gives the same objects as `detect`."""
        client = azure_v32(gateway)
        analysis = client.analyze_image_in_stream(io.BytesIO(PHOTO), [VisualFeatureTypes.objects])
        detection = client.detect_objects_in_stream(io.BytesIO(PHOTO))
        assert analysis.objects == detection.objects
        assert analysis.tags is None

    def test_a_photo_at_a_url_is_fetched(
        self, azure_v32: Callable[..., ComputerVisionClient], serve: Callable[..., str]
    ) -> None:
        """A photo that is given by its URL is fetched, and answered as its bytes would be."""
        client = azure_v32(serve(fetch={"allow": ["127.0.0.0/8"]}))
        with web(PHOTO) as url:
            detection = client.detect_objects(url)
            analysis = client.analyze_image(url, [VisualFeatureTypes.objects])
        assert [each.object_property for each in detection.objects] == ["red", "blue"]
        assert analysis.objects == detection.objects

    def test_objects_below_one_half_are_left_out(
        self, azure_v32: Callable[..., ComputerVisionClient], serve: Callable[..., str]
    ) -> None:
        """Objects that score less than one half are left out, as in version 4.0."""
        detections = [
            Detection(name, score, Box(0.1, 0.1, 0.5, 0.5))
            for name, score in (("cat", 0.49), ("dog", 0.5))
        ]
        answer = azure_v32(serve(lambda *_: detections)).detect_objects_in_stream(io.BytesIO(PHOTO))
        assert [each.object_property for each in answer.objects] == ["dog"]

    def test_labels_are_azures_words(
        self, azure_v32: Callable[..., ComputerVisionClient], serve: Callable[..., str]
    ) -> None:
        """A provider with another vocabulary is translated into Azure's."""
        provider = ScriptedProvider(
            lambda *_: [Detection("Cell Phone", 0.9, Box(0.1, 0.1, 0.5, 0.5))],
            about=about(vocabulary="rekognition"),
        )
        answer = azure_v32(serve(provider)).detect_objects_in_stream(io.BytesIO(PHOTO))
        assert [each.object_property for each in answer.objects] == ["cell phone"]


class TestAnswers:
    def test_the_wire_holds_only_what_was_requested(self, gateway: str, http: httpx.Client) -> None:
        """The reply holds the requested features, the request's id, the photo's size and format,
        and the model's version, and nothing else."""
        reply = http.post(gateway + ANALYZE, params={"visualFeatures": "Objects"}, content=PHOTO)
        answer = content_of(reply)
        assert set(answer) == {"objects", "requestId", "metadata", "modelVersion"}
        assert answer["metadata"] == {"width": 400, "height": 200, "format": "Jpeg"}
        assert answer["modelVersion"] == "2021-05-01"
        assert answer["requestId"] == reply.headers["apim-request-id"]
        for item in answer["objects"]:
            assert set(item) == {"rectangle", "object", "confidence"}
            assert {type(number) for number in item["rectangle"].values()} == {int}

    @pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP"])
    def test_azures_formats_are_accepted_and_named(
        self, azure_v32: Callable[..., ComputerVisionClient], gateway: str, form: str
    ) -> None:
        """The formats that version 3.2 accepts are accepted, and named as it names them."""
        photo = io.BytesIO(encoded(IMAGE, form))
        answer = azure_v32(gateway).detect_objects_in_stream(photo)
        assert answer.metadata.format == form.capitalize()
        assert [each.object_property for each in answer.objects] == ["red", "blue"]

    def test_a_form_may_hold_the_photo(self, gateway: str, http: httpx.Client) -> None:
        """The photo may come in a form."""
        reply = http.post(f"{gateway}/vision/v3.2/detect", files={"image": ("a.jpg", PHOTO)})
        assert [each["object"] for each in content_of(reply)["objects"]] == ["red", "blue"]


class TestOtherFeatures:
    def test_tags_are_labels_of_the_whole_photo(
        self, azure_v32: Callable[..., ComputerVisionClient], versed: str
    ) -> None:
        """`tag` and the feature Tags give the labels of the whole photo, surest first."""
        client = azure_v32(versed)
        tags = client.tag_image_in_stream(io.BytesIO(PHOTO)).tags
        assert [(tag.name, tag.confidence) for tag in tags] == [("outdoor", 0.9), ("grass", 0.6)]
        analysis = client.analyze_image_in_stream(io.BytesIO(PHOTO), [VisualFeatureTypes.tags])
        assert analysis.tags == tags

    def test_tags_without_a_route_are_those_of_objects(
        self, gateway: str, http: httpx.Client
    ) -> None:
        """If no route serves labels, tags are those of the objects, and the answer is marked so."""
        reply = http.post(f"{gateway}/vision/v3.2/tag", headers=RAW, content=PHOTO)
        assert [tag["name"] for tag in content_of(reply)["tags"]] == ["red", "blue"]
        assert reply.headers["X-Imgrid-Labels"] == "boxes"

    def test_faces_are_rectangles_largest_first(
        self, azure_v32: Callable[..., ComputerVisionClient], versed: str
    ) -> None:
        """Faces have rectangles and neither age nor gender, the largest first."""
        answer = azure_v32(versed).analyze_image_in_stream(
            io.BytesIO(PHOTO), [VisualFeatureTypes.faces]
        )
        boxes = [face.face_rectangle for face in answer.faces]
        assert [(box.left, box.top, box.width, box.height) for box in boxes] == [
            (200, 20, 100, 160),
            (40, 20, 40, 40),
        ]
        assert {(face.age, face.gender) for face in answer.faces} == {(None, None)}

    def test_brands_are_logos(
        self, azure_v32: Callable[..., ComputerVisionClient], versed: str
    ) -> None:
        """Brands are the logos that the route for logos finds."""
        answer = azure_v32(versed).analyze_image_in_stream(
            io.BytesIO(PHOTO), [VisualFeatureTypes.brands]
        )
        (brand,) = answer.brands
        assert (brand.name, brand.confidence) == ("Contoso", 0.8)
        box = brand.rectangle
        assert (box.x, box.y, box.w, box.h) == (100, 100, 100, 50)

    def test_several_features_share_one_answer(
        self, azure_v32: Callable[..., ComputerVisionClient], versed: str
    ) -> None:
        """Several features are answered in one answer, in any spelling and order."""
        answer = azure_v32(versed).analyze_image_in_stream(
            io.BytesIO(PHOTO), ["tags", "OBJECTS", "Faces", "faces"]
        )
        assert [each.object_property for each in answer.objects] == ["red", "blue"]
        assert len(answer.tags) == 2
        assert len(answer.faces) == 2
        assert answer.adult is None


class TestAdult:
    def test_moderation_in_a_vendors_words_is_scored(
        self, azure_v32: Callable[..., ComputerVisionClient], versed: str
    ) -> None:
        """A label of Rekognition's is the score of its category, and a category is said of a photo
        from one half on."""
        adult = (
            azure_v32(versed)
            .analyze_image_in_stream(io.BytesIO(PHOTO), [VisualFeatureTypes.adult])
            .adult
        )
        assert (adult.is_adult_content, adult.adult_score) == (True, 0.75)
        assert (adult.is_racy_content, adult.racy_score) == (False, 0)
        assert (adult.is_gory_content, adult.gore_score) == (False, 0)

    @pytest.mark.parametrize("vocabulary", ["", "coco"])
    def test_moderation_in_other_words_is_refused(
        self,
        azure_v32: Callable[..., ComputerVisionClient],
        serve: Callable[..., str],
        vocabulary: Vocabulary,
    ) -> None:
        """A provider whose words have no translation into Azure's three is not asked, for its
        answer would be no ground to call a photo clean."""
        provider = ScriptedProvider(
            lambda *_: [Detection("nsfw", 0.9, WHOLE)],
            about=about(task=Task.MODERATION, vocabulary=vocabulary),
        )
        client = azure_v32(serve(moderation=provider, route={"stages": [{"shape": "1x1"}]}))
        with pytest.raises(
            ComputerVisionErrorResponseException, match="no translation into azure's"
        ) as exc_info:
            client.analyze_image_in_stream(io.BytesIO(PHOTO), [VisualFeatureTypes.adult])
        assert exc_info.value.error.error.innererror.code == "NotSupportedVisualFeature"
        assert provider.calls == 0

    def test_a_fallbacks_answer_in_other_words_is_refused(self) -> None:
        """If another provider answered than the route's, and in other words, the photo is not
        called clean either."""
        photo = Photo("id", b"", "JPEG", Size(100, 100))
        answer = answered(photo, Task.MODERATION, [Detection("nsfw", 0.9, WHOLE)])
        with pytest.raises(NotServed, match="do not say how adult, racy and gory"):
            DIALECT.render(
                uniform_question(Task.MODERATION, [b""], options=("adult",)),
                [answer],
            )


boxes = st.tuples(*[st.floats(-2, 3) | st.just(float("nan"))] * 4).map(lambda sides: Box(*sides))


@given(box=boxes, size=st.builds(Size, st.integers(50, 10_000), st.integers(50, 10_000)))
def test_any_box_lies_in_the_photo_in_whole_pixels(box: Box, size: Size) -> None:
    """Any box of a provider is returned in whole pixels inside the photo."""
    photo = Photo("id", b"", "JPEG", size)
    members: dict[Task, tuple[str, Callable[[Any], Any]]] = {
        Task.OBJECTS: ("objects", lambda item: list(item["rectangle"].values())),
        Task.LOGOS: ("brands", lambda item: list(item["rectangle"].values())),
        Task.FACES: ("faces", lambda item: list(item["faceRectangle"].values())),
    }
    for task, (feature, sides) in members.items():
        reply = DIALECT.render(
            uniform_question(task, [b""], options=(feature,)),
            [answered(photo, task, [Detection("x", 1.0, box)])],
        )
        (item,) = json.loads(reply.body)[feature]
        x, y, width, height = sides(item)
        assert min(x, y) >= 0 < min(width, height)
        assert x + width <= size.width_px
        assert y + height <= size.height_px
