"""Amazon Rekognition's wire format: AWS JSON 1.1, `POST /`, the operation in `X-Amz-Target`.

Shapes and defaults are those of the service model 2016-06-27:
https://docs.aws.amazon.com/rekognition/latest/APIReference/Welcome.html
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.core.errors import (
    BadFormat,
    BadRequest,
    Busy,
    GatewayError,
    NoPhoto,
    NotFetched,
    NotServed,
    PhotoError,
    SourceAway,
    Stopping,
    TooManyBytes,
    Unauthenticated,
    UpstreamThrottled,
)
from gateway.core.exchange import Incoming, Reply
from gateway.core.model import Tenant
from gateway.core.question import Forward, ItemAnswer, Question
from gateway.dialects.call_ids import marks
from gateway.dialects.headers import QUALITY_HEADER
from gateway.dialects.rekognition import request
from gateway.dialects.rekognition.response import ANSWERS
from gateway.security import sigv4
from gateway.security.keyring import ANYBODY, Keyring

TARGET = "RekognitionService."
NAME = re.compile(r"[A-Za-z]{1,64}")
CONTENT_TYPE = "application/x-amz-json-1.1"
CALL_HEADER = "amz-sdk-invocation-id"
"""The same on every try of one call, each of which is signed anew."""
ASKING = ("x-amz-target", QUALITY_HEADER)
"""What else is said of a call that could change its answer. Of its deadline it is not: nothing
signs that, and whoever sends a signed request a second time could say another each time."""

ERRORS: list[tuple[type[GatewayError], int, str]] = [
    (NoPhoto, 400, "InvalidParameterException"),
    (TooManyBytes, 400, "ImageTooLargeException"),
    (BadFormat, 400, "InvalidImageFormatException"),
    (SourceAway, 500, "InternalServerError"),
    (NotFetched, 400, "InvalidS3ObjectException"),
    (PhotoError, 400, "InvalidParameterException"),
    (NotServed, 400, "UnknownOperationException"),
    (BadRequest, 400, "InvalidParameterException"),
    (UpstreamThrottled, 400, "ThrottlingException"),
    (Busy, 400, "ProvisionedThroughputExceededException"),
    (Stopping, 500, "InternalServerError"),
    (GatewayError, 500, "InternalServerError"),
]
"""The first row whose class fits gives status and `__type`, from which SDKs choose what to raise
and to retry."""


class RekognitionDialect:
    """Every operation that looks at one photo and keeps nothing; others are handed on, where the
    operator lets them."""

    name = "rekognition"
    paths = ("/",)
    limits = request.LIMITS
    openapi = {
        "tags": ["rekognition"],
        "summary": f"Amazon Rekognition: {', '.join(request.OPERATIONS)}",
        "description": "Point an AWS SDK's endpoint_url here. The operation is named by the header X-Amz-Target.",
        "requestBody": {"content": {CONTENT_TYPE: {"schema": {"type": "object"}}}},
    }

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        if keyring.open:
            return ANYBODY
        return sigv4.verify(incoming, keyring.pair, "rekognition", datetime.now(UTC))

    def parse(self, incoming: Incoming) -> Question | Forward:
        target = incoming.headers.get("x-amz-target", "")
        operation = target.removeprefix(TARGET)
        if not target.startswith(TARGET) or not NAME.fullmatch(operation):
            raise NotServed(
                f"{target or 'A request without X-Amz-Target'} is not served here; "
                f"{', '.join(sorted(request.OPERATIONS))} are."
            )
        return request.read(operation, incoming.body or b"")

    def render(self, question: Question, answers: Sequence[ItemAnswer]) -> Reply:
        (answer,) = answers
        if answer.error is not None:
            raise answer.error
        found = {task: outcome.detections for task, outcome in answer.outcomes.items()}
        return _reply(200, ANSWERS[type(question.options)](question.options, found))

    def render_error(self, error: GatewayError) -> Reply:
        status, kind = next(
            (status, kind) for cls, status, kind in ERRORS if isinstance(error, cls)
        )
        if isinstance(error, Unauthenticated):
            status, kind = 400, error.scheme_error or "UnrecognizedClientException"
        extra = {}
        if error.retry_after_s is not None:
            extra["x-amz-retry-after"] = str(round(1000 * error.retry_after_s))
        return _reply(status, {"__type": kind, "Code": kind, "Message": str(error)}, extra)

    def call_ids(self, incoming: Incoming) -> tuple[str, ...]:
        """A signature that comes again is a try of the call too, whatever id is sent with it: SDKs
        do not sign that."""
        given = incoming.headers.get(CALL_HEADER, "")
        return marks(incoming, given, sigv4.signature_of(incoming), asking=ASKING)


def _reply(status: int, answer: Any, extra: dict[str, str] | None = None) -> Reply:
    headers = {
        "Content-Type": CONTENT_TYPE,
        "x-amzn-RequestId": str(uuid.uuid4()),
        **(extra or {}),
    }
    return Reply(status, msgspec.json.encode(answer), headers)


DIALECT = RekognitionDialect()
