"""Signatures of the Standard Webhooks specification, the symmetric kind (v1).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
LEAST_BYTES, MOST_BYTES, NEW_BYTES = 24, 64, 32


def parse_secret(secret: str) -> bytes:
    """The key in a secret: `whsec_` and the base64 of 24 to 64 bytes. Raises ValueError, which does
    not repeat it."""
    encoded = secret.removeprefix(PREFIX)
    if encoded == secret:
        raise ValueError(
            f"a webhook secret begins with {PREFIX}; `imgrid webhooks secret` makes one"
        )
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(
            f"after {PREFIX} a webhook secret is base64; `imgrid webhooks secret` makes one"
        ) from None
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise ValueError(
            f"a webhook secret holds {LEAST_BYTES} to {MOST_BYTES} bytes, this one {len(key)}; "
            "`imgrid webhooks secret` makes one"
        )
    return key


def new_secret() -> str:
    """A secret that nobody knows yet."""
    return PREFIX + base64.b64encode(secrets.token_bytes(NEW_BYTES)).decode()


def sign(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """One signature of a message. Raises ValueError for what is no secret."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(parse_secret(secret), signed, "sha256")).decode()


def headers(known: Sequence[str], message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The headers of a message, with a signature by each secret: while one replaces another,
    receivers know either."""
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(sign(each, message_id, timestamp_s, body) for each in known),
    }
