"""What two photos have in common that may get the same answer. Pure."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec

from gateway.core.model import LARGE_POOL, Entry, Route
from thresholds.variants import FRESH, TARGET

VERSION = 1
"""Of the packed answers and of the keys: another one shares nothing with earlier releases."""


class CacheKey(NamedTuple):
    """Digests of the question and of the photo's bytes, in hex."""

    question: str
    photo: str

    def __str__(self) -> str:
        return f"{self.question}:{self.photo}"


def variant_of(entry: Entry) -> str:
    """The variant by which the photo is asked about: fresh answers are the target's."""
    return TARGET if entry.variant == FRESH else entry.variant


def cache_key(entry: Entry, route: Route) -> CacheKey:
    """The key of the photo's answer, before a client's own filters: its bytes; its pool; and the
    question, with whatever the provider's answer depends on. A route that tests no groups answers
    whatever labels are listed."""
    question = (
        VERSION,
        entry.lane.pool.removesuffix(LARGE_POOL),
        route.name,
        route.cache.origin.at(entry.accepted_at) if route.cache else "",
        variant_of(entry),
        entry.plan,
        entry.extras,
        sorted(entry.only_labels) if route.cascade.groups else [],
    )
    return CacheKey(
        hashlib.sha256(msgspec.msgpack.encode(question)).hexdigest(),
        hashlib.sha256(entry.photo.data).hexdigest(),
    )
