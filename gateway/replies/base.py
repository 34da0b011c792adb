"""What marks a call, what is kept of it, and where: the boundary between the desk and its stores."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from gateway.dialects.base import Answered, Reply
from gateway.errors import Busy, GatewayError, SourceAway, Stopping, UpstreamFailed
from gateway.model import Tenant

LEASE_S = 5.0
"""A run that has not been heard of for so long is dead, and its call is another's to run."""
WANTED_S = 2.0
"""How long it is known of a run that another waits for its end."""


class Call(NamedTuple):
    """A client's call, however often it is sent: known by any of its ids; without one it is like no other."""

    dialect: str
    ids: tuple[str, ...]


def call_of(tenant: Tenant, dialect: str, marks: Sequence[str]) -> Call:
    """The call that a dialect knows by these marks. Its ids are no other tenant's and no other dialect's, and of one
    length whatever a client sends."""
    return Call(dialect, tuple(_digest(tenant.name, dialect, mark) for mark in marks))


def _digest(*parts: str) -> str:
    return hashlib.sha256(msgspec.msgpack.encode(parts)).hexdigest()


@dataclass(frozen=True, slots=True)
class Made:
    """A run's reply; `lasts` says whether later tries of the call get it too, instead of a run of their own."""

    reply: Reply
    lasts: bool = True


def lasts(answers: Sequence[Answered]) -> bool:
    """Whether to answer a later try as this one: something was answered, or refused for good, or may be billed.

    A passing fault that cost nothing, and any word to come back later, is what SDKs send a call again for.
    """
    errors = [answer.error for answer in answers if answer.error is not None]
    share = sum(answer.share for answer in answers)
    return len(errors) < len(answers) or not any(_passes(error, share) for error in errors)


def _passes(error: GatewayError, share: float) -> bool:
    if isinstance(error, Busy | Stopping):
        return True
    return not share and (isinstance(error, UpstreamFailed | SourceAway) or type(error) is GatewayError)


class Replies(Protocol):
    """Replies by the ids of their calls, for a while; and which run, by its name, is at a call that has none yet.

    Each raises BufferAway where the store cannot be reached.
    """

    async def begin(self, ids: Sequence[str], run: str) -> Reply | bool:
        """The reply that is kept under any of the ids, or whether `run` is the one to make it. False while another run
        is at it, which hears that somebody waits."""
        ...

    async def renew(self, ids: Sequence[str], run: str) -> bool:
        """The run goes on, for a lease more. True where another waits for its end."""
        ...

    async def end(self, ids: Sequence[str], run: str, reply: Reply | None) -> None:
        """Keeps the reply under every id that no other run is at and no reply is kept under; with none, the next try
        begins anew."""
        ...
