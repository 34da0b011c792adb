"""Azure Image Analysis' dialect: its features, by Azure's own SDK."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from azure.ai.vision.imageanalysis import ImageAnalysisClient
from azure.ai.vision.imageanalysis.aio import ImageAnalysisClient as AsyncClient
from azure.ai.vision.imageanalysis.models import VisualFeatures
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import Photo, Size
from gateway.dialects.azure.dialect import DIALECT
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider, about
from providers.detection import WHOLE, Box, Detection, Task
from tests.support.azure_vision import IMAGE, OBJECTS, PATH, PHOTO, QUERY, RAW, content_of, refusal
from tests.support.questions import answered, uniform_question


class TestObjects:
    def test_boxes_are_pixels_and_the_best_comes_first(
        self, azure: Callable[..., ImageAnalysisClient], gateway: str
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

    def test_the_wire_holds_only_what_was_requested(
        self, analyze: Callable[..., httpx.Response]
    ) -> None:
        """The reply on the wire holds the requested features, the photo's size and the model's
        version, and nothing else."""
        answer = content_of(analyze())
        assert set(answer) == {"modelVersion", "metadata", "objectsResult"}
        assert answer["modelVersion"] == "2023-10-01"
        assert answer["metadata"] == {"width": 400, "height": 200}
        for item in answer["objectsResult"]["values"]:
            assert set(item) == {"boundingBox", "tags"}
            assert {type(number) for number in item["boundingBox"].values()} == {int}
            (tag,) = item["tags"]
            assert set(tag) == {"name", "confidence"}

    def test_a_photo_without_objects_has_an_empty_list(
        self, azure: Callable[..., ImageAnalysisClient], serve: Callable[..., str]
    ) -> None:
        """If nothing is detected, the list is there, and empty."""
        assert azure(serve(lambda *_: [])).analyze(PHOTO, OBJECTS).objects.list == []

    def test_objects_below_one_half_are_left_out(
        self, azure: Callable[..., ImageAnalysisClient], serve: Callable[..., str]
    ) -> None:
        """Objects that score less than one half are left out, because the API has no parameter for
        the minimum."""
        detections = [
            Detection(name, score, Box(0.1, 0.1, 0.5, 0.5))
            for name, score in (("cat", 0.49), ("dog", 0.5))
        ]
        answer = azure(serve(lambda *_: detections)).analyze(PHOTO, OBJECTS)
        assert [item.tags[0].name for item in answer.objects.list] == ["dog"]

    def test_boxes_are_those_of_the_upright_photo(
        self, azure: Callable[..., ImageAnalysisClient], gateway: str
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
        assert [item.tags[0].name for item in answer.objects.list] == ["red", "blue"]


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
def versed(serve: Callable[..., str]) -> str:
    """The address of a gateway that detects people and reads text too."""
    return serve(text=lambda *_: READ, people=lambda *_: PEOPLE)


class TestPeople:
    def test_all_people_come_surest_first_without_names(
        self, azure: Callable[..., ImageAnalysisClient], versed: str
    ) -> None:
        """People have boxes and confidences but no names; all detections are returned, the surest
        first."""
        answer = azure(versed).analyze(PHOTO, [VisualFeatures.PEOPLE])
        assert [item.confidence for item in answer.people.list] == pytest.approx([0.9, 0.2])
        assert answer.people.list[0].bounding_box == {"x": 100, "y": 20, "w": 100, "h": 160}
        assert set(answer) == {"modelVersion", "metadata", "peopleResult"}
        assert {key for item in answer["peopleResult"]["values"] for key in item} == {
            "boundingBox",
            "confidence",
        }


class TestRead:
    def test_one_block_holds_lines_and_their_words(
        self, azure: Callable[..., ImageAnalysisClient], versed: str
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
        self, azure: Callable[..., ImageAnalysisClient], versed: str
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
        self, azure: Callable[..., ImageAnalysisClient], serve: Callable[..., str]
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
    def test_features_are_named_in_any_spelling(
        self, analyze: Callable[..., httpx.Response], query: str
    ) -> None:
        """Features are named in any case, percent-encoded or not, and optionally more than once."""
        assert "objectsResult" in content_of(analyze(params=f"api-version=2024-02-01&{query}"))

    @pytest.mark.parametrize("feature", ["adult", "celebrities"])
    def test_an_unknown_feature_is_refused_with_the_served_ones(
        self, azure: Callable[..., ImageAnalysisClient], gateway: str, feature: str
    ) -> None:
        """An unknown feature is refused by name, with a list of the served features."""
        with pytest.raises(
            HttpResponseError, match=r"objects, people, read, tags, caption.* are"
        ) as exc_info:
            azure(gateway).analyze(PHOTO, [feature])
        assert (exc_info.value.status_code, exc_info.value.error.code) == (400, "InvalidRequest")
        assert exc_info.value.error.innererror["code"] == "NotSupportedVisualFeature"
        assert feature in exc_info.value.error.message

    @pytest.mark.parametrize("feature", ["caption", "denseCaptions", "smartCrops"])
    def test_azures_own_features_need_a_route(
        self, analyze: Callable[..., httpx.Response], feature: str
    ) -> None:
        """Features that only Azure can answer are refused by name if no route leads there."""
        message = refusal(
            analyze(params={**QUERY, "features": f"objects,{feature}"}),
            400,
            "NotSupportedVisualFeature",
        )
        assert feature in message

    def test_several_features_share_one_answer(
        self, azure: Callable[..., ImageAnalysisClient], versed: str
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
        self, azure: Callable[..., ImageAnalysisClient], gateway: str
    ) -> None:
        """A feature that no route serves is refused as one that the region does not have."""
        with pytest.raises(HttpResponseError, match="No route serves the task text") as exc_info:
            azure(gateway).analyze(PHOTO, [VisualFeatures.READ])
        assert exc_info.value.error.innererror["code"] == "NotSupportedVisualFeature"

    @pytest.mark.parametrize(
        ("change", "inner", "message"),
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
        ids=[
            "no features",
            "empty features",
            "no api-version",
            "old api-version",
            "old model-version",
            "model-name",
            "language of objects",
            "language of tags",
            "narrow crop",
            "crop that is nan",
            "crop in words",
        ],
    )
    def test_a_bad_query_is_refused_by_name(
        self,
        analyze: Callable[..., httpx.Response],
        change: dict[str, str | None],
        inner: str | None,
        message: str,
    ) -> None:
        """A parameter of the query that is missing or not available here is refused by name."""
        query = {name: value for name, value in {**QUERY, **change}.items() if value is not None}
        assert message in refusal(analyze(params=query), 400, inner)

    def test_the_language_does_not_matter_for_people(
        self, azure: Callable[..., ImageAnalysisClient], versed: str
    ) -> None:
        """For people and text the language makes no difference."""
        assert azure(versed).analyze(PHOTO, [VisualFeatures.PEOPLE], language="es").people.list


class TestTags:
    def test_tags_without_a_route_are_those_of_objects(
        self, http: httpx.Client, gateway: str, azure: Callable[..., ImageAnalysisClient]
    ) -> None:
        """If no route serves labels, tags are those of the objects, each once, and the answer is
        marked so."""
        reply = http.post(
            gateway + PATH, params={**QUERY, "features": "tags"}, headers=RAW, content=PHOTO
        )
        assert [tag["name"] for tag in content_of(reply)["tagsResult"]["values"]] == ["red", "blue"]
        assert reply.headers["X-Imgrid-Labels"] == "boxes"
        assert azure(gateway).analyze(PHOTO, [VisualFeatures.TAGS]).tags.list[
            0
        ].confidence == pytest.approx(1)

    def test_tags_are_a_label_providers_surest_first(
        self, http: httpx.Client, serve: Callable[..., str]
    ) -> None:
        """If a route serves labels, tags are the provider's for the whole photo, surest first."""
        detections = [
            Detection(name, score, WHOLE, kind="LABEL")
            for name, score in (("grass", 0.6), ("outdoor", 0.9))
        ]
        address = serve(labels=lambda *_: detections, route={"stages": [{"shape": "1x1"}]})
        reply = http.post(
            address + PATH, params={**QUERY, "features": "tags"}, headers=RAW, content=PHOTO
        )
        assert content_of(reply)["tagsResult"]["values"] == [
            {"name": "outdoor", "confidence": 0.9},
            {"name": "grass", "confidence": 0.6},
        ]
        assert "X-Imgrid-Labels" not in reply.headers


CAPTION = {"text": "a red tower", "confidence": 0.8}


DENSE = {"values": [{**CAPTION, "boundingBox": {"x": 0, "y": 0, "w": 400, "h": 200}}]}


CROPS = {"values": [{"aspectRatio": 1.5, "boundingBox": {"x": 0, "y": 0, "w": 300, "h": 200}}]}


class TestExtras:
    def test_azures_own_features_are_requested_once_and_unchanged(
        self, azure: Callable[..., ImageAnalysisClient], serve: Callable[..., str]
    ) -> None:
        """The features that only Azure can answer are requested from it once for this photo alone,
        with the options of the call, and returned beside the other features."""
        raw_results = {"caption": CAPTION, "denseCaptions": DENSE, "smartCrops": CROPS}
        vendor = ScriptedProvider(
            lambda *_: [
                Detection(name, 1.0, WHOLE, details={"raw": raw})
                for name, raw in raw_results.items()
            ],
            about=about("azure", task=Task.EXTRAS, kind="azure"),
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
        assert [item.tags[0].name for item in answer.objects.list] == ["red", "blue"]
        assert [picture.data for picture in vendor.pictures] == [PHOTO]
        assert vendor.features == [
            (
                "caption?gender-neutral-caption=true",
                "denseCaptions?gender-neutral-caption=true",
                "smartCrops?smartcrops-aspect-ratios=0.9%2C1.5",
            )
        ]

    def test_places_of_extras_are_pixels_of_the_photo(
        self, azure: Callable[..., ImageAnalysisClient], serve: Callable[..., str]
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
            about=about("azure", task=Task.EXTRAS, kind="azure"),
        )
        client = azure(serve(extras={"azure": vendor}))
        turned = encoded(drawn((450, 250), Block("red", 40, 20, 120, 180)), "JPEG", orientation=6)
        for photo, size in ((PHOTO, (400, 200)), (turned, (450, 250))):
            answer = client.analyze(photo, [VisualFeatures.SMART_CROPS])
            box = answer.smart_crops.list[0].bounding_box
            assert (
                (answer.metadata.width, answer.metadata.height) == (box.width, box.height) == size
            )


boxes = st.tuples(*[st.floats(-2, 3) | st.just(float("nan"))] * 4).map(lambda sides: Box(*sides))


@given(box=boxes, size=st.builds(Size, st.integers(50, 16_000), st.integers(50, 16_000)))
def test_any_box_lies_in_the_photo_in_whole_pixels(box: Box, size: Size) -> None:
    """Any box of a provider is returned in whole pixels inside the photo."""
    photo = Photo("id", b"", "JPEG", size)
    detections = tuple(Detection("x", 1.0, box, kind=kind, key=1) for kind in ("", "LINE"))
    for task, feature in ((Task.OBJECTS, "objects"), (Task.PEOPLE, "people")):
        reply = DIALECT.render(
            uniform_question(task, [b""], options=(feature,)),
            [answered(photo, task, detections[:1])],
        )
        (value,) = json.loads(reply.body)[f"{feature}Result"]["values"]
        x, y, w, h = (value["boundingBox"][side] for side in "xywh")
        assert min(x, y) >= 0 < min(w, h)
        assert x + w <= size.width_px
        assert y + h <= size.height_px
    reply = DIALECT.render(
        uniform_question(Task.TEXT, [b""], options=("read",)),
        [answered(photo, Task.TEXT, detections[1:])],
    )
    (line,) = json.loads(reply.body)["readResult"]["blocks"][0]["lines"]
    assert len(line["boundingPolygon"]) == 4
    assert all(
        0 <= p["x"] <= size.width_px and 0 <= p["y"] <= size.height_px
        for p in line["boundingPolygon"]
    )
