"""The native operation in OpenAPI's form, made from the types that it reads and writes."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.dialects.call_ids import MAX_ID_CHARS
from gateway.dialects.native.schemas import MAX_PHOTOS, Answer, Body, DetectOptions, Failure
from gateway.dialects.openapi_parts import (
    JSON,
    SECURED,
    error_responses,
    query_parameters,
    response_of,
)

OPTION_DESCRIPTIONS = {
    "task": "what to look for",
    "min_score": "leave out what scores less",
    "max_results": "at most this many a photo, best first",
    "labels": "only these, comma-separated",
    "deadline_ms": "answer within this time; a photo with too little time to wait shares no canvas",
    "quality": "exact: each photo alone; cheapest: no second billed call; target: the default",
}
BINARY = {"type": "string", "format": "binary"}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS},
}


def detect_operation() -> dict[str, Any]:
    """The operation, with the components that it refers to as `x-components`."""
    (body, answer, failure), components = msgspec.json.schema_components(
        [Body, Answer, Failure], ref_template="#/components/schemas/{name}"
    )
    parameters = query_parameters(DetectOptions, OPTION_DESCRIPTIONS)
    key = {
        **IDEMPOTENCY_KEY,
        "description": "the same on every try of one call, which is run and billed once",
    }
    return {
        "operationId": "detect",
        "tags": ["native"],
        "summary": "What is on these photos?",
        "security": SECURED,
        "parameters": [*parameters, key],
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": BINARY},
                "image/*": {"schema": BINARY},
                "multipart/form-data": {"schema": _form_schema(parameters)},
                JSON: {"schema": body},
            },
        },
        "responses": {"200": response_of(answer), **error_responses(failure)},
        "x-components": components,
    }


def _form_schema(parameters: list[dict[str, Any]]) -> dict[str, Any]:
    """A form's photos, and the query's parameters as fields."""
    photos = {"type": "array", "items": BINARY, "minItems": 1, "maxItems": MAX_PHOTOS}
    fields = {parameter["name"]: parameter["schema"] for parameter in parameters}
    return {"type": "object", "properties": {"photo": photos, **fields}, "required": ["photo"]}
