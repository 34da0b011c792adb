"""Azure Image Analysis 4.0's wire format: `POST /computervision/imageanalysis:analyze`, a photo as
bytes or by URL.

https://learn.microsoft.com/azure/ai-services/computer-vision/how-to/call-analyze-image-40
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.errors import GatewayError
from gateway.core.exchange import Incoming, Reply
from gateway.core.model import Tenant
from gateway.core.question import ItemAnswer, Question
from gateway.dialects.azure.errors import CONTENT_TYPE, KEY_HEADER, error_reply
from gateway.dialects.azure.photo import REQUEST_BODY
from gateway.dialects.azure.request import API_VERSIONS, question_of
from gateway.dialects.azure.response import analysis_result
from gateway.dialects.call_ids import digests_of_call_ids
from gateway.dialects.credentials import tenant_of
from gateway.dialects.json_messages import json_reply
from gateway.dialects.labels import label_source_header
from gateway.security.keyring import Keyring
from providers.base import Limits

PATH = "/computervision/imageanalysis:analyze"
CALL_HEADER = "x-ms-client-request-id"
"""The same on every try of one call."""


class AzureDialect:
    """Any features of one photo."""

    name = "azure"
    vendor = "azure"
    # clients join their endpoint's path and this one with two slashes
    paths = (PATH, "/{prefix:path}" + PATH)
    limits = Limits(
        20_971_520,
        min_side_px=50,
        max_pixels=16_000**2,
        formats=frozenset({"JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"}),
    )
    openapi = {
        "operationId": "analyzeImage",
        "tags": ["azure"],
        "summary": "Azure Image Analysis 4.0: objects, people, read, tags, caption, denseCaptions, "
        "smartCrops",
        "description": "Give an Azure SDK this gateway as its endpoint, and the key as "
        f"{KEY_HEADER}.",
        "parameters": [
            {
                "name": "api-version",
                "in": "query",
                "required": True,
                "schema": {"enum": list(API_VERSIONS)},
            },
            {"name": "features", "in": "query", "required": True, "schema": {"type": "string"}},
        ],
        "requestBody": REQUEST_BODY,
    }

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        return tenant_of(incoming, keyring, self.name, KEY_HEADER)

    def call_ids(self, incoming: Incoming) -> tuple[str, ...]:
        return digests_of_call_ids(incoming, incoming.headers.get(CALL_HEADER, ""))

    def parse(self, incoming: Incoming) -> Question:
        return question_of(incoming)

    def render(self, question: Question, answers: Sequence[ItemAnswer]) -> Reply:
        (answer,) = answers
        result = analysis_result(answer, question.options)
        return json_reply(200, result, label_source_header(answers), content_type=CONTENT_TYPE)

    def render_error(self, error: GatewayError) -> Reply:
        return error_reply(error)


DIALECT = AzureDialect()
