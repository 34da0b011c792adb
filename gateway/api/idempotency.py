"""Idempotency: the first try of a call runs it, and later tries join that run or get its reply."""

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

from gateway.core.errors import (
    BudgetExhausted,
    Busy,
    GatewayError,
    SourceAway,
    Stopping,
    UpstreamFailed,
)
from gateway.core.events import CallRepeated, Events
from gateway.core.exchange import Reply
from gateway.core.model import Tenant
from gateway.core.question import ItemAnswer
from gateway.store.replies import LEASE_S, Replies

log = logging.getLogger("imgrid")


class ClientCall(NamedTuple):
    """A client's call. All its tries share at least one id; without ids a request is a call of its
    own."""

    dialect: str
    ids: tuple[str, ...]


def call_of(tenant: Tenant, dialect: str, marks: Sequence[str]) -> ClientCall:
    """The call that a dialect recognises by these marks. Its ids differ between tenants and between
    dialects, and have one length whatever a client sends."""
    return ClientCall(dialect, tuple(_digest(tenant.name, dialect, mark) for mark in marks))


def _digest(*parts: str) -> str:
    return hashlib.sha256(msgspec.msgpack.encode(parts)).hexdigest()


@dataclass(frozen=True, slots=True)
class FirstReply:
    """A run's reply. Where it is `final`, later tries of the call get it too; otherwise they run
    the call again."""

    reply: Reply
    final: bool = True


def is_final(answers: Sequence[ItemAnswer]) -> bool:
    """Whether later tries get the same answers: a photo was answered, or refused for good, or may
    be billed.

    SDKs retry after passing faults, so faults that cost nothing and errors that ask to come back
    later are not final.
    """
    errors = [answer.error for answer in answers if answer.error is not None]
    billed_images = sum(answer.share for answer in answers)
    if len(errors) < len(answers):
        return True
    return not any(_is_passing(error, billed_images) for error in errors)


def _is_passing(error: GatewayError, billed_images: float) -> bool:
    if isinstance(error, Busy | Stopping | BudgetExhausted):
        return True
    is_fault = isinstance(error, UpstreamFailed | SourceAway) or type(error) is GatewayError
    return is_fault and not billed_images


Work = Callable[[], Awaitable[FirstReply]]
MOST_IDS = 16
"""Ids that one run keeps: of its first try, and of tries that joined it by another id."""


@dataclass(frozen=True, slots=True)
class RunPace:
    """Intervals of runs, in seconds.

    `grace_s` is how long a run goes on after its last client left, because SDKs pause before they
    retry. `poll_s` is how often the store is asked for the end of another replica's run. `renew_s`
    is how often a run renews its lease.
    """

    grace_s: float = 5.0
    poll_s: float = 0.1
    renew_s: float = LEASE_S / 5


@dataclass(eq=False)
class _Run:
    """One run of a call. Holds its ids, how many tries wait for it here, whether one waits at
    another replica, and the timer that cancels it."""

    ids: list[str]
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    waiting: int = 0
    awaited_elsewhere: bool = False
    cancel_timer: asyncio.TimerHandle | None = None


class CallRegistry:
    """Joins the tries of a call. Holds the runs under way, by the ids of their calls."""

    def __init__(self, replies: Replies, events: Events, pace: RunPace = RunPace()) -> None:
        """`replies` raise nothing: without its store it remembers within this process."""
        self._replies = replies
        self._events = events
        self._pace = pace
        self._runs: dict[str, _Run] = {}
        self._tasks: dict[_Run, asyncio.Task[tuple[Reply, bool]]] = {}

    async def reply(self, call: ClientCall, work: Work) -> Reply:
        """The reply of the call's run. `work` is done unless another try's was done or is under
        way.

        When cancelled, a call without an id cancels its work; another call's work goes on for a
        while, for the next try to join. Raises what `work` raised in the run, and Stopping where
        the run was cancelled.
        """
        if not call.ids:
            running = work()
            del work  # the coroutine decides itself how long it holds the photos
            return (await running).reply
        run = next((self._runs[call_id] for call_id in call.ids if call_id in self._runs), None)
        joined = run is not None
        run = run or self._start(call, work)
        del work  # a try that joins a run holds no photos meanwhile
        self._join(run, call)
        task = self._tasks[run]
        try:
            await asyncio.wait([task])
        finally:
            self._leave(run, task)
        if task.cancelled():
            raise Stopping("The gateway is going down; ask another one.")
        reply, from_store = task.result()
        if joined or from_store:
            self._events.tell(CallRepeated(call.dialect))
        return reply

    async def close(self) -> None:
        """Cancels the runs that are still under way."""
        tasks = [*self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- tries that wait for a run

    def _join(self, run: _Run, call: ClientCall) -> None:
        """Counts one more try that waits, whose ids are the run's too from now on."""
        run.waiting += 1
        if run.cancel_timer:
            run.cancel_timer.cancel()
            run.cancel_timer = None
        for call_id in call.ids:
            if call_id not in run.ids and len(run.ids) < MOST_IDS:
                run.ids.append(call_id)
        for call_id in run.ids:
            self._runs.setdefault(call_id, run)

    def _leave(self, run: _Run, task: asyncio.Task[tuple[Reply, bool]]) -> None:
        run.waiting -= 1
        if not run.waiting and not task.done():
            self._cancel_later(run)

    def _cancel_later(self, run: _Run) -> None:
        loop = asyncio.get_running_loop()
        run.cancel_timer = loop.call_later(self._pace.grace_s, self._cancel_unawaited, run)

    def _cancel_unawaited(self, run: _Run) -> None:
        """Cancels a run that no try came back for, so that its photos leave the buffer."""
        if run.awaited_elsewhere:
            self._cancel_later(run)
            return
        self._forget(run)
        self._tasks[run].cancel()

    # -- runs

    def _start(self, call: ClientCall, work: Work) -> _Run:
        run = _Run(list(call.ids))
        self._tasks[run] = task = asyncio.create_task(self._run(run, work))
        task.add_done_callback(lambda task: self._on_end(run, task))
        return run

    def _on_end(self, run: _Run, task: asyncio.Task[tuple[Reply, bool]]) -> None:
        self._forget(run)
        del self._tasks[run]
        if run.cancel_timer:
            run.cancel_timer.cancel()
        error = None if task.cancelled() else task.exception()
        if error and not run.waiting and not isinstance(error, GatewayError):
            log.error("a call failed whose client had left", exc_info=error)

    def _forget(self, run: _Run) -> None:
        for call_id in run.ids:
            if self._runs.get(call_id) is run:
                del self._runs[call_id]

    async def _run(self, run: _Run, work: Work) -> tuple[Reply, bool]:
        """The reply, and whether it is the stored reply of an earlier run."""
        final_reply: Reply | None = None
        try:
            final_reply = await self._stored_reply(run)
            if final_reply is not None:
                return final_reply, True
            running = work()
            del work
            async with self._renewing_lease(run):
                first = await running
            final_reply = first.reply if first.final else None
            return first.reply, False
        finally:
            await self._replies.end(run.ids, run.name, final_reply)

    async def _stored_reply(self, run: _Run) -> Reply | None:
        """The reply of an earlier run, waiting for one that is under way at another replica; None
        where this run is the first."""
        while (reply := await self._replies.begin(run.ids, run.name)) is False:  # noqa: ASYNC110
            await asyncio.sleep(self._pace.poll_s)
        return None if reply is True else reply

    @asynccontextmanager
    async def _renewing_lease(self, run: _Run) -> AsyncIterator[None]:
        async def renew() -> None:
            while True:
                await asyncio.sleep(self._pace.renew_s)
                run.awaited_elsewhere = await self._replies.renew(run.ids, run.name)

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()
