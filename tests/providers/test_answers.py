"""The answers of the stand-ins for three clouds have the shapes of the clouds' own APIs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from azure.ai.vision.imageanalysis.models import ImageAnalysisResult
from botocore.validate import ParamValidator
from google.cloud import vision
from google.protobuf import json_format

from tests.support.vendor_stand_ins import VendorAnswers


@pytest.fixture(scope="module")
def rekognition() -> Callable[..., list[str]]:
    """`rekognition(operation, answer)`: the errors in the answer by AWS's model, which the SDKs
    themselves do not check."""
    model = botocore.session.get_session().get_service_model("rekognition")

    def errors_in(operation: str, answer: Any) -> list[str]:
        shape = model.operation_model(operation).output_shape
        report = ParamValidator().validate(answer, shape)
        return report.generate_report().splitlines() or list(
            _further_errors(shape, answer, operation)
        )

    return errors_in


def _further_errors(shape: Any, value: Any, path: str) -> Iterator[str]:
    """The errors that botocore's validator does not look for: in enumerations and maxima."""
    if shape.type_name == "structure":
        for key in value.keys() & shape.members.keys():
            yield from _further_errors(shape.members[key], value[key], f"{path}.{key}")
    elif shape.type_name == "list":
        for each in value:
            yield from _further_errors(shape.member, each, path)
    elif shape.type_name == "string" and shape.enum and value not in shape.enum:
        yield f"{path}: {value!r}"
    elif shape.type_name in ("float", "integer") and value > shape.metadata.get("max", value):
        yield f"{path}: {value}"


def test_awss_model_knows_rekognitions_answers(
    vendor_answers: VendorAnswers,
    rekognition: Callable[..., list[str]],
) -> None:
    """AWS's model of the API has every member, type and name of Rekognition's answers."""
    for name, answer in vendor_answers["rekognition"].items():
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
def test_an_answer_of_another_shape_is_noticed(
    rekognition: Callable[..., list[str]],
    answer: dict[str, Any],
) -> None:
    """A name, a number, a type or a member that is not in the API is an error."""
    assert rekognition("DetectFaces", answer)


def test_googles_messages_have_every_member(
    vendor_answers: VendorAnswers,
) -> None:
    """Google's messages have a field for every member of the answers."""
    for answer in vendor_answers["google"].values():
        message = vision.AnnotateImageResponse.pb()()
        assert json_format.Parse(
            json.dumps(answer), message, ignore_unknown_fields=False
        ).ListFields()


def test_azures_models_have_every_member(
    vendor_answers: VendorAnswers,
) -> None:
    """Azure's models have an attribute for every member of the answers, and return it unchanged."""
    for feature, answer in vendor_answers["azure"].items():
        result = ImageAnalysisResult({f"{feature}Result": answer})
        assert _members(result)[f"{feature}Result"] == answer


def _members(model: Any) -> Any:
    """A model's members by their names on the wire, as far as it has attributes for them."""
    if isinstance(model, list):
        return [_members(each) for each in model]
    fields = getattr(model, "_attr_to_rest_field", None)
    if fields is None:
        return model
    members = ((field._rest_name, getattr(model, name)) for name, field in fields.items())
    return {name: _members(value) for name, value in members if value is not None}
