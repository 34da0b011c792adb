"""The cache of answers: equal photos with the same question are asked about once.

The first of them has a lease while it is asked about, and the others wait for its answer. If it
fails, leaves or takes too long, the next one is asked about itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from gateway.core.clock import Clock
from gateway.core.errors import BufferAway
from gateway.core.events import Event, LookupResult, PhotoAbandoned, Settled
from gateway.core.model import Entry, Outcome
from gateway.grid.perceptual_hash import perceptual_hash
from gateway.pipeline.background import BackgroundTasks
from gateway.pipeline.cache_key import CacheKey, cache_key, variant_of
from gateway.pipeline.entry_view import Routes
from gateway.pipeline.near_index import NearIndex, Peers
from gateway.store.answers import Answers, Lease
from gateway.store.codec import Unreadable, pack_outcome, unpack_outcome

log = logging.getLogger("imgrid")

LEASE_S = 60.0
"""How long others wait for a photo at most: it may have left without a word, with its job."""
FOLLOW_SHARE = 0.5
"""A photo waits for another one for this share of its time at most: it may have to be asked about
itself."""
POLL_S = 0.05
"""How often a photo that waits looks for the answer, which another replica may have."""


class CachedAnswer(NamedTuple):
    """An outcome of an earlier photo, with its last step only, and how alike the photos are."""

    outcome: Outcome
    result: LookupResult


class AnswerCache:
    """Finds answers. Listens to settled and abandoned photos, whose leases end. Holds the index of
    near-duplicates, which is this replica's own."""

    def __init__(
        self, routes: Routes, answers: Answers, *, background: BackgroundTasks, clock: Clock
    ) -> None:
        self._routes = routes
        self._answers = answers
        self._background = background
        self._clock = clock
        self._near_index = NearIndex()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Settled):
            entry, outcome = event.entry, event.outcome
            answer = outcome if event.is_reusable and outcome.error is None else None
            is_over = not outcome.is_cached
        elif isinstance(event, PhotoAbandoned):
            entry, answer, is_over = event.entry, None, True
        else:
            return
        if is_over and isinstance(entry, Entry) and self._may_lead(entry):
            self._background.start(self._end(entry, answer))

    async def look_up(self, entry: Entry) -> CachedAnswer | None:
        """The answer of an equal photo or, where the route allows it, of a near-duplicate. None
        where the photo is to be asked about.

        A photo that the gateway asks about for itself gets none of an equal photo.
        """
        key = await self._key_of(entry)
        if key is None:
            return None
        if self._may_lead(entry):
            outcome = await self._equal(entry, key)
            if outcome is not None:
                return CachedAnswer(outcome, LookupResult.HIT)
        outcome = await self._near(entry, key)
        if outcome is None:
            return None
        if self._may_lead(entry):
            await self._answers.end(str(key), _lease(entry, key))
        return CachedAnswer(outcome, LookupResult.NEAR)

    def _may_lead(self, entry: Entry) -> bool:
        """Whether equal photos may wait for this one."""
        route = self._routes.get(entry.route)
        return route is not None and route.cache is not None and not entry.watched

    async def _key_of(self, entry: Entry) -> CacheKey | None:
        """The key of the photo; None where its route caches nothing (any more)."""
        route = self._routes.get(entry.route)
        if route is None or route.cache is None:
            return None
        return await asyncio.to_thread(cache_key, entry, route)

    async def _equal(self, entry: Entry, key: CacheKey) -> Outcome | None:
        """The answer of an equal photo, waiting for one that is under way."""
        now = self._clock()
        until = now + min(LEASE_S, FOLLOW_SHARE * (entry.deadline_at - now))
        while True:
            answer = await self._answers.begin(str(key), _lease(entry, key), lease_s=LEASE_S)
            if isinstance(answer, bytes):
                return _unpacked(answer)
            if answer or self._clock() >= until:
                return None
            await asyncio.sleep(POLL_S)

    async def _near(self, entry: Entry, key: CacheKey) -> Outcome | None:
        """The answer of a near-duplicate; else the photo is remembered, for others to get its
        answer."""
        route, photo_hash = self._routes[entry.route], await self._hash_of(entry)
        if photo_hash is None or route.cache is None or route.cache.near_distance is None:
            return None
        peers = Peers(key.question, entry.photo.size)
        if route.takes_near(entry.variant):
            near_keys = self._near_index.within(route.cache.near_distance, peers, photo_hash)
            outcome = await self._first([other for other in near_keys if other != str(key)])
            if outcome is not None:
                return outcome
        if not entry.watched:
            self._near_index.add(str(key), peers, photo_hash)
        return None

    async def _hash_of(self, entry: Entry) -> int | None:
        """The photo's perceptual hash, where its route has near-duplicates and its answer is the
        target's. Large photos, which take much memory to decode, have none."""
        if not self._routes[entry.route].takes_near(variant_of(entry)) or entry.photo.is_large:
            return None
        return await asyncio.to_thread(perceptual_hash, entry.photo)

    async def _first(self, keys: Sequence[str]) -> Outcome | None:
        """The first answer that there is under these keys."""
        for key in keys:
            packed = await self._answers.find(key)
            outcome = _unpacked(packed) if packed else None
            if outcome is not None:
                return outcome
        return None

    async def _end(self, entry: Entry, outcome: Outcome | None) -> None:
        """Ends the photo's lease, if it has one, and keeps its answer."""
        packed: bytes | None = None
        if outcome is not None:
            last_step = replace(outcome.steps[-1], detections=())
            packed = pack_outcome(Outcome(None, outcome.detections, (last_step,)))
        try:
            key, terms = await self._key_of(entry), self._routes[entry.route].cache
            if key is not None and terms is not None:
                if terms.origin.has_changed_since(entry.accepted_at):
                    packed = None  # nobody knows which of the models answered
                lease = _lease(entry, key)
                await self._answers.end(str(key), lease, packed, keep_s=terms.ttl_s)
        except BufferAway as error:
            log.debug("an answer is not cached: %s", error)
        except Exception:  # nobody awaits this
            log.exception("an answer cannot be cached")


def _lease(entry: Entry, key: CacheKey) -> Lease:
    """The lease of the photo: a client's photo does not wait for one of a job, which has more
    time."""
    return Lease(f"{key}:{int(entry.patient)}", entry.photo.id)


def _unpacked(packed: bytes) -> Outcome | None:
    """The stored outcome; None where it cannot be used, so that the photo is asked about."""
    try:
        outcome, _ = unpack_outcome(packed)
    except Unreadable as error:
        log.error("a cached answer cannot be read: %s", error)
        return None
    return outcome if outcome.error is None and outcome.steps else None
