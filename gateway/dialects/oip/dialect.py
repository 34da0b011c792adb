"""The Open Inference Protocol v2, as Triton, KServe and their clients speak it: photos in one
tensor, detections in four.

This is the inference itself; `api.resources.models` answers what clients ask about server and
models. https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.errors import GatewayError
from gateway.core.exchange import Incoming, Reply
from gateway.core.model import Tenant
from gateway.core.question import ItemAnswer, Question
from gateway.dialects.call_ids import digests_of_call_ids
from gateway.dialects.headers import QUESTION_HEADERS
from gateway.dialects.native.dialect import DIALECT as NATIVE
from gateway.dialects.native.openapi import BINARY
from gateway.dialects.native.parse import idempotency_key_of
from gateway.dialects.native.schemas import TASKS
from gateway.dialects.oip.request import LENGTH_HEADER, question_of
from gateway.dialects.oip.response import error_reply, infer_reply
from gateway.dialects.openapi_parts import JSON, SECURED
from gateway.security.keyring import Keyring


class OipDialect:
    """`POST /v2/models/{model}/infer`. Keys, limits and options are those of the native dialect."""

    name = "oip"
    vendor = ""
    paths: tuple[str, ...] = (
        "/v2/models/{model}/infer",
        "/v2/models/{model}/versions/{version}/infer",
    )
    limits = NATIVE.limits
    openapi: Mapping[str, Any] = {
        "operationId": "infer",
        "tags": ["oip"],
        "summary": "Open Inference Protocol v2: what is on these photos?",
        "description": "For Triton's clients. The input image holds encoded photos; a model is a "
        "task.",
        "security": SECURED,
        "parameters": [
            {
                "name": "model",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "enum": list(TASKS)},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": {"type": "object"}},
                "application/octet-stream": {"schema": BINARY},
            },
        },
    }

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        return NATIVE.authenticate(incoming, keyring)

    def call_ids(self, incoming: Incoming) -> tuple[str, ...]:
        headers = (*QUESTION_HEADERS, LENGTH_HEADER)
        return digests_of_call_ids(incoming, idempotency_key_of(incoming), headers=headers)

    def parse(self, incoming: Incoming) -> Question:
        return question_of(incoming)

    def render(self, question: Question, answers: Sequence[ItemAnswer]) -> Reply:
        return infer_reply(answers, question.options)

    def render_error(self, error: GatewayError) -> Reply:
        return error_reply(error, str(error))


DIALECT = OipDialect()
