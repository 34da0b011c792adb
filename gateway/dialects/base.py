"""What a dialect does: read a request, write its answer or its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway.core.errors import GatewayError
from gateway.core.exchange import Incoming, Reply
from gateway.core.model import Tenant
from gateway.core.question import Forward, ItemAnswer, Question
from gateway.security.keyring import Keyring
from providers.base import Limits


class Dialect(Protocol):
    """One wire format. Reading and writing are pure."""

    name: str
    paths: tuple[str, ...]
    """Where it is served, as the router writes paths, with `{name:path}` for what may be anything;
    the first is the one to tell. Methods are POST, or what stands before a path: `GET
    /v1/operations/{name:path}`."""
    limits: Limits
    """What the API takes of one photo."""
    openapi: Mapping[str, Any]
    """Its operation in OpenAPI's form."""

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        """Who asks; without a body, who claims to, as far as headers can tell. Raises
        Unauthenticated."""
        ...

    def parse(self, incoming: Incoming) -> Question | Forward:
        """What is asked, by a request whose body was read.

        Raises BadRequest, NotServed or a PhotoError; nothing else, whatever the bytes.
        """
        ...

    def render(self, question: Question, answers: Sequence[ItemAnswer]) -> Reply:
        """The answer to a question; a dialect of one photo a call raises that photo's error."""
        ...

    def render_error(self, error: GatewayError) -> Reply:
        """The dialect's own form of an error."""
        ...

    def call_ids(self, incoming: Incoming) -> tuple[str, ...]:
        """What marks a request whose body was read as a try of one call, as `marks` makes it:
        requests that have one of these in common are tries of one call. None where the client marks
        none. Raises BadRequest."""
        ...
