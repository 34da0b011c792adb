"""Google Cloud Vision's wire format: `POST /v1/images:annotate`, up to 16 photos in base64, each
with its features.

A photo that fails has its own `error` within a reply of status 200. `grpc` is the same API by gRPC.
https://cloud.google.com/vision/docs/reference/rest/v1/images/annotate
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote

from gateway.core.errors import BadRequest, GatewayError
from gateway.core.exchange import Incoming, Reply
from gateway.core.model import Tenant
from gateway.core.question import Forward, ItemAnswer, Question
from gateway.dialects.call_ids import digests_of_call_ids
from gateway.dialects.credentials import tenant_of
from gateway.dialects.google.errors import details_of, status_of
from gateway.dialects.google.field_mask import FieldMask, field_mask_of
from gateway.dialects.google.json_request import billed_images, read_batch
from gateway.dialects.google.request import question_of
from gateway.dialects.google.response import batch_response
from gateway.dialects.headers import QUESTION_HEADERS, retry_after
from gateway.dialects.json_messages import json_reply
from gateway.dialects.labels import label_source_header
from gateway.security.keyring import Keyring
from providers.base import Limits

ANNOTATE = "images:annotate"
FORWARDED_METHODS = ("images:asyncBatchAnnotate", "files:annotate", "files:asyncBatchAnnotate")
GET_OPERATION = "operations:get"
METHOD_PATH = re.compile(r"/v1/(?:projects/.+/)?((?:images|files):\w+$|operations/).*")
CONTENT_TYPE = "application/json; charset=UTF-8"
KEY_HEADER = "x-goog-api-key"
KEY_PARAMETERS = ("key", "access_token")
MASK_HEADER = "x-goog-fieldmask"
MASK_PARAMETERS = ("fields", "$fields")
CALL_HEADERS = ("x-goog-request-id", "idempotency-key")
"""Google's own SDKs send neither; a client may add either."""


def _paths_of(method: str) -> Iterator[str]:
    """The paths of a method: at the root, within a project or its location, and below any
    prefix."""
    for path in (f"/v1/{method}", f"/v1/projects/{{parent:path}}/{method}"):
        yield path
        yield "/{prefix:path}" + path


class GoogleDialect:
    """All features of up to 16 photos. Other methods are forwarded where the operator allows it."""

    name = "google"
    vendor = "google"
    paths: tuple[str, ...] = (
        *(path for method in (ANNOTATE, *FORWARDED_METHODS) for path in _paths_of(method)),
        *(f"GET {path}" for path in _paths_of("operations/{name:path}")),
    )
    limits = Limits(
        20_971_520,
        max_pixels=75_000_000,
        formats=frozenset({"JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"}),
    )
    openapi: Mapping[str, Any] = {
        "operationId": "annotateImages",
        "tags": ["google"],
        "summary": "Google Cloud Vision: features of up to 16 photos",
        "description": "Give Google's SDK this gateway as api_endpoint and its transport as rest, "
        f"or its gRPC's; the key goes into {KEY_HEADER}, ?{KEY_PARAMETERS[0]}= or Authorization: "
        "Bearer.",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
    }

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        return tenant_of(incoming, keyring, self.name, KEY_HEADER, parameters=KEY_PARAMETERS)

    def call_ids(self, incoming: Incoming) -> tuple[str, ...]:
        ids = [incoming.headers.get(name, "") for name in CALL_HEADERS]
        return digests_of_call_ids(incoming, *ids, headers=(*QUESTION_HEADERS, MASK_HEADER))

    def parse(self, incoming: Incoming) -> Question | Forward:
        body = incoming.body or b"{}"
        path = METHOD_PATH.search(unquote(incoming.path))
        if path and path[1] == "operations/":
            return Forward(GET_OPERATION, target=path[0])
        if path and path[1] in FORWARDED_METHODS:
            return Forward(path[1], billed_images(body), target=path[0])
        if not incoming.body:
            raise BadRequest("The request has no body; images:annotate needs one with `requests`.")
        return question_of(read_batch(body), requested_mask(incoming))

    def render(self, question: Question, answers: Sequence[ItemAnswer]) -> Reply:
        response = batch_response(answers, question.options)
        return json_reply(200, response, label_source_header(answers), content_type=CONTENT_TYPE)

    def render_error(self, error: GatewayError) -> Reply:
        status, message = status_of(error)
        body: dict[str, Any] = {"code": status.http, "message": message, "status": status.name}
        if details := details_of(error):
            body["details"] = details
        headers = retry_after(error)
        return json_reply(status.http, {"error": body}, headers, content_type=CONTENT_TYPE)


def requested_mask(incoming: Incoming) -> FieldMask:
    """The mask of the answer, from the query or else a header. Raises BadRequest."""
    query = parse_qs(incoming.query)
    for name in MASK_PARAMETERS:
        if name in query:
            return field_mask_of(query[name][-1])
    return field_mask_of(incoming.headers.get(MASK_HEADER, ""))


DIALECT = GoogleDialect()
