"""Rekognition's other operations, by boto3, with answers held to the service's own model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from gateway.core.errors import BadRequest
from gateway.dialects.rekognition.request import read
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider, about, see_shapes
from providers.base import Picture
from providers.detection import CONTENT_TYPE, WHOLE, Box, Detection, Landmark, Task
from tests.support.rekognition_model import content_of
from tests.support.s3_server import s3_client, s3_server
from tests.support.sources import S3_KEY

PHOTO = encoded(
    drawn((400, 200), Block("red", 40, 20, 120, 180), Block("blue", 200, 50, 230, 80)), "JPEG"
)
SMALL = encoded(drawn((70, 70), Block("red", 10, 10, 60, 60)))
MAIN = {"Image": {"Bytes": PHOTO}}
QUALITY = {"Brightness": 70.0, "Sharpness": 90.0}
POSE = {"Roll": 1.0, "Yaw": -2.0, "Pitch": 3.0}


def faces(picture: Picture, task: Task) -> list[Detection]:
    """A face for every shape, with its left eye at the shape's upper left corner, and Rekognition's
    own members."""
    raw = {
        "Pose": POSE,
        "Quality": QUALITY,
        "Smile": {"Value": True, "Confidence": 90.0},
        "AgeRange": {"Low": 20, "High": 30},
        "Emotions": [{"Type": "HAPPY", "Confidence": 95.0}],
        "Gender": {"Value": "Female", "Confidence": 99.0},
    }
    return [
        Detection(
            "Face",
            each.score,
            each.box,
            landmarks=(Landmark("eyeLeft", each.box.x0, each.box.y0),),
            details={"vendor": "rekognition", "raw": raw},
        )
        for each in see_shapes(picture, task)
    ]


class TestFaces:
    @pytest.fixture(scope="class")
    @classmethod
    def aws(cls, serve: Callable[..., str], rekognition: Callable[..., Any]) -> Any:
        return rekognition(serve(faces=faces))

    def test_faces_come_largest_first_in_fractions(self, aws: Any) -> None:
        """Faces come largest first, with boxes and landmarks as fractions of the client's own
        photo."""
        content = content_of("DetectFaces", aws.detect_faces(**MAIN))
        large, small = content["FaceDetails"]
        assert large["BoundingBox"] == pytest.approx(
            {"Left": 0.1, "Top": 0.1, "Width": 0.2, "Height": 0.8}, abs=0.02
        )
        (eye,) = large["Landmarks"]
        assert (eye["Type"], eye["X"], eye["Y"]) == (
            "eyeLeft",
            pytest.approx(0.1, abs=0.02),
            pytest.approx(0.1, abs=0.02),
        )
        assert small["Confidence"] < large["Confidence"] == 100

    @pytest.mark.parametrize(
        ("attributes", "extra_members"),
        [
            ({}, set()),
            ({"Attributes": ["DEFAULT"]}, set()),
            ({"Attributes": ["SMILE", "AGE_RANGE"]}, {"Smile", "AgeRange"}),
            ({"Attributes": ["DEFAULT", "EMOTIONS"]}, {"Emotions"}),
            ({"Attributes": ["ALL"]}, {"Smile", "AgeRange", "Emotions", "Gender"}),
        ],
        ids=["default", "DEFAULT", "two", "DEFAULT and one", "ALL"],
    )
    def test_a_face_has_the_requested_attributes(
        self, aws: Any, attributes: dict[str, list[str]], extra_members: set[str]
    ) -> None:
        """A face has the default attributes, and those that are requested if they are known."""
        (face, *_) = content_of("DetectFaces", aws.detect_faces(**MAIN, **attributes))[
            "FaceDetails"
        ]
        assert (
            set(face)
            == {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"} | extra_members
        )

    def test_an_unknown_attribute_is_an_invalid_parameter(self, aws: Any) -> None:
        """An unknown attribute is an invalid parameter."""
        with pytest.raises(aws.exceptions.InvalidParameterException, match="Attributes"):
            aws.detect_faces(**MAIN, Attributes=["HAIR"])

    def test_another_vendors_face_has_rekognitions_members(
        self, serve: Callable[..., str], rekognition: Callable[..., Any]
    ) -> None:
        """Another vendor's facts about a face are returned in Rekognition's members."""
        details = {"pose": [1.0, 2.0, 3.0], "emotions": {"joy": 0.9, "sorrow": 0.1}}
        address = serve(
            faces=lambda *_: [Detection("Face", 0.8, Box(0.1, 0.1, 0.5, 0.9), details=details)]
        )
        (face,) = content_of(
            "DetectFaces", rekognition(address).detect_faces(**MAIN, Attributes=["ALL"])
        )["FaceDetails"]
        assert face["Pose"] == {"Roll": 1.0, "Yaw": 2.0, "Pitch": 3.0}
        assert face["Emotions"] == [
            {"Type": "HAPPY", "Confidence": 90.0},
            {"Type": "SAD", "Confidence": 10.0},
        ]


class TestCelebrities:
    def test_celebrities_come_by_name_and_other_faces_beside(
        self, serve: Callable[..., str], rekognition: Callable[..., Any]
    ) -> None:
        """A recognised person is returned by name with links, and other faces are returned
        beside."""

        def detections(*_: object) -> list[Detection]:
            face = {
                "Pose": POSE,
                "Quality": QUALITY,
                "Confidence": 99.0,
                "Emotions": [],
                "Smile": {"Value": True, "Confidence": 80.0},
            }
            raw = {
                "Id": "3Ir0du6",
                "Urls": ["www.example.com"],
                "KnownGender": {"Type": "Female"},
                "Face": face,
            }
            return [
                Detection(
                    "Ada",
                    0.97,
                    Box(0.1, 0.1, 0.4, 0.6),
                    kind="CELEBRITY",
                    details={"vendor": "rekognition", "raw": raw},
                ),
                Detection(
                    "Face",
                    0.9,
                    Box(0.6, 0.1, 0.9, 0.6),
                    kind="FACE",
                    details={"raw": {"Face": face}},
                ),
            ]

        address = serve(celebrities=detections, route={"stages": [{"shape": "1x1"}]})
        content = content_of(
            "RecognizeCelebrities", rekognition(address).recognize_celebrities(**MAIN)
        )
        (ada,), (stranger,) = content["CelebrityFaces"], content["UnrecognizedFaces"]
        assert (ada["Name"], ada["MatchConfidence"], ada["Id"], ada["Face"]["Confidence"]) == (
            "Ada",
            97.0,
            "3Ir0du6",
            99.0,
        )
        assert stranger["BoundingBox"]["Left"] == pytest.approx(0.6)


class TestModeration:
    FOUND = (
        Detection("Violence", 0.9, WHOLE, details={"parent": "", "level": 1, "version": "7.1"}),
        Detection("Weapons", 0.9, WHOLE, details={"parent": "Violence", "level": 2}),
        Detection("Smoking", 0.3, WHOLE, details={"parent": "Drugs & Tobacco", "level": 2}),
        Detection("Illustrated", 0.0, WHOLE, CONTENT_TYPE, details={"confidence": 84.0}),
        Detection("racy", 0.0, WHOLE, details={"graded": True, "likelihood": 0}),
    )

    @pytest.fixture(scope="class")
    @classmethod
    def aws(cls, serve: Callable[..., str], rekognition: Callable[..., Any]) -> Any:
        return rekognition(
            serve(moderation=lambda *_: cls.FOUND, route={"stages": [{"shape": "1x1"}]})
        )

    def test_labels_come_with_parents_from_50_percent(self, aws: Any) -> None:
        """Labels come with their parents and their level, from 50 percent by default."""
        content = content_of("DetectModerationLabels", aws.detect_moderation_labels(**MAIN))
        assert [
            (row["Name"], row["ParentName"], row["TaxonomyLevel"])
            for row in content["ModerationLabels"]
        ] == [
            ("Violence", "", 1),
            ("Weapons", "Violence", 2),
        ]
        assert content["ModerationModelVersion"] == "7.1"

    def test_content_types_are_as_the_vendor_gave_them(self, aws: Any) -> None:
        """The content types of a photo that was asked about alone are those of the vendor."""
        content = content_of("DetectModerationLabels", aws.detect_moderation_labels(**MAIN))
        assert content["ContentTypes"] == [{"Confidence": 84.0, "Name": "Illustrated"}]

    def test_min_confidence_decides_which_labels_come(self, aws: Any) -> None:
        """MinConfidence decides which labels are returned."""
        for min_confidence, count in ((0, 3), (20, 3), (95, 0)):
            content = content_of(
                "DetectModerationLabels",
                aws.detect_moderation_labels(**MAIN, MinConfidence=min_confidence),
            )
            assert len(content["ModerationLabels"]) == count

    def test_a_call_with_an_adapter_is_refused(self, aws: Any) -> None:
        """A call that only the vendor can answer, with an adapter or reviewers, is refused by name
        here."""
        with pytest.raises(ClientError, match="DetectModerationLabels is not handed on"):
            aws.detect_moderation_labels(
                **MAIN, ProjectVersion="arn:aws:rekognition:eu-west-1:1:project/p/version/v/1"
            )


class TestEquipment:
    @staticmethod
    def seen(*_: object) -> list[Detection]:
        """A person with a helmet and bare hands, one without visible parts, and one that is
        uncertain."""
        part = "name", "confidence"
        helmet = {"part": "HEAD", "covers": {"value": True, "confidence": 0.99}}
        parts = [
            dict(zip(part, each, strict=True)) for each in (("HEAD", 0.99), ("LEFT_HAND", 0.95))
        ]
        return [
            Detection(
                "Person",
                0.99,
                Box(0.0, 0.0, 0.3, 1.0),
                kind="PERSON",
                key=7,
                details={"parts": parts},
            ),
            Detection(
                "HEAD_COVER",
                0.98,
                Box(0.1, 0.0, 0.2, 0.1),
                kind="EQUIPMENT",
                parent=7,
                details=helmet,
            ),
            Detection(
                "Person", 0.9, Box(0.35, 0.0, 0.6, 1.0), kind="PERSON", key=9, details={"parts": []}
            ),
            Detection(
                "Person",
                0.5,
                Box(0.65, 0.0, 0.9, 1.0),
                kind="PERSON",
                key=11,
                details={"parts": parts},
            ),
        ]

    @pytest.fixture(scope="class")
    @classmethod
    def aws(cls, serve: Callable[..., str], rekognition: Callable[..., Any]) -> Any:
        return rekognition(
            serve(equipment=TestEquipment.seen, route={"stages": [{"shape": "1x1"}]})
        )

    def test_persons_are_numbered_with_parts_and_equipment(self, aws: Any) -> None:
        """Persons are numbered from 0, with the parts of their bodies and the equipment on each."""
        content = content_of("DetectProtectiveEquipment", aws.detect_protective_equipment(**MAIN))
        assert [person["Id"] for person in content["Persons"]] == [0, 1, 2]
        head, hand = content["Persons"][0]["BodyParts"]
        (cover,) = head["EquipmentDetections"]
        assert (head["Name"], cover["Type"], cover["CoversBodyPart"]["Value"]) == (
            "HEAD",
            "HEAD_COVER",
            True,
        )
        assert hand["EquipmentDetections"] == []
        assert "Summary" not in content

    @pytest.mark.parametrize(
        ("required", "summary"),
        [
            (["HEAD_COVER"], ([0], [], [1, 2])),
            (["HEAD_COVER", "HAND_COVER"], ([], [0], [1, 2])),
            (["FACE_COVER"], ([], [], [0, 1, 2])),
        ],
        ids=["head", "head and hands", "face"],
    )
    def test_a_summary_counts_the_required_equipment(
        self, aws: Any, required: list[str], summary: tuple[list[int], list[int], list[int]]
    ) -> None:
        """The persons with all required equipment, those without, and those that are uncertain are
        computed for each client."""
        attributes = {"MinConfidence": 80, "RequiredEquipmentTypes": required}
        result = content_of(
            "DetectProtectiveEquipment",
            aws.detect_protective_equipment(**MAIN, SummarizationAttributes=attributes),
        )["Summary"]
        kinds = (
            "PersonsWithRequiredEquipment",
            "PersonsWithoutRequiredEquipment",
            "PersonsIndeterminate",
        )
        assert tuple(result[kind] for kind in kinds) == summary

    def test_equipment_has_limits_of_its_own(self, aws: Any) -> None:
        """Its limits differ: photos need 64 pixels, and have at most 4 MB."""
        assert aws.detect_protective_equipment(Image={"Bytes": SMALL})["Persons"]
        with pytest.raises(aws.exceptions.ImageTooLargeException):
            aws.detect_protective_equipment(Image={"Bytes": PHOTO + bytes(4_194_304)})


class TestLabels:
    FOUND = (
        Detection(
            "Dog",
            0.98,
            WHOLE,
            kind="LABEL",
            details={"parents": ("Animal",), "categories": ("Animals and Pets",)},
        ),
        Detection(
            "Animal", 0.98, WHOLE, kind="LABEL", details={"categories": ("Animals and Pets",)}
        ),
        Detection("Grass", 0.8, WHOLE, kind="LABEL"),
        Detection(
            "Dog", 0.7, Box(0.1, 0.1, 0.5, 0.9), kind="INSTANCE", details={"parents": ("Animal",)}
        ),
    )

    @pytest.fixture(scope="class")
    @classmethod
    def aws(cls, serve: Callable[..., str], rekognition: Callable[..., Any]) -> Any:
        raw = {"Quality": {"Brightness": 1.0, "Sharpness": 2.0, "Contrast": 3.0}}
        cls.colours = ScriptedProvider(
            lambda *_: [Detection("IMAGE_PROPERTIES", 1.0, WHOLE, details={"raw": raw})],
            about=about("rekognition", task=Task.EXTRAS, kind="rekognition"),
        )
        return rekognition(
            serve(
                labels=lambda *_: cls.FOUND,
                extras={"rekognition": cls.colours},
                route={"stages": [{"shape": "1x1"}]},
            )
        )

    def test_labels_without_boxes_come_from_a_labels_route(self, aws: Any) -> None:
        """If a route serves labels, those without a box come too, and a label's confidence is its
        own."""
        content = content_of("DetectLabels", aws.detect_labels(**MAIN))
        assert [(row["Name"], len(row["Instances"])) for row in content["Labels"]] == [
            ("Dog", 1),
            ("Animal", 0),
            ("Grass", 0),
        ]
        dog = content["Labels"][0]
        assert (dog["Confidence"], dog["Instances"][0]["Confidence"]) == (98.0, 70.0)

    def test_image_properties_come_beside_labels_or_alone(self, aws: Any) -> None:
        """Image properties come beside labels, or alone; the vendor gets this one photo as it
        came."""
        combined = content_of(
            "DetectLabels",
            aws.detect_labels(**MAIN, Features=["GENERAL_LABELS", "IMAGE_PROPERTIES"]),
        )
        assert combined["Labels"]
        assert combined["ImageProperties"]["Quality"]["Contrast"] == 3.0
        alone = aws.detect_labels(
            **MAIN,
            Features=["IMAGE_PROPERTIES"],
            Settings={"ImageProperties": {"MaxDominantColors": 5}},
        )
        assert set(content_of("DetectLabels", alone)) == {"ImageProperties"}

    def test_labels_are_the_default_feature(self, aws: Any) -> None:
        """If no feature is named, labels are returned."""
        content = aws.detect_labels(**MAIN, Features=[], MaxLabels=1)
        assert [row["Name"] for row in content["Labels"]] == ["Dog"]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"Features": ["IMAGE_PROPERTIES"], "MaxLabels": 3},
            {"Features": ["IMAGE_PROPERTIES"], "MinConfidence": 3},
            {"Settings": {"ImageProperties": {"MaxDominantColors": 3}}},
            {
                "Features": ["IMAGE_PROPERTIES"],
                "Settings": {"ImageProperties": {"MaxDominantColors": 21}},
            },
            {"Features": ["X"]},
            {"Features": ["GENERAL_LABELS"] * 3},
        ],
        ids=[
            "MaxLabels",
            "MinConfidence",
            "colours without the feature",
            "21 colours",
            "unknown feature",
            "three features",
        ],
    )
    def test_options_of_unrequested_features_are_invalid(
        self,
        aws: Any,
        wrong: dict[str, Any],
    ) -> None:
        """Options of a feature that is not requested, and values that Rekognition would refuse, are
        invalid."""
        with pytest.raises(aws.exceptions.InvalidParameterException):
            aws.detect_labels(**MAIN, **wrong)


@pytest.mark.parametrize(
    ("operation", "options"),
    [
        (
            "DetectText",
            {"Filters": {"RegionsOfInterest": [{"Polygon": [{"X": 0.1, "Y": 0.1}] * 11}]}},
        ),
        ("DetectFaces", {"Attributes": ["ALL"] * 101}),
        (
            "DetectProtectiveEquipment",
            {
                "SummarizationAttributes": {
                    "MinConfidence": 1,
                    "RequiredEquipmentTypes": ["HEAD_COVER"] * 101,
                }
            },
        ),
    ],
    ids=["polygon", "attributes", "equipment"],
)
def test_long_lists_of_options_are_refused(
    operation: str,
    options: dict[str, Any],
) -> None:
    """Lists that are searched for each detection are limited to the length that they can need."""
    with pytest.raises(BadRequest, match="length <="):
        read(operation, json.dumps({"Image": {"Bytes": ""}, **options}).encode())


class TestOtherVendors:
    """A provider with another vocabulary is translated into Rekognition's."""

    @pytest.fixture(scope="class")
    @classmethod
    def aws(cls, serve: Callable[..., str], rekognition: Callable[..., Any]) -> Any:
        detections = [
            Detection("couch", 0.9, Box(0.1, 0.1, 0.4, 0.6)),
            Detection("tv", 0.8, Box(0.5, 0.1, 0.9, 0.6)),
        ]
        local = ScriptedProvider(lambda *_: detections, about=about(vocabulary="coco"))
        return rekognition(serve(local, route={"stages": [{"shape": "1x1"}]}))

    def test_labels_have_rekognitions_names_and_ancestors(self, aws: Any) -> None:
        """Labels have Rekognition's names, with their ancestors and categories."""
        labels = content_of("DetectLabels", aws.detect_labels(**MAIN))["Labels"]
        rows = {row["Name"]: row for row in labels}
        assert {"Couch", "Furniture"} <= set(rows)
        assert {"Name": "Furniture"} in rows["Couch"]["Parents"]
        assert rows["Couch"]["Categories"] == [{"Name": "Furniture and Furnishings"}]

    def test_filters_are_in_rekognitions_names(self, aws: Any) -> None:
        """A client's filters are in Rekognition's names."""
        general = {"GeneralLabels": {"LabelInclusionFilters": ["Couch"]}}
        labels = content_of("DetectLabels", aws.detect_labels(**MAIN, Settings=general))["Labels"]
        assert [row["Name"] for row in labels] == ["Couch"]


class TestObjectsOfS3:
    @pytest.fixture(scope="class")
    @classmethod
    def aws(cls, serve: Callable[..., str], rekognition: Callable[..., Any]) -> Iterator[Any]:
        """A gateway whose clients may name photos in `s3://shop/photos/`, before moto's S3."""
        with s3_server() as address:
            s3 = s3_client(address)
            s3.create_bucket(Bucket="shop")
            for key in ("photos/ä b.jpg", "secret.jpg"):
                s3.put_object(Bucket="shop", Key=key, Body=PHOTO)
            s3.put_object(Bucket="shop", Key="photos/large.jpg", Body=PHOTO + bytes(5_242_880))
            s3.put_object(Bucket="shop", Key="photos/too large.jpg", Body=PHOTO + bytes(15_728_640))
            store = {"endpoint": address, **S3_KEY}
            yield rekognition(serve(fetch={"sources": ["s3://shop/photos/"], "s3": store}))
            s3.close()

    def test_a_photo_in_a_bucket_is_answered(self, aws: Any) -> None:
        """A photo that is given by its bucket and key is answered as its bytes would be."""
        answer = aws.detect_labels(Image={"S3Object": {"Bucket": "shop", "Name": "photos/ä b.jpg"}})
        assert content_of("DetectLabels", answer) == content_of(
            "DetectLabels", aws.detect_labels(**MAIN)
        )

    @pytest.mark.parametrize("key", ["photos/none.jpg", "secret.jpg", "photos/../secret.jpg"])
    def test_an_object_outside_the_open_folder_is_refused(self, aws: Any, key: str) -> None:
        """An object that does not exist, or is in no folder that is open, is refused with S3's
        error."""
        with pytest.raises(aws.exceptions.InvalidS3ObjectException):
            aws.detect_labels(Image={"S3Object": {"Bucket": "shop", "Name": key}})

    def test_an_object_may_have_15_mb(self, aws: Any) -> None:
        """An object may be larger than bytes in the request, up to 15 MB."""
        assert aws.detect_labels(
            Image={"S3Object": {"Bucket": "shop", "Name": "photos/large.jpg"}}
        )["Labels"]
        with pytest.raises(aws.exceptions.ImageTooLargeException):
            aws.detect_labels(
                Image={"S3Object": {"Bucket": "shop", "Name": "photos/too large.jpg"}}
            )
