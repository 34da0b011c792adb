"""What marks a call, what is kept of it, and where: the boundary between the desk and its
stores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.core.exchange import Reply

LEASE_S = 5.0
"""A run that has not been heard of for so long is dead, and its call is another's to run."""
WANTED_S = 2.0
"""How long it is known of a run that another waits for its end."""


class Replies(Protocol):
    """Replies by the ids of their calls, for a while; and which run, by its name, is at a call that
    has none yet.

    Each raises BufferAway where the store cannot be reached.
    """

    async def begin(self, ids: Sequence[str], run: str) -> Reply | bool:
        """The reply that is kept under any of the ids, or whether `run` is the one to make it.
        False while another run is at it, which hears that somebody waits."""
        ...

    async def renew(self, ids: Sequence[str], run: str) -> bool:
        """The run goes on, for a lease more. True where another waits for its end."""
        ...

    async def end(self, ids: Sequence[str], run: str, reply: Reply | None) -> None:
        """Keeps the reply under every id that no other run is at and no reply is kept under; with
        none, the next try begins anew."""
        ...
