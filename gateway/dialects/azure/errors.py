"""The gateway's errors as Azure Image Analysis reports them.

Azure's SDKs repeat a request after 500, 503 and 504, and after any error with a `Retry-After`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway.core.errors import (
    BadDimensions,
    BadFormat,
    BadRequest,
    BilledUnknown,
    BudgetExhausted,
    Busy,
    DeadLetter,
    DeadlineExceeded,
    GatewayError,
    NoPhoto,
    NotServed,
    PhotoError,
    SourceAway,
    Stopping,
    TooManyBytes,
    Unauthenticated,
    UpstreamFailed,
)
from gateway.core.exchange import Reply
from gateway.dialects.azure.request import BadArgument, LanguageNotServed
from gateway.dialects.error_table import ErrorTable, translation_of
from gateway.dialects.headers import retry_after
from gateway.dialects.json_messages import json_reply

CONTENT_TYPE = "application/json; charset=utf-8"
KEY_HEADER = "Ocp-Apim-Subscription-Key"

INVALID, FAILED = "InvalidRequest", "InternalServerError"
BYTES_LIMIT = "The image size is not allowed to be zero or larger than 20971520 bytes."
SIDE_LIMITS = "The image dimension is not allowed to be smaller than 50 and larger than 16000."
DENIED = "Access denied due to invalid subscription key or wrong API endpoint."


class AzureError(NamedTuple):
    """An error's status, `code` and `innererror.code`, and the beginning of its message."""

    status: int
    code: str
    inner_code: str = ""
    text: str = ""


ERRORS: ErrorTable[AzureError] = [
    ((NoPhoto, TooManyBytes), AzureError(400, INVALID, text=BYTES_LIMIT)),
    (BadFormat, AzureError(400, INVALID, "InvalidImageFormat", "Image format is not valid.")),
    (BadDimensions, AzureError(400, INVALID, "InvalidImageSize", SIDE_LIMITS)),
    (SourceAway, AzureError(502, FAILED)),
    (PhotoError, AzureError(400, INVALID)),
    (
        LanguageNotServed,
        AzureError(400, INVALID, "NotSupportedLanguage", "The input language is not supported."),
    ),
    (
        NotServed,
        AzureError(
            400, INVALID, "NotSupportedVisualFeature", "Specified feature type is not valid."
        ),
    ),
    (BadArgument, AzureError(400, INVALID, "BadArgument")),
    (BadRequest, AzureError(400, INVALID)),
    (Unauthenticated, AzureError(401, "401", text=DENIED)),
    # as of an account whose free calls are used up: unlike 429, SDKs do not repeat it
    (BudgetExhausted, AzureError(403, "403", text="Out of call volume quota.")),
    (Busy, AzureError(429, "429")),
    (Stopping, AzureError(503, "ServiceUnavailable")),
    # these may have been billed or took all the time there was: no SDK repeats a request after 502
    ((UpstreamFailed, DeadlineExceeded, BilledUnknown, DeadLetter), AzureError(502, FAILED)),
    (GatewayError, AzureError(500, FAILED)),
]


def error_members(error: GatewayError, azure_error: AzureError) -> dict[str, Any]:
    """The `code`, `message` and `innererror` of an error with that translation."""
    message = f"{azure_error.text} {error}".strip()
    members: dict[str, Any] = {"code": azure_error.code, "message": message}
    if azure_error.inner_code:
        members["innererror"] = {"code": azure_error.inner_code, "message": message}
    return members


def error_reply(
    error: GatewayError, table: ErrorTable[AzureError] = ERRORS, *, is_flat: bool = False
) -> Reply:
    """The reply for an error. Where it is flat, its members stand at the top level as well."""
    azure_error = translation_of(error, table)
    members = error_members(error, azure_error)
    headers = retry_after(error)
    if azure_error.status == 401:
        headers["WWW-Authenticate"] = (
            f'AzureApiManagementKey realm="imgrid",name="{KEY_HEADER}",type="header"'
        )
    body = {"error": members, **(members if is_flat else {})}
    return json_reply(azure_error.status, body, headers, content_type=CONTENT_TYPE)
