"""The photo in a request of either version of Azure's API: bytes, or a URL in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from gateway.core.errors import BadRequest
from gateway.core.exchange import Incoming
from gateway.core.question import Source
from gateway.dialects.json_messages import decode_json

BYTES = "application/octet-stream"
REQUEST_BODY: Mapping[str, Any] = {
    "required": True,
    "content": {
        BYTES: {"schema": {"type": "string", "format": "binary"}},
        "application/json": {
            "schema": {"type": "object", "properties": {"url": {"type": "string"}}}
        },
    },
}
"""Its description for OpenAPI."""


class PhotoUrl(Struct, frozen=True):
    url: Annotated[str, Meta(min_length=1, max_length=2048)]


def photo_of(incoming: Incoming) -> bytes | Source:
    """The photo's bytes or its address. Raises BadRequest."""
    content_type = incoming.headers.get("content-type", BYTES).partition(";")[0].strip().lower()
    body = incoming.body or b""
    if content_type == "application/json":
        refusal = 'The body must be {"url": "https://…"}, the photo\'s address: '
        return Source(decode_json(body, PhotoUrl, refusal).url)
    if content_type != BYTES and not content_type.startswith("image/"):
        raise BadRequest(
            f"The content type {content_type!r} is not supported; "
            f"send the photo's bytes as {BYTES}, or its url in JSON as application/json."
        )
    return body
