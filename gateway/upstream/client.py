"""One question to one provider, asked again on passing faults."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import TypeVar

from gateway.core.clock import Clock
from gateway.upstream.breaker import CircuitBreaker
from gateway.upstream.faults import Queued, Resting, RetryPolicy, fault_of
from gateway.upstream.rate_limit import RateLimit
from providers.base import ForwardCall, Forwarder, ForwardReply, Picture, Provider
from providers.detection import Detection, Task
from providers.errors import Misconfigured, ProviderError, Throttled

T = TypeVar("T")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
PROBED_S = 1.0
"""When to come back while probes are under way."""


class Abandoned(Exception):
    """Nobody waits for the answer any more: nothing was asked, or not again."""


async def _always() -> bool:
    return True


async def _unheard(_: ProviderError) -> None:
    pass


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """What a provider saw, how many calls it took, and how long all of it lasted, pauses
    included."""

    detections: Sequence[Detection]
    calls: int
    asked_s: float


class UpstreamClient:
    """Asks one provider, as often as its rate allows and its breaker lets it. Holds the number of
    pictures under way, how long an answer usually takes, and the line in which calls wait for their
    turn.

    `on_change` is told when the breaker has changed.
    """

    def __init__(
        self,
        provider: Provider,
        clock: Clock,
        rng: random.Random,
        breaker: CircuitBreaker | None = None,
        on_change: Callable[[UpstreamClient], None] = lambda _: None,
    ) -> None:
        """Without a breaker it is asked however often it fails."""
        self.provider = provider
        self.breaker = breaker or CircuitBreaker()
        self.under_way = 0
        self.typical_s = 0.5
        self._clock = clock
        self._rng = rng
        self._on_change = on_change
        self._slots = asyncio.Semaphore(provider.about.concurrency)
        self._rate = RateLimit(provider.about.calls.rate_per_s)
        self._line = asyncio.Lock()
        self._in_line = 0

    @property
    def free(self) -> int:
        """How many more pictures may be asked about now. Those that wait for their turn count as
        under way; and a breaker takes nothing from it, for whoever waits is to be told, or answered
        by another."""
        return self.provider.about.concurrency - self.under_way

    @property
    def broken_until(self) -> float:
        """When the breaker may let a call through: by now, later, or when probes have ended
        (inf)."""
        return self.breaker.rests_until(self._clock())

    @property
    def turn_at(self) -> float:
        """When a call would have its turn that came now."""
        now = self._clock()
        return now + self._rate.wait_s(now, ahead=self._in_line)

    def check(self) -> None:
        """Raises Resting where the breaker would let no call through."""
        if self.broken_until > self._clock():
            raise self._resting()

    async def ask(
        self,
        picture: Picture,
        task: Task,
        until: float,
        *,
        extras: Sequence[str] = (),
        wanted: Callable[[], Awaitable[bool]] = _always,
        on_failure: Callable[[ProviderError], Awaitable[None]] = _unheard,
        retrying: RetryPolicy = RetryPolicy(),
    ) -> UpstreamAnswer:
        """The provider's answer.

        Before every call it is asked whether the answer is still `wanted`; raises Unwanted if not.
        After faults that pass by `retrying` another call is made after an exponential pause with
        full jitter (or the pause the provider asks for) as long as it could begin before `until`.
        Raises the last ProviderError otherwise; every failed call is reported to `on_failure`
        first. Raises Queued or Resting where no call is made for now.
        """
        began, calls = self._clock(), 0
        while True:
            calls += 1
            try:
                turn_until = retrying.ends_at("throttled", began, until)
                look = partial(self._look, picture, task, extras)
                found = await self._call(look, until=turn_until, wanted=wanted)
            except (Queued, Resting):
                raise
            except ProviderError as error:
                await on_failure(error)
                pause = self._pause(error, calls)
                ends_at = retrying.ends_at(fault_of(error).name, began, until)
                if not retrying.again(error, calls) or self._clock() + pause >= ends_at:
                    raise
                await asyncio.sleep(pause)
            else:
                return UpstreamAnswer(found, calls, self._clock() - began)

    async def forward(self, call: ForwardCall, until: float) -> ForwardReply:
        """The answer to a client's whole call, made once, in its turn. Raises ProviderError, Queued
        or Resting as `ask` does, and Misconfigured where the provider hands nothing on."""
        if not isinstance(self.provider, Forwarder):
            raise Misconfigured(f"{self.provider.about.name} hands no calls on")
        return await self._call(partial(self.provider.forward, call), until=until)

    async def _call(
        self,
        work: Callable[[], Awaitable[T]],
        *,
        until: float,
        wanted: Callable[[], Awaitable[bool]] = _always,
    ) -> T:
        """One call, when the provider has room for it: the halves of a refused canvas are asked
        about side by side."""
        async with self._slots:
            self.check()
            await self._turn(until)
            number, failed = self._enter(), None
            try:
                if not await wanted():
                    raise Abandoned
                done = await work()
                failed = False
            except ProviderError as error:
                failed = fault_of(error).fails
                raise
            finally:
                self._leave(number, failed)
            return done

    async def _look(
        self, picture: Picture, task: Task, extras: Sequence[str]
    ) -> Sequence[Detection]:
        called = self._clock()
        found = await self.provider.detect(picture, task, extras)
        self.typical_s += 0.2 * (self._clock() - called - self.typical_s)
        return found

    async def _turn(self, until: float) -> None:
        """Waits for a token, behind those who came before. Raises Queued at once where none would
        come in time."""
        wait_s = self.turn_at - self._clock()
        if wait_s > 0 and self._clock() + wait_s >= until:
            raise Queued(f"rate_per_s is {self.provider.about.calls.rate_per_s:g}", wait_s)
        self._in_line += 1
        try:
            async with self._line:  # first come, first served
                while (wait_s := self._rate.wait_s(self._clock())) > 0:  # noqa: ASYNC110  a sleep may end too soon
                    await asyncio.sleep(wait_s)
                self._rate.take(self._clock())
        finally:
            self._in_line -= 1

    def _enter(self) -> int:
        before = self.breaker.state
        number = self.breaker.enter(self._clock())
        self._tell(before)
        if number is None:
            raise self._resting()
        return number

    def _resting(self) -> Resting:
        until = self.broken_until
        back_s = max(until - self._clock(), 0.0) if isfinite(until) else PROBED_S
        return Resting(f"too many of its last calls failed; asked again in {back_s:.1f} s", back_s)

    def _leave(self, number: int, failed: bool | None) -> None:
        before = self.breaker.state
        self.breaker.leave(number, self._clock(), failed)
        self._tell(before)

    def _tell(self, before: str) -> None:
        if self.breaker.state != before:
            self._on_change(self)

    def _pause(self, error: ProviderError, calls: int) -> float:
        asked_for = (error.retry_after_s or 0.0) if isinstance(error, Throttled) else 0.0
        most = min(FIRST_PAUSE_S * 2 ** (calls - 1), LONGEST_PAUSE_S)
        return asked_for + self._rng.uniform(0, most)
