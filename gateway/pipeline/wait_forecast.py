"""How long a photo will wait for its answer, foreseen from the photos that wait before it and the
rate at which its provider answers canvases; and which photos are not taken, or not asked about
again, because of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from gateway.core.clock import Clock
from gateway.core.errors import Busy, DeadlineExceeded
from gateway.core.model import BufferLane, Entry, Lane
from gateway.store.inspection import Backlog, Inspection
from gateway.upstream.registry import UpstreamRegistry

ADMISSION_SHARE = 0.75
"""Photos are taken while the wait foreseen is within this share of their deadline. The rest is for
what nobody foresees: a slow canvas, a slower machine, or a client of another pool."""
MIN_RETRY_S = 0.05


@dataclass(slots=True)
class WaitForecast:
    """Foresees waits. Holds the last known backlogs, with how many photos wait for each provider;
    the photos put since, by lane; and the lanes of photos that are about to wait again, by photo
    id.

    The replicas that answer photos from the buffer are taken to be equally fast.
    """

    upstream: UpstreamRegistry
    inspection: Inspection
    clock: Clock
    _backlogs: Mapping[BufferLane, Backlog] = field(default_factory=dict, init=False)
    _new: Counter[Lane] = field(default_factory=Counter, init=False)
    _returning: dict[str, Lane] = field(default_factory=dict, init=False)
    _photos: Counter[str] = field(default_factory=Counter, init=False)

    def update(self, backlogs: Mapping[BufferLane, Backlog]) -> None:
        """Takes the backlogs as they are now."""
        self._backlogs = backlogs
        self._new.clear()
        self._photos = Counter()
        for lane, backlog in backlogs.items():
            self._photos[lane.provider] += backlog.urgent

    def admit(self, entries: Sequence[Entry], paid_lanes: Sequence[Lane]) -> None:
        """Counts new photos of clients among those that wait. `paid_lanes` are the lanes in which
        they are first asked about for money: after a companion others than those they go to now.

        Raises Busy, and counts none, where one of them would wait longer than its deadline; and
        DeadlineExceeded where that would be so even without a queue, for then no retry helps.
        """
        for position, (entry, paid_lane) in enumerate(zip(entries, paid_lanes, strict=True)):
            self._new[entry.lane] += 1
            try:
                self._check(entry, paid_lane, entries[: position + 1])
            except (Busy, DeadlineExceeded):
                self.retract(entries[: position + 1])
                raise

    def retract(self, entries: Iterable[Entry]) -> None:
        """Takes back that photos were counted: the buffer did not take them."""
        self._new.subtract(entry.lane for entry in entries)
        self._new = +self._new

    def wait_s(self, lane: Lane, *, photos: int = 0) -> float:
        """Seconds until the answer about the last photo that waits in the lane, or about the last
        of so many more; 0 where the provider has not answered yet.

        Pools take turns, a canvas each: a photo waits for the canvases of its own pool, and for as
        many of each other pool that waits, but never for more than there are.
        """
        if lane.provider not in self.upstream:
            return 0.0
        canvases = self._canvases_by_pool(lane, photos)
        ahead = min(canvases.total(), canvases[lane.pool] * len(canvases))
        free_slots = self.upstream[lane.provider].slots.free_slots
        return self._wait_behind(lane.provider, ahead, free_slots)

    def has_time(self, entry: Entry, *, share: float) -> bool:
        """Whether a photo that goes to wait in its lane again would be answered within this share
        of the time it has left. If so it is counted among those that wait, until `forget` is told
        that it does."""
        left_s = entry.deadline_at - self.clock()
        typical_s = self.upstream.typical_s(entry.lane.provider)
        has_time = max(self.wait_s(entry.lane, photos=1), typical_s) < share * left_s
        if has_time:
            self._returning[entry.photo.id] = entry.lane
        return has_time

    def forget(self, entries: Iterable[Entry]) -> None:
        """Takes note that the photos wait again, or do not."""
        for entry in entries:
            self._returning.pop(entry.photo.id, None)

    def _check(self, entry: Entry, paid_lane: Lane, call: Sequence[Entry]) -> None:
        """Raises the errors of `admit` for the last of the photos that a call has so far."""
        deadline_s = entry.deadline_at - entry.accepted_at
        max_wait_s = ADMISSION_SHARE * deadline_s
        if self._longest_wait_s(paid_lane.provider) <= max_wait_s and paid_lane == entry.lane:
            return
        wait_s = self.wait_s(entry.lane)
        if paid_lane != entry.lane:
            wait_s += self.wait_s(paid_lane, photos=1)
        if wait_s > max_wait_s:
            self._refuse(paid_lane, call, wait_s, deadline_s)

    def _refuse(self, lane: Lane, call: Sequence[Entry], wait_s: float, deadline_s: float) -> None:
        """Raises the error of a photo that would be answered too late. Returns where that is no
        fault of the queue, and one has to find out whether the provider has become faster."""
        max_wait_s = ADMISSION_SHARE * deadline_s
        client = self.upstream[lane.provider]
        canvas_s = client.canvas_s or 0.0
        if canvas_s > deadline_s:
            if client.is_asked:
                raise DeadlineExceeded(
                    f"The vision service takes {canvas_s:.1f} s at present, and the photo's "
                    f"deadline is {deadline_s:g} s. Nothing was asked."
                )
            return
        if wait_s <= canvas_s:
            return
        alone_s = self._alone_s(lane, call)
        if alone_s > max_wait_s and len(call) > 1:
            raise DeadlineExceeded(
                f"The first {len(call)} photos of this call would take {alone_s:.1f} s by "
                f"themselves, and their deadline is {deadline_s:g} s. Send fewer at a time, or "
                "allow more time. Nothing was taken."
            )
        raise Busy(
            "The vision service is asked for more than it can answer: this photo would wait "
            f"{wait_s:.1f} s, and its deadline is {deadline_s:g} s. Nothing was taken.",
            max(wait_s - max_wait_s, MIN_RETRY_S),
        )

    def _longest_wait_s(self, provider: str) -> float:
        """No wait for the provider is longer: as if each photo that waits had a canvas of its
        own."""
        photos = self._photos[provider] + self._new.total() + len(self._returning)
        return self._wait_behind(provider, photos, 0)

    def _alone_s(self, lane: Lane, call: Sequence[Entry]) -> float:
        """How long the photos of one call would take if no others waited."""
        counts = Counter(entry.lane for entry in call if entry.lane.provider == lane.provider)
        canvases = sum(ceil(count / each.shape.cells) for each, count in counts.items())
        slots = self.upstream.about(lane.provider).concurrency
        return self._wait_behind(lane.provider, canvases, slots)

    def _wait_behind(self, provider: str, canvases: int, free_slots: int) -> float:
        """Seconds until the last of so many canvases is answered, where each replica has so many
        slots free for them; 0 where the provider has not answered yet."""
        client = self.upstream.clients.get(provider)
        if client is None or client.canvas_s is None or client.canvases_per_s is None:
            return 0.0
        replicas = max(self.inspection.replicas, 1)
        queued = max(canvases - replicas * max(free_slots, 0), 0)
        return client.canvas_s + queued / (replicas * client.canvases_per_s)

    def _canvases_by_pool(self, lane: Lane, photos: int) -> Counter[str]:
        """How many canvases of the lane's provider wait in each pool, of photos whose clients wait,
        with so many more photos in the lane."""
        waiting: Counter[Lane] = Counter(self._new)
        waiting.update(self._returning.values())
        for other, backlog in self._backlogs.items():
            if isinstance(other, Lane):
                waiting[other] += backlog.urgent
        waiting[lane] += photos
        canvases: Counter[str] = Counter()
        for other, count in waiting.items():
            if count and other.provider == lane.provider:
                canvases[other.pool] += ceil(count / other.shape.cells)
        return canvases
