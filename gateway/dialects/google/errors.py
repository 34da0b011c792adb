"""The gateway's errors as Google Cloud Vision reports them.

Google's SDK repeats `batch_annotate_images` after 503, and after nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gateway.core.errors import (
    BadDimensions,
    BadFormat,
    BadRequest,
    BudgetExhausted,
    Busy,
    DeadlineExceeded,
    GatewayError,
    NoKey,
    NoPhoto,
    NotFetched,
    NotServed,
    PhotoError,
    SourceAway,
    SourceNotAllowed,
    Stopping,
    TooManyBytes,
    Unauthenticated,
)
from gateway.dialects.error_table import ErrorTable, translation_of
from gateway.dialects.google.request import UNSPECIFIED


class Status(NamedTuple):
    """An error's HTTP status, and the name and number of its google.rpc.Code. The number is for the
    error of one photo."""

    http: int
    name: str
    code: int


class GoogleError(NamedTuple):
    """An error's status, and the beginning of its message."""

    status: Status
    text: str = ""


RPC_CODES = {
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
}
"""google.rpc.Code by name. Within a photo's own error the number may differ."""

INVALID = Status(400, "INVALID_ARGUMENT", 3)
DENIED = Status(403, "PERMISSION_DENIED", 7)
UNAVAILABLE = Status(503, "UNAVAILABLE", 14)
URL_DENIED = (
    "We're not allowed to access the URL on your behalf. "
    "Please download the content and pass it in."
)
URL_UNAVAILABLE = "We can not access the URL currently. Please download the content and pass it in."

ERRORS: ErrorTable[GoogleError] = [
    (NoPhoto, GoogleError(INVALID, UNSPECIFIED)),
    (BadFormat, GoogleError(INVALID, "Bad image data.")),
    (BadDimensions, GoogleError(INVALID, "Image too large. Please limit to 75 megapixels.")),
    (SourceNotAllowed, GoogleError(DENIED, URL_DENIED)),
    (SourceAway, GoogleError(UNAVAILABLE, URL_UNAVAILABLE)),
    (TooManyBytes, GoogleError(INVALID)),
    (NotFetched, GoogleError(INVALID._replace(code=14), URL_UNAVAILABLE)),
    ((PhotoError, NotServed, BadRequest), GoogleError(INVALID)),
    (NoKey, GoogleError(DENIED, "Method doesn't allow unregistered callers.")),
    (Unauthenticated, GoogleError(INVALID, "API key not valid. Please pass a valid API key.")),
    ((Busy, BudgetExhausted), GoogleError(Status(429, "RESOURCE_EXHAUSTED", 8))),
    (Stopping, GoogleError(UNAVAILABLE)),
    (DeadlineExceeded, GoogleError(Status(504, "DEADLINE_EXCEEDED", 4))),
    (GatewayError, GoogleError(Status(500, "INTERNAL", 13))),
]

KEY_INVALID = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
    "metadata": {"service": "vision.googleapis.com"},
}
RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


def status_of(error: GatewayError) -> tuple[Status, str]:
    """An error's status, and its message."""
    google_error = translation_of(error, ERRORS)
    return google_error.status, f"{google_error.text} {error}".strip()


def details_of(error: GatewayError) -> list[Mapping[str, Any]]:
    """The `details` of an error, for programs."""
    details: list[Mapping[str, Any]] = [KEY_INVALID] if isinstance(error, Unauthenticated) else []
    if error.retry_after_s is not None:
        details.append({"@type": RETRY_INFO, "retryDelay": f"{error.retry_after_s:.3f}s"})
    return details
