"""Answers of Amazon Rekognition's operations, held against botocore's service model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import botocore.session
from botocore.model import Shape
from botocore.validate import ParamValidator

MODEL = botocore.session.get_session().get_service_model("rekognition")


def content_of(operation: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer without boto3's metadata; asserts that it fits the operation's model."""
    content = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    shape = MODEL.operation_model(operation).output_shape
    assert ParamValidator().validate(content, shape).generate_report() == ""
    assert not list(_wrong(shape, content, operation))
    return content


def _wrong(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """The paths of unknown members and of wrong enums, which botocore's own validator ignores."""
    if shape.type_name == "structure":
        yield from (f"{path}.{name}" for name in value if name not in shape.members)
        for name, member in value.items():
            yield from _wrong(shape.members[name], member, f"{path}.{name}")
    elif shape.type_name == "list":
        for member in value:
            yield from _wrong(shape.member, member, path)
    elif getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{path}: {value}"
