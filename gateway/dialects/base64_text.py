"""Base64 as clients send it: either alphabet, with or without padding and line breaks, or as a data
URL."""

from __future__ import annotations

import base64

TO_STANDARD_ALPHABET = str.maketrans("-_", "+/", " \t\r\n=")
"""From the URL-safe alphabet (RFC 4648, section 5) to the standard one, without white space and
padding."""


def decode_base64(text: str) -> bytes:
    """The bytes of a base64 text. Raises ValueError where it is none."""
    if not text.isascii():  # translating it would take seconds
        raise ValueError("a text that is not ASCII")
    text = text.translate(TO_STANDARD_ALPHABET)
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def decode_content(text: str) -> bytes:
    """The bytes of a base64 text or of a data URL (RFC 2397) in base64. Raises ValueError where it
    is neither."""
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            raise ValueError("a data URL that is not in base64")
    try:
        return base64.b64decode(text, validate=True)  # the usual form, without a copy
    except ValueError:
        return decode_base64(text)
