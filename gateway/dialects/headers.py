"""Headers that all dialects share."""

from __future__ import annotations

import re
from math import ceil
from typing import cast, get_args

from gateway.core.errors import BadRequest, GatewayError
from gateway.core.exchange import Incoming
from gateway.core.model import Quality

QUALITY_HEADER = "x-imgrid-quality"
DEADLINE_HEADER = "x-imgrid-deadline-ms"
TAGS_HEADER = "x-imgrid-tags"
"""What the ledger keeps the request's charges by, beside tenant and key."""
MOST_TAGS = 5
TAG = re.compile(r"[\w./-]{1,64}=[\w./-]{1,64}", re.ASCII)
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


def tags_of(incoming: Incoming) -> str:
    """The tags that the request's header gives, in the order of their names, such as
    `env=prod,team=search`. Raises BadRequest for what are no tags, or too many."""
    text = incoming.headers.get(TAGS_HEADER, "")
    parts = [part.strip() for part in text.split(",") if part.strip()]
    tags = dict(part.split("=", 1) for part in parts if TAG.fullmatch(part))
    if len(tags) < len(parts) or len(tags) > MOST_TAGS:
        raise BadRequest(
            f"{TAGS_HEADER} must be at most {MOST_TAGS} different tags such as team=search, with "
            "commas between them; names and values are 1 to 64 letters, digits, _, -, . and /."
        )
    return ",".join(f"{name}={tags[name]}" for name in sorted(tags))


def retry_after(error: GatewayError) -> dict[str, str]:
    """The `Retry-After` header in whole seconds, rounded up, for nobody shall come too early; no
    header where a retry cannot help."""
    if error.retry_after_s is None:
        return {}
    return {"Retry-After": str(max(1, ceil(error.retry_after_s)))}
