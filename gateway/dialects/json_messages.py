"""JSON bodies of requests and replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from gateway.core.errors import BadRequest
from gateway.core.exchange import Reply

T = TypeVar("T")


def decode_json(body: bytes, form: type[T], refusal: str, *, strict: bool = True) -> T:
    """The body as a value of `form`. Raises BadRequest: `refusal`, then the reason.

    Not strict, numbers and booleans may be strings.
    """
    try:
        return msgspec.json.decode(body, type=form, strict=strict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"{refusal}{error}") from None


def json_reply(
    status: int,
    body: Any,
    headers: Mapping[str, str] | None = None,
    *,
    content_type: str = "application/json",
) -> Reply:
    """A reply with a JSON body and further `headers`."""
    return Reply(
        status, msgspec.json.encode(body), {"Content-Type": content_type, **(headers or {})}
    )
