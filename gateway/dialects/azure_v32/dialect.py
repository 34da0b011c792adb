"""Azure Computer Vision 3.2's wire format: `POST /vision/v3.2/analyze`, `detect` and `tag`.

Read, which answers later, has its parts in `read`; `api.resources.read_operations` serves it.
https://learn.microsoft.com/azure/ai-services/computer-vision/how-to/call-analyze-image
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.errors import GatewayError
from gateway.core.exchange import Incoming, Reply
from gateway.core.model import Tenant
from gateway.core.question import ItemAnswer, Question
from gateway.core.request_id import REQUEST_ID
from gateway.dialects.azure.dialect import DIALECT as AZURE
from gateway.dialects.azure.errors import CONTENT_TYPE, KEY_HEADER, error_reply
from gateway.dialects.azure.photo import REQUEST_BODY
from gateway.dialects.azure_v32.errors import ERRORS, READ_ERRORS
from gateway.dialects.azure_v32.request import FIXED_FEATURES, ROOT, UNSERVED, question_of
from gateway.dialects.azure_v32.response import image_analysis
from gateway.dialects.json_messages import json_reply
from gateway.dialects.labels import label_source_header
from gateway.security.keyring import Keyring
from providers.base import Limits

PREFIX = "/{prefix:path}"
"""An endpoint may have a path, and clients join it and theirs with two slashes."""
PATHS = tuple(ROOT + operation for operation in ("analyze", *FIXED_FEATURES, *UNSERVED))
MODELS = f"{ROOT}models"


class AzureV32Dialect:
    """Any features of one photo. Keys and call ids are those of Image Analysis 4.0."""

    name = "azure_v32"
    vendor = AZURE.vendor
    paths = (
        *PATHS,
        *(PREFIX + path for path in PATHS),
        f"GET {MODELS}",
        f"GET {PREFIX}{MODELS}",
    )
    limits = Limits(
        4 * 1024 * 1024, min_side_px=50, formats=frozenset({"JPEG", "PNG", "GIF", "BMP"})
    )
    openapi: Mapping[str, Any] = {
        "operationId": "computerVisionAnalyze",
        "tags": ["azure"],
        "summary": "Azure Computer Vision 3.2: Objects, Tags, Faces, Brands, Adult",
        "description": "Give an Azure SDK this gateway as its endpoint, and the key as "
        f"{KEY_HEADER}. There are {ROOT}detect, {ROOT}tag and {ROOT}read/analyze as well.",
        "parameters": [
            {"name": "visualFeatures", "in": "query", "schema": {"type": "string"}},
        ],
        "requestBody": REQUEST_BODY,
    }

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        return AZURE.authenticate(incoming, keyring)

    def call_ids(self, incoming: Incoming) -> tuple[str, ...]:
        return AZURE.call_ids(incoming)

    def parse(self, incoming: Incoming) -> Question:
        return question_of(incoming)

    def render(self, question: Question, answers: Sequence[ItemAnswer]) -> Reply:
        (answer,) = answers
        result = image_analysis(answer, question.options, REQUEST_ID.get())
        return json_reply(200, result, label_source_header(answers), content_type=CONTENT_TYPE)

    def render_error(self, error: GatewayError) -> Reply:
        return error_reply(error, ERRORS)


class ReadDialect(AzureV32Dialect):
    """Read's form of errors: SDKs look for its code and message at the top level."""

    def render_error(self, error: GatewayError) -> Reply:
        return error_reply(error, READ_ERRORS, is_flat=True)


DIALECT = AzureV32Dialect()
READ = ReadDialect()
