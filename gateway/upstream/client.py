"""The client of one provider: its rate limit, its circuit breaker, and retries after faults that
pass."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import TypeVar

from gateway.core.clock import Clock
from gateway.core.events import BreakerChanged, Events
from gateway.core.slots import Slots
from gateway.upstream.breaker import CircuitBreaker
from gateway.upstream.faults import CircuitOpen, RateLimited, RetryPolicy, fault_of
from gateway.upstream.rate_limit import RateLimit
from gateway.upstream.throughput import Throughput
from gateway.upstream.time_limit import StallMonitor, time_limited
from providers import border
from providers.base import ForwardCall, Forwarder, ForwardReply, Picture, Provider
from providers.detection import Detection, Task
from providers.errors import Misconfigured, ProviderError, Throttled

T = TypeVar("T")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
PROBE_PAUSE_S = 1.0
"""When to come back while probes are in flight."""
SMOOTHING = 0.2
"""The weight of the last canvas in the typical duration."""
FIRST_CANVAS_S = 0.5
"""How long a canvas is taken to last before one was answered."""


class Abandoned(Exception):
    """No client waits for the answer any more, so the call was not made."""


async def _always() -> bool:
    return True


async def _ignore(_: ProviderError) -> None:
    pass


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """A provider's sane detections, the number of calls that they took, the duration of all calls,
    pauses included, and how many detections were dropped."""

    detections: Sequence[Detection]
    calls: int
    asked_s: float
    dropped: int = 0


class UpstreamClient:
    """Calls one provider, as often as its rate limit and its breaker allow. Holds the slots for
    canvases, how long a canvas takes (`canvas_s`, in seconds from its claim to its answer; None
    before the first), and the queue of calls that wait for their turn.

    A canvas that waits for its turn has its slot too. An open breaker takes no slot: photos must
    get their error, or their fallback.

    `name` is the provider's name in events, by default its own.
    """

    def __init__(
        self,
        provider: Provider,
        clock: Clock,
        rng: random.Random,
        *,
        breaker: CircuitBreaker | None = None,
        events: Events | None = None,
        name: str = "",
    ) -> None:
        """Without a breaker the provider is called however often it fails."""
        self.provider = provider
        self.breaker = breaker or CircuitBreaker()
        self.slots = Slots(provider.about.concurrency)
        self.canvas_s: float | None = None
        self._throughput = Throughput()
        self._name = name or provider.about.name
        self._clock = clock
        self._rng = rng
        self._events = events or Events()
        self._call_slots = asyncio.Semaphore(provider.about.concurrency)
        self._rate = RateLimit(provider.about.calls.rate_per_s)
        self._queue = asyncio.Lock()
        self._queue_length = 0
        self._stall = StallMonitor(provider.about)

    @property
    def typical_s(self) -> float:
        """How long a canvas typically takes, from its claim to its answer."""
        return FIRST_CANVAS_S if self.canvas_s is None else self.canvas_s

    @property
    def canvases_per_s(self) -> float | None:
        """How many canvases are answered a second when more wait; None before the first answer."""
        if self.canvas_s is None:
            return None
        return self._throughput.per_s or self.provider.about.concurrency / max(self.canvas_s, 1e-3)

    @property
    def is_asked(self) -> bool:
        """Whether a call is with the provider now."""
        return self._stall.calls > 0

    def record_canvas(self, seconds: float) -> None:
        """Takes note of a canvas that was answered now, so long after its claim."""
        if self.canvas_s is None:
            self.canvas_s = seconds
        self.canvas_s += SMOOTHING * (seconds - self.canvas_s)
        now = self._clock()
        self._throughput.record(now, now - seconds, is_saturated=self.slots.free_slots <= 0)

    @property
    def blocked_until(self) -> float:
        """When the breaker may let a call through: a time in the past for now, infinity for when
        probes have ended."""
        return self.breaker.blocked_until(self._clock())

    @property
    def turn_at(self) -> float:
        """When a call that came now would have its turn at the provider's rate."""
        now = self._clock()
        return now + self._rate.wait_s(now, ahead=self._queue_length)

    @property
    def stall(self) -> str:
        """What is wrong where all slots have been busy too long without an answer; else empty."""
        return self._stall.problem(self._clock())

    def check(self) -> None:
        """Raises CircuitOpen where the breaker would let no call through."""
        if self.blocked_until > self._clock():
            raise self._circuit_open()

    async def ask(
        self,
        picture: Picture,
        task: Task,
        until: float,
        *,
        extras: Sequence[str] = (),
        is_needed: Callable[[], Awaitable[bool]] = _always,
        on_failure: Callable[[ProviderError], Awaitable[None]] = _ignore,
        retry: RetryPolicy = RetryPolicy(),
    ) -> UpstreamAnswer:
        """The provider's answer about a picture.

        A fault that passes is retried after an exponential pause with full jitter (or after the
        pause that the provider asks for), as long as the next call could begin before `until`.
        `is_needed` is awaited before every call, `on_failure` after every failed call.

        Raises Abandoned where the answer is no longer needed, CircuitOpen or RateLimited where no
        call may be made for now, and else the last ProviderError.
        """
        began, calls = self._clock(), 0
        while True:
            calls += 1
            try:
                turn_until = retry.ends_at("throttled", began, until)
                detect = partial(border.detect, self.provider, picture, task, extras)
                answer = await self._call(detect, until=turn_until, is_needed=is_needed)
            except (RateLimited, CircuitOpen):
                raise
            except ProviderError as error:
                await on_failure(error)
                pause_s = self._pause_s(error, calls)
                ends_at = retry.ends_at(fault_of(error).name, began, until)
                if not retry.retries(error, calls) or self._clock() + pause_s >= ends_at:
                    raise
                await asyncio.sleep(pause_s)
            else:
                asked_s = self._clock() - began
                return UpstreamAnswer(answer.detections, calls, asked_s, answer.dropped)

    async def forward(self, call: ForwardCall, until: float) -> ForwardReply:
        """The vendor's reply to a client's whole call, which is made once, in its turn.

        Raises the errors of `ask`, and Misconfigured where the provider forwards no calls.
        """
        if not isinstance(self.provider, Forwarder):
            raise Misconfigured(f"{self.provider.about.name} hands no calls on")
        work = partial(border.forward, self.provider, self.provider.about.name, call)
        return await self._call(work, until=until)

    async def _call(
        self,
        work: Callable[[], Awaitable[T]],
        *,
        until: float,
        is_needed: Callable[[], Awaitable[bool]] = _always,
    ) -> T:
        """The result of one call, made when the provider has a slot for it: the halves of a refused
        canvas are asked about at the same time."""
        async with self._call_slots:
            self.check()
            await self._wait_turn(until)
            turn, failed = self._enter(), None
            try:
                if not await is_needed():
                    raise Abandoned
                result = await self._in_time(work)
                failed = False
            except ProviderError as error:
                failed = fault_of(error).fails
                raise
            finally:
                self._leave(turn, failed)
            return result

    async def _in_time(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of a call, or NoAnswer where it takes too long."""
        self._stall.begin(self._clock())
        try:
            async with time_limited(self.provider.about):
                result = await work()
        except BaseException as error:
            self._stall.end(self._clock(), error)
            raise
        self._stall.end(self._clock(), None)
        return result

    async def _wait_turn(self, until: float) -> None:
        """Waits for a token, first come, first served. Raises RateLimited at once where none would
        come before `until`."""
        wait_s = self.turn_at - self._clock()
        if wait_s > 0 and self._clock() + wait_s >= until:
            raise RateLimited(f"rate_per_s is {self.provider.about.calls.rate_per_s:g}", wait_s)
        self._queue_length += 1
        try:
            async with self._queue:
                # a sleep may end too soon
                while (wait_s := self._rate.wait_s(self._clock())) > 0:  # noqa: ASYNC110
                    await asyncio.sleep(wait_s)
                self._rate.take(self._clock())
        finally:
            self._queue_length -= 1

    def _enter(self) -> int:
        previous_state = self.breaker.state
        turn = self.breaker.enter(self._clock())
        self._tell_change(previous_state)
        if turn is None:
            raise self._circuit_open()
        return turn

    def _leave(self, turn: int, failed: bool | None) -> None:
        previous_state = self.breaker.state
        self.breaker.leave(turn, self._clock(), failed)
        self._tell_change(previous_state)

    def _tell_change(self, previous_state: str) -> None:
        state = self.breaker.state
        if state != previous_state:
            open_s = max(self.blocked_until - self._clock(), 0.0) if state == "open" else 0.0
            self._events.tell(BreakerChanged(self._name, state, open_s))

    def _circuit_open(self) -> CircuitOpen:
        until = self.blocked_until
        wait_s = max(until - self._clock(), 0.0) if isfinite(until) else PROBE_PAUSE_S
        return CircuitOpen(
            f"too many of its last calls failed; asked again in {wait_s:.1f} s", wait_s
        )

    def _pause_s(self, error: ProviderError, calls: int) -> float:
        retry_after_s = (error.retry_after_s or 0.0) if isinstance(error, Throttled) else 0.0
        max_jitter_s = min(FIRST_PAUSE_S * 2 ** (calls - 1), LONGEST_PAUSE_S)
        return retry_after_s + self._rng.uniform(0, max_jitter_s)
