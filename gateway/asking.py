"""One question to one provider, asked again on passing faults."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.errors import GatewayError, UpstreamFailed, UpstreamThrottled
from providers.base import Detection, Picture, Provider, ProviderError, Task, Throttled, Unavailable

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
PASSING = (Throttled, Unavailable)
"""What may be otherwise a moment later, and was not billed. Whether NoAnswer is one of these is the operator's to say:
the picture may be billed twice."""


class Unwanted(Exception):
    """Nobody waits for the answer any more: nothing was asked, or not again."""


async def _always() -> bool:
    return True


async def _unheard(_: ProviderError) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider saw, how many calls it took, and how long all of it lasted, pauses included."""

    found: Sequence[Detection]
    calls: int
    asked_s: float


class Asker:
    """Asks one provider. Holds the number of pictures under way and how long an answer usually takes."""

    def __init__(self, provider: Provider, clock: Clock, rng: random.Random) -> None:
        self.provider = provider
        self.under_way = 0
        self.typical_s = 0.5
        self._clock = clock
        self._rng = rng
        self._slots = asyncio.Semaphore(provider.about.concurrency)

    @property
    def free(self) -> int:
        """How many more pictures may be asked about now."""
        return self.provider.about.concurrency - self.under_way

    async def ask(
        self,
        picture: Picture,
        task: Task,
        until: float,
        *,
        extras: Sequence[str] = (),
        wanted: Callable[[], Awaitable[bool]] = _always,
        on_failure: Callable[[ProviderError], Awaitable[None]] = _unheard,
        passing: tuple[type[ProviderError], ...] = PASSING,
    ) -> Answer:
        """The provider's answer.

        Before every call it is asked whether the answer is still `wanted`; raises Unwanted if not. Passing faults are
        tried again after an exponential pause with full jitter (or the pause the provider asks for) as long as the next
        call could begin before `until`. Raises the last ProviderError otherwise; every failed call is reported to
        `on_failure` first.
        """
        began, calls = self._clock(), 0
        while True:
            if not await wanted():
                raise Unwanted
            calls += 1
            try:
                found = await self._call(picture, task, extras)
            except ProviderError as error:
                await on_failure(error)
                pause = self._pause(error, calls)
                if not isinstance(error, passing) or self._clock() + pause >= until:
                    raise
                await asyncio.sleep(pause)
            else:
                return Answer(found, calls, self._clock() - began)

    async def _call(self, picture: Picture, task: Task, extras: Sequence[str]) -> Sequence[Detection]:
        """One call, when the provider has room for it: the halves of a refused canvas are asked about side by side."""
        async with self._slots:
            called = self._clock()
            found = await self.provider.detect(picture, task, extras)
            self.typical_s += 0.2 * (self._clock() - called - self.typical_s)
            return found

    def _pause(self, error: ProviderError, calls: int) -> float:
        asked_for = (error.retry_after_s or 0.0) if isinstance(error, Throttled) else 0.0
        most = min(FIRST_PAUSE_S * 2 ** (calls - 1), LONGEST_PAUSE_S)
        return asked_for + self._rng.uniform(0, most)


def translate(error: Exception) -> GatewayError:
    """What a client is told of an upstream failure; details stay in the log."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, Throttled):
        return UpstreamThrottled("The vision service asked to slow down for longer than this photo could wait.",
                                 error.retry_after_s or 1.0)  # fmt: skip
    if isinstance(error, ProviderError):
        return UpstreamFailed(f"The vision service could not answer ({type(error).__name__}).")
    return GatewayError()
