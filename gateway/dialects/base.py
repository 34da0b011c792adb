"""The contract of a dialect: a wire format that clients speak.

A dialect reads requests and writes replies, without I/O. The parts of the contract are Protocols of
their own, so that a caller can ask for what it uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway.core.errors import GatewayError
from gateway.core.exchange import Incoming, Reply
from gateway.core.model import Tenant
from gateway.core.question import Forward, ItemAnswer, JobCall, Question
from gateway.security.keyring import Keyring
from providers.base import Limits


class DialectSpec(Protocol):
    """The fixed facts about a dialect."""

    name: str
    vendor: str
    """The vendor whose names of things and own features its clients know; empty for none."""
    paths: tuple[str, ...]
    """The paths of the endpoint in the router's form; `{name:path}` matches any path.

    The first one is documented. The method is POST unless it stands before the path, as in
    `GET /v1/operations/{name:path}`.
    """
    limits: Limits
    """The API's limits for one photo."""
    openapi: Mapping[str, Any]
    """The operation in OpenAPI's form."""


class RequestReader(Protocol):
    """Reads requests."""

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        """The tenant that sent the request. Raises Unauthenticated.

        Without a body: the tenant that the headers claim, as far as they can be verified.
        """
        ...

    def call_ids(self, incoming: Incoming) -> tuple[str, ...]:
        """The ids of the call that a request with its body belongs to, as
        `call_ids.digests_of_call_ids` makes them.

        Requests that share an id are tries of the same call. Empty where the client sends no id.
        Raises BadRequest.
        """
        ...

    def parse(self, incoming: Incoming) -> Question | Forward | JobCall:
        """The question in a request with its body, or the call that it is instead.

        Raises BadRequest, NotServed or a PhotoError, and nothing else whatever the bytes are.
        """
        ...


class ReplyWriter(Protocol):
    """Writes replies."""

    def render(self, question: Question, answers: Sequence[ItemAnswer]) -> Reply:
        """The reply to a question. A dialect with one photo a call raises that photo's error."""
        ...

    def render_error(self, error: GatewayError) -> Reply:
        """The reply for an error, in the dialect's form."""
        ...


class Dialect(DialectSpec, RequestReader, ReplyWriter, Protocol):
    """One wire format."""
