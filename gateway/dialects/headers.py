"""Headers that every dialect knows."""

from __future__ import annotations

from typing import cast, get_args

from gateway.core.errors import BadRequest, GatewayError
from gateway.core.exchange import Incoming
from gateway.core.model import Quality

QUALITY_HEADER = "x-imgrid-quality"


DEADLINE_HEADER = "x-imgrid-deadline-ms"


ASKING = ("content-type", QUALITY_HEADER, DEADLINE_HEADER)
"""Headers that say what is asked of a body, in dialects that read them."""


def quality_of(incoming: Incoming, otherwise: Quality = "target") -> Quality:
    """What the header that every dialect knows asks for. Raises BadRequest for what it cannot."""
    given = incoming.headers.get(QUALITY_HEADER)
    if given is None:
        return otherwise
    if given not in get_args(Quality):
        raise BadRequest(
            f"{QUALITY_HEADER} must be {', '.join(get_args(Quality)[:-1])} or {get_args(Quality)[-1]}."
        )
    return cast(Quality, given)


def retry_after(error: GatewayError) -> dict[str, str]:
    """The header that says when to come back, in whole seconds, where coming back can help."""
    return (
        {}
        if error.retry_after_s is None
        else {"Retry-After": str(max(1, round(error.retry_after_s)))}
    )
