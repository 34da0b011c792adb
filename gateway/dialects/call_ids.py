"""The ids by which a client's call is known when it is sent again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from gateway.core.exchange import Incoming
from gateway.dialects.headers import ASKING

MAX_ID_CHARS = 255
"""Of what marks the tries of a call; what is longer, no SDK sends."""


def marks(incoming: Incoming, *ids: str, asking: Sequence[str] = ASKING) -> tuple[str, ...]:
    """The ids that there are, each together with what is asked by the request and its headers
    `asking`: the same id for something else is another call's."""
    known = [each for each in ids if 0 < len(each) <= MAX_ID_CHARS]
    if not known:
        return ()
    said = [incoming.headers.get(name) for name in asking]
    body = hashlib.sha256(incoming.body or b"").digest()
    asked = msgspec.msgpack.encode((incoming.method, incoming.path, incoming.query, said, body))
    return tuple(hashlib.sha256(each.encode() + b"\0" + asked).hexdigest() for each in known)
