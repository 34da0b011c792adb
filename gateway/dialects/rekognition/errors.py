"""The gateway's errors as Amazon Rekognition reports them: SDKs choose by `__type` which exception
to raise and whether to retry."""

from __future__ import annotations

from typing import NamedTuple

from gateway.core.errors import (
    BadCursor,
    BadFormat,
    BadManifest,
    BadRequest,
    BudgetExhausted,
    Busy,
    Conflict,
    GatewayError,
    NoPhoto,
    NotFetched,
    NotFound,
    NotServed,
    PhotoError,
    SinkNotAllowed,
    SourceAway,
    Stopping,
    TooFast,
    TooManyBytes,
    TooManyJobs,
    Unauthenticated,
    UpstreamThrottled,
)
from gateway.dialects.error_table import ErrorTable, translation_of


class RekognitionError(NamedTuple):
    """An error's HTTP status and `__type`."""

    status: int
    type: str


ERRORS: ErrorTable[RekognitionError] = [
    (NoPhoto, RekognitionError(400, "InvalidParameterException")),
    (TooManyBytes, RekognitionError(400, "ImageTooLargeException")),
    (BadFormat, RekognitionError(400, "InvalidImageFormatException")),
    (SourceAway, RekognitionError(500, "InternalServerError")),
    (NotFetched, RekognitionError(400, "InvalidS3ObjectException")),
    (PhotoError, RekognitionError(400, "InvalidParameterException")),
    (NotServed, RekognitionError(400, "UnknownOperationException")),
    (Unauthenticated, RekognitionError(400, "UnrecognizedClientException")),
    (BadCursor, RekognitionError(400, "InvalidPaginationTokenException")),
    (BadManifest, RekognitionError(400, "InvalidManifestException")),
    (SinkNotAllowed, RekognitionError(400, "AccessDeniedException")),
    (NotFound, RekognitionError(400, "ResourceNotFoundException")),
    (Conflict, RekognitionError(400, "IdempotentParameterMismatchException")),
    (BadRequest, RekognitionError(400, "InvalidParameterException")),
    (TooManyJobs, RekognitionError(400, "LimitExceededException")),
    # unlike throttling, SDKs do not repeat it
    (BudgetExhausted, RekognitionError(400, "ServiceQuotaExceededException")),
    ((UpstreamThrottled, TooFast), RekognitionError(400, "ThrottlingException")),
    (Busy, RekognitionError(400, "ProvisionedThroughputExceededException")),
    (Stopping, RekognitionError(500, "InternalServerError")),
    (GatewayError, RekognitionError(500, "InternalServerError")),
]


def rekognition_error(error: GatewayError) -> RekognitionError:
    """The status and type for an error. A signature error has a type of its own."""
    if isinstance(error, Unauthenticated) and error.scheme_error:
        return RekognitionError(400, error.scheme_error)
    return translation_of(error, ERRORS)
