"""What browsers may do for scripts of other origins (CORS), where the operator names any.

https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

METHODS = ("GET", "HEAD", "POST", "DELETE")
MAX_AGE_S = 3600
EXPOSED_HEADERS = (
    "Retry-After",
    "Location",
    "Operation-Location",
    "Server-Timing",
    "X-Request-Id",
    "X-Imgrid-Billed",
    "X-Imgrid-Labels",
    "X-Imgrid-Saved",
    "x-amz-retry-after",
    "x-amzn-RequestId",
)
"""Headers of answers that a page's script may read besides the usual ones."""


def cors_options(origins: Sequence[str]) -> dict[str, Any]:
    """The options of Starlette's middleware. Preflight requests are answered, and may name any
    header. Cookies are not sent along: a gateway's clients show keys."""
    return {
        "allow_origins": list(origins),
        "allow_methods": METHODS,
        "allow_headers": ["*"],
        "allow_credentials": False,
        "expose_headers": EXPOSED_HEADERS,
        "max_age": MAX_AGE_S,
    }
