"""The gateway's errors as Azure Computer Vision 3.2 reports them.

The codes are those of the SDKs' ComputerVisionErrorCodes and ComputerVisionInnerErrorCodeValue.
These SDKs repeat a request, without an id, after 408 and any status from 500 on but 501 and 505.
"""

from __future__ import annotations

from gateway.core.errors import (
    BadDimensions,
    BilledUnknown,
    DeadLetter,
    DeadlineExceeded,
    NoPhoto,
    NotFetched,
    NotFound,
    NotServed,
    SourceAway,
    TooManyBytes,
    UpstreamFailed,
)
from gateway.dialects.azure import errors as azure
from gateway.dialects.azure.errors import FAILED, INVALID, AzureError
from gateway.dialects.azure_v32.request import DetailsNotServed, OperationNotServed
from gateway.dialects.error_table import ErrorTable

NOT_SUPPORTED = AzureError(400, INVALID, "NotSupportedFeature", "This feature is not supported.")

ERRORS: ErrorTable[AzureError] = [
    (
        (NoPhoto, TooManyBytes, BadDimensions),
        AzureError(400, INVALID, "InvalidImageSize", "Input image size is not valid."),
    ),
    (SourceAway, AzureError(502, FAILED)),
    (NotFetched, AzureError(400, INVALID, "InvalidImageUrl", "Image URL is not accessible.")),
    (NotFound, AzureError(404, "404", text="Resource not found.")),
    (OperationNotServed, NOT_SUPPORTED),
    (
        DetailsNotServed,
        AzureError(400, INVALID, "InvalidDetails", "Specified details are not valid."),
    ),
    # these may have been billed or took all the time there was
    (
        (UpstreamFailed, DeadlineExceeded, BilledUnknown, DeadLetter),
        AzureError(501, FAILED, "FailedToProcess"),
    ),
    *azure.ERRORS,
]
READ_ERRORS: ErrorTable[AzureError] = [(NotServed, NOT_SUPPORTED), *ERRORS]
