"""The contract of reply stores: what repeated calls are answered with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.core.exchange import Reply

LEASE_S = 5.0
"""A run that was not renewed for so long is dead, and another run may begin its call."""
WAITER_S = 2.0
"""How long a run knows that another run waits for its end."""


class Replies(Protocol):
    """Holds replies by the ids of their calls, for a while, and the name of the run that is at a
    call without a reply. A call may have several ids. Every method raises BufferAway where the
    store cannot be reached."""

    async def begin(self, ids: Sequence[str], run: str) -> Reply | bool:
        """The reply under any of the ids; else whether `run` is to make it. False while another run
        is at the call, which learns that somebody waits."""
        ...

    async def renew(self, ids: Sequence[str], run: str) -> bool:
        """Extends the lease of a run. True if another run waits for its end."""
        ...

    async def end(self, ids: Sequence[str], run: str, reply: Reply | None) -> None:
        """Ends a run. Its reply is stored under each id that has no other run and no reply; without
        a reply, the next run begins anew."""
        ...
