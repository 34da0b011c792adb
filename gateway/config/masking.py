"""The configuration as it may be shown: without what addresses hide."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

MASK = "**********"


def masked(content: Any) -> Any:
    """The content, however nested, with user-info, query and fragment of every URL masked: they may
    hold a password or a token."""
    if isinstance(content, dict):
        return {name: masked(value) for name, value in content.items()}
    if isinstance(content, list):
        return [masked(value) for value in content]
    return _masked_url(content) if isinstance(content, str) and "://" in content else content


def _masked_url(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:  # no URL, and nobody knows what is in it
        return MASK
    user_info, at, host = parts.netloc.rpartition("@")
    shown = parts._replace(
        netloc=f"{MASK}@{host}" if at and user_info else parts.netloc,
        query=MASK if parts.query else "",
        fragment=MASK if parts.fragment else "",
    )
    return urlunsplit(shown)
