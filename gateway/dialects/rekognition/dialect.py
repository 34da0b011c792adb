"""Amazon Rekognition's wire format: AWS JSON 1.1, `POST /`, the operation in `X-Amz-Target`.

https://docs.aws.amazon.com/rekognition/latest/APIReference/Welcome.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Any

from gateway.core.errors import GatewayError, NotServed
from gateway.core.exchange import Incoming, Reply
from gateway.core.model import Tenant
from gateway.core.question import Forward, ItemAnswer, JobCall, Question
from gateway.dialects.call_ids import digests_of_call_ids
from gateway.dialects.headers import QUALITY_HEADER
from gateway.dialects.json_messages import json_reply
from gateway.dialects.rekognition.errors import rekognition_error
from gateway.dialects.rekognition.media_analysis import (
    JOB_OPERATIONS,
    StartMediaAnalysisJob,
    read_input,
)
from gateway.dialects.rekognition.request import LIMITS, OPERATIONS, read
from gateway.dialects.rekognition.response import output_of
from gateway.security import sigv4
from gateway.security.keyring import ANYBODY, Keyring

TARGET_PREFIX = "RekognitionService."
OPERATION_NAME = re.compile(r"[A-Za-z]{1,64}")
CONTENT_TYPE = "application/x-amz-json-1.1"
CALL_HEADER = "amz-sdk-invocation-id"
"""The same on every try of one call. Each try is signed anew."""
QUESTION_HEADERS = ("x-amz-target", QUALITY_HEADER)
"""The headers that can change a call's answer.

The deadline is not among them: it is not signed, so a signed request that is replayed could carry
another deadline each time.
"""


class RekognitionDialect:
    """The operations on one photo that store nothing, and those about jobs of photos in S3. Others
    are forwarded where the operator allows it."""

    name = "rekognition"
    vendor = "rekognition"
    paths = ("/",)
    limits = LIMITS
    openapi = {
        "tags": ["rekognition"],
        "summary": f"Amazon Rekognition: {', '.join((*OPERATIONS, *JOB_OPERATIONS))}",
        "description": "Point an AWS SDK's endpoint_url here. The operation is named by the header "
        "X-Amz-Target.",
        "requestBody": {"content": {CONTENT_TYPE: {"schema": {"type": "object"}}}},
    }

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        if keyring.open:
            return ANYBODY
        return sigv4.verify(incoming, keyring.pair, "rekognition", datetime.now(UTC))

    def call_ids(self, incoming: Incoming) -> tuple[str, ...]:
        """A repeated signature marks a try too, whatever invocation id comes with it: SDKs do not
        sign the id."""
        invocation_id = incoming.headers.get(CALL_HEADER, "")
        signature = sigv4.signature_of(incoming)
        return digests_of_call_ids(incoming, invocation_id, signature, headers=QUESTION_HEADERS)

    def parse(self, incoming: Incoming) -> Question | Forward | JobCall:
        target = incoming.headers.get("x-amz-target", "")
        operation = target.removeprefix(TARGET_PREFIX)
        if not target.startswith(TARGET_PREFIX) or not OPERATION_NAME.fullmatch(operation):
            raise NotServed(
                f"{target or 'A request without X-Amz-Target'} is not served here; "
                f"{', '.join(sorted((*OPERATIONS, *JOB_OPERATIONS)))} are."
            )
        if operation in JOB_OPERATIONS:
            job_input = read_input(operation, incoming.body or b"")
            return JobCall(job_input, reads=not isinstance(job_input, StartMediaAnalysisJob))
        return read(operation, incoming.body or b"")

    def render(self, question: Question, answers: Sequence[ItemAnswer]) -> Reply:
        (answer,) = answers
        if answer.error is not None:
            raise answer.error
        detections = {task: outcome.detections for task, outcome in answer.outcomes.items()}
        return reply_of(output_of(question.options, detections))

    def render_error(self, error: GatewayError) -> Reply:
        status, error_type = rekognition_error(error)
        headers: dict[str, str] = {}
        if error.retry_after_s is not None:
            headers["x-amz-retry-after"] = str(ceil(1000 * error.retry_after_s))
        body = {"__type": error_type, "Code": error_type, "Message": str(error)}
        return json_reply(status, body, headers, content_type=CONTENT_TYPE)


def reply_of(output: Any) -> Reply:
    """The reply with an operation's output."""
    return json_reply(200, output, content_type=CONTENT_TYPE)


DIALECT = RekognitionDialect()
