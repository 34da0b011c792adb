"""The ids by which the tries of one call are recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from gateway.core.exchange import Incoming
from gateway.dialects.headers import QUESTION_HEADERS

MAX_ID_CHARS = 255
"""A longer id is ignored: no SDK sends one."""


def digests_of_call_ids(
    incoming: Incoming, *ids: str, headers: Sequence[str] = QUESTION_HEADERS
) -> tuple[str, ...]:
    """A digest of each id together with the request, in hex; empty and overlong ids are left out.

    The digest covers method, path, query, body and the named `headers`, so that an id that is sent
    again with another question is the id of another call.
    """
    valid_ids = [call_id for call_id in ids if 0 < len(call_id) <= MAX_ID_CHARS]
    if not valid_ids:
        return ()
    values = [incoming.headers.get(name) for name in headers]
    body = hashlib.sha256(incoming.body or b"").digest()
    question = msgspec.msgpack.encode(
        (incoming.method, incoming.path, incoming.query, values, body)
    )
    return tuple(
        hashlib.sha256(call_id.encode() + b"\0" + question).hexdigest() for call_id in valid_ids
    )
