"""The desk where calls come in: the first try of a call has it run, the others join that run or get
what it came to."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from gateway.core.errors import Busy, GatewayError, SourceAway, Stopping, UpstreamFailed
from gateway.core.events import Events, Repeated
from gateway.core.exchange import Reply
from gateway.core.model import Tenant
from gateway.core.question import ItemAnswer
from gateway.store.replies import LEASE_S, Replies

log = logging.getLogger("imgrid")


class ClientCall(NamedTuple):
    """A client's call, however often it is sent: known by any of its ids; without one it is like no
    other."""

    dialect: str
    ids: tuple[str, ...]


def call_of(tenant: Tenant, dialect: str, marks: Sequence[str]) -> ClientCall:
    """The call that a dialect knows by these marks. Its ids are no other tenant's and no other
    dialect's, and of one length whatever a client sends."""
    return ClientCall(dialect, tuple(_digest(tenant.name, dialect, mark) for mark in marks))


def _digest(*parts: str) -> str:
    return hashlib.sha256(msgspec.msgpack.encode(parts)).hexdigest()


@dataclass(frozen=True, slots=True)
class FirstReply:
    """A run's reply; `lasts` says whether later tries of the call get it too, instead of a run of
    their own."""

    reply: Reply
    lasts: bool = True


def lasts(answers: Sequence[ItemAnswer]) -> bool:
    """Whether to answer a later try as this one: something was answered, or refused for good, or
    may be billed.

    A passing fault that cost nothing, and any word to come back later, is what SDKs send a call
    again for.
    """
    errors = [answer.error for answer in answers if answer.error is not None]
    share = sum(answer.share for answer in answers)
    return len(errors) < len(answers) or not any(_passes(error, share) for error in errors)


def _passes(error: GatewayError, share: float) -> bool:
    if isinstance(error, Busy | Stopping):
        return True
    return not share and (
        isinstance(error, UpstreamFailed | SourceAway) or type(error) is GatewayError
    )


Work = Callable[[], Awaitable[FirstReply]]
MOST_IDS = 16
"""Ids by which one run is known: of its first try, and of those that joined with others of their
own."""


@dataclass(frozen=True, slots=True)
class RunPace:
    """Seconds: how long a run goes on for a client that left, as SDKs pause that long before they
    try again; how often one looks for the end of another replica's run; how often a run says that
    it goes on."""

    grace_s: float = 5.0
    look_s: float = 0.1
    renew_s: float = LEASE_S / 5


@dataclass(eq=False)
class _Run:
    """One run of a call. Holds who waits for it here, whether somebody does elsewhere, and when it
    is given up."""

    ids: list[str]
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    waiting: int = 0
    wanted: bool = False
    giving_up: asyncio.TimerHandle | None = None


class CallRegistry:
    """Holds the runs under way, by the ids of their calls."""

    def __init__(self, replies: Replies, events: Events, pace: RunPace = RunPace()) -> None:
        """`replies` raise nothing: they do without a store that is away."""
        self._replies = replies
        self._events = events
        self._pace = pace
        self._runs: dict[str, _Run] = {}
        self._tasks: dict[_Run, asyncio.Task[tuple[Reply, bool]]] = {}

    async def reply(self, call: ClientCall, work: Work) -> Reply:
        """What the call's run came to; `work` is done unless another try of the call has or had it
        done.

        When cancelled, a call without an id has its work cancelled; that of another goes on for a
        while, for the next try to join. Raises what `work` raised in the run that was joined, and
        Stopping where that was ended.
        """
        if not call.ids:
            making = work()
            del work  # what it was made of is up to itself to hold
            return (await making).reply
        run = next((self._runs[each] for each in call.ids if each in self._runs), None)
        joined = run is not None
        run = run or self._start(call, work)
        del work  # who joins a run holds no photos meanwhile
        self._join(run, call)
        task = self._tasks[run]
        try:
            await asyncio.wait([task])
        finally:
            self._leave(run, task)
        if task.cancelled():
            raise Stopping("The gateway is going down; ask another one.")
        reply, kept = task.result()
        if joined or kept:
            self._events.tell(Repeated(call.dialect))
        return reply

    async def close(self) -> None:
        """Ends what is still under way."""
        tasks = [*self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- who waits

    def _join(self, run: _Run, call: ClientCall) -> None:
        """One more waits for the run, which is known by its ids too from now on."""
        run.waiting += 1
        if run.giving_up:
            run.giving_up.cancel()
            run.giving_up = None
        for each in call.ids:
            if each not in run.ids and len(run.ids) < MOST_IDS:
                run.ids.append(each)
        for each in run.ids:
            self._runs.setdefault(each, run)

    def _leave(self, run: _Run, task: asyncio.Task[tuple[Reply, bool]]) -> None:
        run.waiting -= 1
        if not run.waiting and not task.done():
            self._give_up_later(run)

    def _give_up_later(self, run: _Run) -> None:
        run.giving_up = asyncio.get_running_loop().call_later(
            self._pace.grace_s, self._give_up, run
        )

    def _give_up(self, run: _Run) -> None:
        """Nobody came: the work is cancelled, and its photos leave the buffer."""
        if run.wanted:
            self._give_up_later(run)
            return
        self._forget(run)
        self._tasks[run].cancel()

    # -- runs

    def _start(self, call: ClientCall, work: Work) -> _Run:
        run = _Run(list(call.ids))
        self._tasks[run] = task = asyncio.create_task(self._run(run, work))
        task.add_done_callback(lambda done: self._ended(run, done))
        return run

    def _ended(self, run: _Run, task: asyncio.Task[tuple[Reply, bool]]) -> None:
        self._forget(run)
        del self._tasks[run]
        if run.giving_up:
            run.giving_up.cancel()
        error = None if task.cancelled() else task.exception()
        if error and not run.waiting and not isinstance(error, GatewayError):
            log.error("a call failed whose client had left", exc_info=error)

    def _forget(self, run: _Run) -> None:
        for each in run.ids:
            if self._runs.get(each) is run:
                del self._runs[each]

    async def _run(self, run: _Run, work: Work) -> tuple[Reply, bool]:
        """The reply, and whether an earlier run made it."""
        lasting: Reply | None = None
        try:
            lasting = await self._begun(run)
            if lasting is not None:
                return lasting, True
            making = work()
            del work
            async with self._renewing(run):
                made = await making
            lasting = made.reply if made.lasts else None
            return made.reply, False
        finally:
            await self._replies.end(run.ids, run.name, lasting)

    async def _begun(self, run: _Run) -> Reply | None:
        """An earlier run's reply, when there is one; None when this run is the one to make it."""
        while (begun := await self._replies.begin(run.ids, run.name)) is False:  # noqa: ASYNC110  it runs elsewhere
            await asyncio.sleep(self._pace.look_s)
        return None if begun is True else begun

    @asynccontextmanager
    async def _renewing(self, run: _Run) -> AsyncIterator[None]:
        async def renew() -> None:
            while True:
                await asyncio.sleep(self._pace.renew_s)
                run.wanted = await self._replies.renew(run.ids, run.name)

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()
