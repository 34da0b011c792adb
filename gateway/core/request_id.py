"""The id of the request that is being answered, for the log and for the ids of its photos."""

from __future__ import annotations

import re
import secrets
import uuid
from contextvars import ContextVar

REQUEST_ID: ContextVar[str] = ContextVar("imgrid_request_id", default="")
"""The id of the current task's request; empty outside of requests."""
_FORM = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id_of(text: str | None) -> str:
    """The id that a client or a proxy gave its request; a new one where there is none, or none of
    1 to 64 letters, digits, dots, dashes and underscores."""
    return text if text and _FORM.fullmatch(text) else uuid.uuid4().hex


def new_photo_id() -> str:
    """A photo's id, which is unique and begins with the current request's, so that the log of any
    replica tells whose it was."""
    request_id = REQUEST_ID.get()
    return f"{request_id}-{secrets.token_hex(8)}" if request_id else secrets.token_hex(16)
