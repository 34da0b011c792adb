"""The answers that these tests give in the clouds' place have the shapes of the clouds' own
APIs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import botocore.session
import pytest
from azure.ai.vision.imageanalysis.models import ImageAnalysisResult
from botocore.validate import ParamValidator
from google.cloud import vision
from google.protobuf import json_format


@pytest.fixture(scope="module")
def rekognition() -> Callable[..., Any]:
    """`rekognition(operation, answer)`: what is wrong with it by AWS's model, which SDKs themselves
    never look at."""
    model = botocore.session.get_session().get_service_model("rekognition")

    def wrong(operation, answer):
        shape = model.operation_model(operation).output_shape
        report = ParamValidator().validate(answer, shape)
        return report.generate_report().splitlines() or list(_beyond(shape, answer, operation))

    return wrong


def _beyond(shape, value, path):
    """What botocore's validator does not look at: enumerations and maxima."""
    if shape.type_name == "structure":
        for key in value.keys() & shape.members.keys():
            yield from _beyond(shape.members[key], value[key], f"{path}.{key}")
    elif shape.type_name == "list":
        for each in value:
            yield from _beyond(shape.member, each, path)
    elif shape.type_name == "string" and shape.enum and value not in shape.enum:
        yield f"{path}: {value!r}"
    elif shape.type_name in ("float", "integer") and value > shape.metadata.get("max", value):
        yield f"{path}: {value}"


def test_rekognition(
    said: dict[
        str,
        dict[
            str,
            dict[str, dict[Any, Any] | list[Any]]
            | dict[str, dict[Any, Any]]
            | dict[str, list[Any]],
        ]
        | dict[str, dict[str, dict[Any, Any]] | dict[str, list[Any] | str] | dict[str, list[Any]]]
        | dict[str, dict[str, float | str] | dict[str, list[Any]]],
    ],
    rekognition: Callable[..., Any],
) -> None:
    """AWS's model of the API knows every member, type and name of Rekognition's answers."""
    for name, answer in said["rekognition"].items():
        assert not rekognition(name.partition(":")[0], answer)


@pytest.mark.parametrize(
    "answer",
    [
        {"FaceDetails": [{"Landmarks": [{"Type": "LEFT_EYE", "X": 0.5, "Y": 0.5}]}]},
        {"FaceDetails": [{"Confidence": 100.5}]},
        {"FaceDetails": [{"Confidence": "99"}]},
        {"FaceDetails": [{"Age": 7}]},
    ],
)
def test_it_would_be_noticed(
    rekognition: Callable[..., Any],
    answer: dict[str, list[dict[str, float]]]
    | dict[str, list[dict[str, int]]]
    | dict[str, list[dict[str, list[Any]]]]
    | dict[str, list[dict[str, str]]],
) -> None:
    """A name, a number, a type or a member that is not the API's is found."""
    assert rekognition("DetectFaces", answer)


def test_google(
    said: dict[
        str,
        dict[
            str,
            dict[str, dict[Any, Any] | list[Any]]
            | dict[str, dict[Any, Any]]
            | dict[str, list[Any]],
        ]
        | dict[str, dict[str, dict[Any, Any]] | dict[str, list[Any] | str] | dict[str, list[Any]]]
        | dict[str, dict[str, float | str] | dict[str, list[Any]]],
    ],
) -> None:
    """Google's messages have a field for every member."""
    for answer in said["google"].values():
        message = vision.AnnotateImageResponse.pb()()
        assert json_format.Parse(
            json.dumps(answer), message, ignore_unknown_fields=False
        ).ListFields()


def test_azure(
    said: dict[
        str,
        dict[
            str,
            dict[str, dict[Any, Any] | list[Any]]
            | dict[str, dict[Any, Any]]
            | dict[str, list[Any]],
        ]
        | dict[str, dict[str, dict[Any, Any]] | dict[str, list[Any] | str] | dict[str, list[Any]]]
        | dict[str, dict[str, float | str] | dict[str, list[Any]]],
    ],
) -> None:
    """Azure's models have an attribute for every member, and hand it back as it was."""
    for feature, answer in said["azure"].items():
        result = ImageAnalysisResult({f"{feature}Result": answer})
        assert _read(result)[f"{feature}Result"] == answer


def _read(model):
    """A model's members by their names on the wire, as far as it has attributes for them."""
    if isinstance(model, list):
        return [_read(each) for each in model]
    fields = getattr(model, "_attr_to_rest_field", None)
    if fields is None:
        return model
    members = ((field._rest_name, getattr(model, name)) for name, field in fields.items())
    return {name: _read(value) for name, value in members if value is not None}
