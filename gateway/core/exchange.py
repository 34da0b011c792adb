"""A request and its reply, independent of the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Incoming:
    """A client's request. Header names are in lower case; `path` and `query` are as on the wire.

    `body` is None until it is read: headers are enough to authenticate the client.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response; for gRPC, `status` is the gRPC code and `headers` are trailing metadata."""

    status: int
    body: bytes
    headers: Mapping[str, str]
