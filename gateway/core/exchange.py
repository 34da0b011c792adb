"""A request and a reply, whatever the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it came; header names are in lower case, `path` and `query` as on the wire.

    `body` is None before it is read, when only who asks is of interest.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    headers: Mapping[str, str]
