"""The gateway's own wire format: photos as raw bytes, multipart or JSON.

The answer says on which canvases each photo was asked about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.errors import GatewayError
from gateway.core.exchange import Incoming, Reply
from gateway.core.model import Tenant
from gateway.core.question import ItemAnswer, Question
from gateway.dialects.call_ids import digests_of_call_ids
from gateway.dialects.credentials import tenant_of
from gateway.dialects.headers import retry_after
from gateway.dialects.json_messages import json_reply
from gateway.dialects.native.openapi import detect_operation
from gateway.dialects.native.parse import idempotency_key_of, question_of
from gateway.dialects.native.render import reply_of
from gateway.dialects.native.schemas import Failure, Problem
from gateway.security.keyring import Keyring
from providers.base import Limits


class NativeDialect:
    """`POST /v1/detect`."""

    name = "native"
    vendor = ""
    paths: tuple[str, ...] = ("/v1/detect",)
    limits = Limits(
        formats=frozenset({"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"}),
        turned=frozenset({"JPEG", "PNG", "WEBP"}),
    )
    openapi: Mapping[str, Any] = detect_operation()

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        return tenant_of(incoming, keyring, self.name, "X-Api-Key")

    def call_ids(self, incoming: Incoming) -> tuple[str, ...]:
        return digests_of_call_ids(incoming, idempotency_key_of(incoming))

    def parse(self, incoming: Incoming) -> Question:
        return question_of(incoming)

    def render(self, question: Question, answers: Sequence[ItemAnswer]) -> Reply:
        return reply_of(answers, question.options)

    def render_error(self, error: GatewayError) -> Reply:
        headers = retry_after(error)
        if error.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return json_reply(error.status, Failure(Problem(error.code, str(error))), headers)


DIALECT = NativeDialect()
