"""Symmetric signatures (v1) of the Standard Webhooks specification.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from secrets import token_bytes

PREFIX = "whsec_"
MIN_KEY_BYTES, MAX_KEY_BYTES, NEW_KEY_BYTES = 24, 64, 32


def parse_secret(secret: str) -> bytes:
    """The key in a secret, which is `whsec_` and the base64 of 24 to 64 bytes. Raises ValueError,
    whose message does not contain the secret."""
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
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(
            f"a webhook secret holds {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes, "
            f"this one {len(key)}; `imgrid webhooks secret` makes one"
        )
    return key


def new_secret() -> str:
    """A new random secret."""
    return PREFIX + base64.b64encode(token_bytes(NEW_KEY_BYTES)).decode()


def sign(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The signature of a message by one secret. Raises ValueError for a malformed secret."""
    message = f"{message_id}.{timestamp_s}.".encode() + body
    digest = hmac.digest(parse_secret(secret), message, "sha256")
    return "v1," + base64.b64encode(digest).decode()


def headers(
    secrets: Sequence[str], message_id: str, timestamp_s: int, body: bytes
) -> dict[str, str]:
    """The headers of a message, with a signature by each secret: while a secret is being replaced,
    some receivers know the old one and some the new."""
    signatures = [sign(secret, message_id, timestamp_s, body) for secret in secrets]
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(signatures),
    }
