"""Headers that all dialects share."""

from __future__ import annotations

from math import ceil
from typing import cast, get_args

from gateway.core.errors import BadRequest, GatewayError
from gateway.core.exchange import Incoming
from gateway.core.model import Quality

QUALITY_HEADER = "x-imgrid-quality"
DEADLINE_HEADER = "x-imgrid-deadline-ms"
QUESTION_HEADERS = ("content-type", QUALITY_HEADER, DEADLINE_HEADER)
"""Headers that can change the answer to a body, in dialects that read them."""

REQUEST_ID_HEADERS = {"rekognition": "x-amzn-RequestId", "azure": "apim-request-id"}
"""By vendor: the header in which the vendor's SDKs look for the id of a request."""


def quality_of(incoming: Incoming, default: Quality = "target") -> Quality:
    """The quality that the request's header names. Raises BadRequest for an unknown one."""
    value = incoming.headers.get(QUALITY_HEADER)
    if value is None:
        return default
    qualities = get_args(Quality)
    if value not in qualities:
        raise BadRequest(
            f"{QUALITY_HEADER} must be {', '.join(qualities[:-1])} or {qualities[-1]}."
        )
    return cast(Quality, value)


def retry_after(error: GatewayError) -> dict[str, str]:
    """The `Retry-After` header in whole seconds, rounded up, for nobody shall come too early; no
    header where a retry cannot help."""
    if error.retry_after_s is None:
        return {}
    return {"Retry-After": str(max(1, ceil(error.retry_after_s)))}
