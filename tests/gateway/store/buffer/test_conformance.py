"""Every buffer holds photos from the moment they are accepted until they are settled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import Busy, UpstreamFailed
from gateway.core.model import (
    Entry,
    FetchEntry,
    FetchLane,
    Lane,
    Outcome,
    Photo,
    RemotePhoto,
    Size,
    Step,
)
from gateway.ledger.accounts import (
    MOST_ROWS,
    Account,
    AccountKey,
    billed_charges,
    day_of,
)
from gateway.ledger.accounts import OTHER as BEYOND
from gateway.store.buffer import Buffer, Capacity, Commit, Settlement
from gateway.store.inspection import Occupancy
from gateway.store.ledger import LedgerQuery, tenant_accounts
from gateway.store.memory.buffer import MemoryBuffer
from gateway.store.redis.buffer import RedisBuffer
from gateway.testing.listeners import BufferRecorder
from providers.detection import Box, Detection, Task
from tests.gateway.store.buffer.conftest import Open
from tests.support.examples import examples
from tests.support.waiting import wait_until
from thresholds.shape import Shape

BIG = Lane("one", Task.OBJECTS, "us", Shape(5, 5))
SMALL = Lane("one", Task.OBJECTS, "us", Shape(2, 2))
OTHER = Lane("one", Task.OBJECTS, "them", Shape(5, 5))
LATE = time.time() + 600
"""No photo's deadline is nearer."""


ALL = 1e12
"""A time at which every photo is out of time."""


def entry(
    name: str,
    lane: Lane = BIG,
    put_at: float = 0.0,
    data: bytes = b"12345",
    size: tuple[int, int] = (4, 3),
    wait_s: float = 1.0,
    **changes: Any,
) -> Entry:
    photo = Photo(name, data, "JPEG", Size(*size))
    usual = {"route": "route", "tenant": "tenant", "deadline_at": LATE}
    return Entry(
        photo=photo,
        lane=lane,
        accepted_at=put_at,
        put_at=put_at,
        due_at=put_at + wait_s,
        **usual | changes,
    )


NOTHING_SEEN = Outcome(None)


async def settle(
    buffer: Buffer, *entries: Entry, outcome: Outcome = NOTHING_SEEN
) -> frozenset[str]:
    return await buffer.commit(Commit(settlements=[Settlement(each, outcome) for each in entries]))


def entries(names: str, lane: Lane = BIG, start: float = 0.0) -> list[Entry]:
    """Entries named by the letters, a second apart."""
    return [entry(name, lane, start + index) for index, name in enumerate(names)]


def names(entries: Sequence[Entry]) -> str:
    return "".join(each.photo.id for each in entries)


async def test_a_new_buffer_holds_nothing(buffer: MemoryBuffer | RedisBuffer) -> None:
    """A new buffer has no waiting photo and holds nothing."""
    assert await buffer.backlogs() == {}
    assert await buffer.occupancy() == Occupancy(0, 0, 0)
    assert await buffer.claim(BIG, ALL) == []
    assert await tenant_accounts(buffer.ledger) == {}
    assert await buffer.dead_letters() == ()
    assert buffer.problem == ""


async def test_a_lane_has_count_age_and_deadline(buffer: MemoryBuffer | RedisBuffer) -> None:
    """Each lane with photos has their number, the first arrival and the earliest deadline."""
    await buffer.put(
        [
            entry("a", put_at=5, wait_s=9),
            entry("b", put_at=6, wait_s=1),
            entry("c", OTHER, put_at=7),
        ]
    )
    assert await buffer.backlogs() == {BIG: (2, 5, 7, 2), OTHER: (1, 7, 8, 1)}


async def test_an_impatient_photo_makes_its_lane_due_earlier(
    buffer: MemoryBuffer | RedisBuffer,
) -> None:
    """A photo that may wait less than those before it makes its lane due earlier."""
    await buffer.put([entry("a", put_at=0, wait_s=9)])
    assert await buffer.backlogs() == {BIG: (1, 0, 9, 1)}
    await buffer.put([entry("b", put_at=1, wait_s=2)])
    assert await buffer.backlogs() == {BIG: (2, 0, 3, 2)}


async def test_lane_numbers_follow_every_photo(buffer: MemoryBuffer | RedisBuffer) -> None:
    """A lane's numbers follow every photo that comes and goes."""
    await buffer.put(entries("abcde", SMALL))
    assert await buffer.backlogs() == {SMALL: (5, 0, 1, 5)}
    await buffer.claim(SMALL, 0)
    assert await buffer.backlogs() == {SMALL: (1, 4, 5, 1)}
    await buffer.put(
        [entry("f", SMALL, put_at=9, wait_s=0), entry("g", SMALL, put_at=10, wait_s=0)]
    )
    assert await buffer.backlogs() == {SMALL: (3, 4, 5, 3)}
    await buffer.commit(Commit(withdrawn_ids=["e"]))
    assert await buffer.backlogs() == {SMALL: (2, 9, 9, 2)}
    await buffer.claim(SMALL, 9)
    assert await buffer.backlogs() == {}


async def test_a_full_grid_is_claimed_at_once(buffer: MemoryBuffer | RedisBuffer) -> None:
    """A full grid is claimed at once, oldest first, with no excess photo and none twice."""
    await buffer.put(entries("abcdefghi", SMALL, start=100))
    assert names(await buffer.claim(SMALL, 0)) == "abcd"
    assert names(await buffer.claim(SMALL, 0)) == "efgh"
    assert await buffer.claim(SMALL, 0) == []
    assert names(await buffer.claim(SMALL, ALL)) == "i"
    assert await buffer.claim(SMALL, ALL) == []


async def test_a_partial_grid_is_claimed_when_due(buffer: MemoryBuffer | RedisBuffer) -> None:
    """A partial grid is claimed, with all its photos, only when one of them is out of time."""
    await buffer.put([entry("a", put_at=0, wait_s=9), entry("b", put_at=1, wait_s=2)])
    assert await buffer.claim(BIG, 2.9) == []
    assert names(await buffer.claim(BIG, 3)) == "ab"


async def test_a_lane_yields_its_own_photos_only(buffer: MemoryBuffer | RedisBuffer) -> None:
    """A lane yields its own photos only, and an empty lane yields none."""
    await buffer.put([*entries("ab"), *entries("cd", OTHER)])
    assert names(await buffer.claim(OTHER, ALL)) == "cd"
    assert await buffer.claim(SMALL, ALL) == []
    assert names(await buffer.claim(BIG, ALL)) == "ab"


async def test_tenants_of_a_lane_take_turns(buffer: MemoryBuffer | RedisBuffer) -> None:
    """Tenants of one lane take turns: ten photos of one do not delay the one photo of another."""
    crowd = [entry(f"a{number}", SMALL, number, tenant="ann") for number in range(10)]
    await buffer.put([*crowd, entry("b0", SMALL, 99, tenant="bob")])
    assert [each.photo.id for each in await buffer.claim(SMALL, ALL)] == ["a0", "b0", "a1", "a2"]


async def test_live_photos_precede_job_photos(buffer: MemoryBuffer | RedisBuffer) -> None:
    """Photos of waiting clients are claimed before photos of jobs, which fill the rest of the
    grid."""
    jobs = [entry(f"j{number}", SMALL, number, job="job", index=number) for number in range(5)]
    await buffer.put(jobs)
    assert await buffer.backlogs() == {SMALL: (5, 0, 1, False)}
    await buffer.put([entry("a", SMALL, 9)])
    assert await buffer.backlogs() == {SMALL: (6, 0, 1, True)}
    assert [each.photo.id for each in await buffer.claim(SMALL, ALL)] == ["a", "j0", "j1", "j2"]
    assert await buffer.backlogs() == {SMALL: (2, 3, 4, False)}


async def test_watched_photos_wait_like_job_photos(buffer: MemoryBuffer | RedisBuffer) -> None:
    """Watched photos wait like photos of jobs, and take turns with them."""
    await buffer.put(
        [entry("w", SMALL, watched=True), entry("j", SMALL, tenant="other", job="job")]
    )
    assert (await buffer.backlogs())[SMALL].urgent == 0
    await buffer.put([entry("a", SMALL, 9)])
    assert [each.photo.id for each in await buffer.claim(SMALL, ALL)] == ["a", "w", "j"]


async def test_watched_photos_count_only_their_charges(buffer: MemoryBuffer | RedisBuffer) -> None:
    """The outcome of a watched photo is reported where it was put; the ledger counts no watched
    photo, answered, failed or departed, only the charges for it."""
    recorder = BufferRecorder()
    async with buffer.serving(recorder):
        await buffer.put([entry(name, tenant="ann", watched=True) for name in "abc"])
        a, b, c = await buffer.claim(BIG, ALL)
        settlements = [
            Settlement(a, NOTHING_SEEN, 0.001),
            Settlement(b, Outcome(None, error=UpstreamFailed("no")), 0.001),
        ]
        await buffer.commit(
            Commit(
                settlements=settlements,
                withdrawn_ids=[c.photo.id],
                charges=billed_charges([a, b, c], 0.002),
            )
        )
        await recorder.until(lambda: len(recorder.outcomes) == 2)
    assert await buffer.occupancy() == Occupancy(0, 0, 0)
    assert await tenant_accounts(buffer.ledger) == {
        "ann": Account(
            billed=pytest.approx(1), paid_usd=pytest.approx(0.002), watching=pytest.approx(1)
        )
    }


async def test_a_photo_comes_out_as_it_was_put(buffer: MemoryBuffer | RedisBuffer) -> None:
    """A claimed photo has the bytes, the times and the earlier answers of its put; only its turn is
    new."""
    detections = (
        Detection("cat", 0.5, Box(0, 0, 1, 1), details={"a": [1]}, polygon=((0.0, 1.0),), key=1),
    )
    step = Step(0, "one", "c", SMALL.shape, 4, 1, 0.1, 0.2, 0.3, detections, "unsure")
    free = replace(step, provider="det", free=True)
    put = replace(
        entry("a", data=bytes(range(256))),
        stage=1,
        steps=(free, step),
        job="j",
        index=3,
        variant="strict",
    )
    await buffer.put([put])
    assert await buffer.claim(BIG, ALL) == [replace(put, turn=1)]


async def test_held_counts_include_claimed_photos(buffer: MemoryBuffer | RedisBuffer) -> None:
    """The counts of photos, bytes and pixels held include claimed photos until they are settled."""
    await buffer.put([entry("a", data=b"123", size=(2, 2)), entry("b", data=b"4567", size=(5, 1))])
    assert await buffer.occupancy() == Occupancy(2, 7, 9)
    a, b = await buffer.claim(BIG, ALL)
    assert await buffer.occupancy() == Occupancy(2, 7, 9)
    await settle(buffer, a)
    assert await buffer.occupancy() == Occupancy(1, 4, 5)
    await settle(buffer, b)
    assert await buffer.occupancy() == Occupancy(0, 0, 0)


async def test_a_departed_clients_photo_is_never_claimed(
    buffer: MemoryBuffer | RedisBuffer,
) -> None:
    """A photo whose client leaves while it waits is never claimed, and takes up no room."""
    await buffer.put(entries("abc"))
    await buffer.commit(Commit(withdrawn_ids=["b"]))
    assert (await buffer.occupancy()).photos == 2
    assert names(await buffer.claim(BIG, ALL)) == "ac"


async def test_releasing_an_unknown_photo_does_nothing(buffer: MemoryBuffer | RedisBuffer) -> None:
    """The release of a photo that is not held, or no longer held, does nothing."""
    await buffer.put(entries("ab"))
    await buffer.commit(Commit(withdrawn_ids=["z", "a"]))
    await buffer.commit(Commit(withdrawn_ids=["a"]))
    assert (await buffer.occupancy()).photos == 1
    assert names(await buffer.claim(BIG, ALL)) == "b"


async def test_photos_with_waiting_clients_are_named(buffer: MemoryBuffer | RedisBuffer) -> None:
    """Before a call, the buffer names those photos of the canvas whose clients still wait."""
    await buffer.put(entries("abc"))
    claimed = await buffer.claim(BIG, ALL)
    await buffer.commit(Commit(withdrawn_ids=["b"]))
    assert names(await buffer.ask("canvas", claimed)) == "ac"
    await buffer.commit(Commit(ended_canvas="canvas"))
    await buffer.commit(Commit(withdrawn_ids=["a", "c"]))
    assert await buffer.ask("canvas", claimed) == []


async def test_a_photo_put_again_waits_last_in_its_new_lane(
    buffer: MemoryBuffer | RedisBuffer,
) -> None:
    """A claimed photo that is put again waits last in its new lane, and counts once."""
    await buffer.put([*entries("a"), *entries("x", SMALL, 1)])
    (claimed,) = await buffer.claim(BIG, ALL)
    assert await buffer.commit(
        Commit(requeues=[replace(claimed, lane=SMALL, put_at=2, stage=1)])
    ) == {"a"}
    assert (await buffer.occupancy()).photos == 2
    assert BIG not in await buffer.backlogs()
    requeued = await buffer.claim(SMALL, ALL)
    assert names(requeued) == "xa"
    assert (requeued[1].stage, requeued[1].turn) == (1, 2)


async def test_a_photo_put_again_has_its_new_bytes(buffer: MemoryBuffer | RedisBuffer) -> None:
    """A photo that is put again with other bytes, as a fetched URL is, has these from then on."""
    lane = FetchLane(Task.OBJECTS, "pool")
    remote = FetchEntry(RemotePhoto("a", "https://"), "route", "ann", lane, 0, 0, 0, LATE)
    await buffer.put([remote])
    assert await buffer.occupancy() == Occupancy(1, 8, 0)
    (claimed,) = await buffer.claim(lane, ALL)
    assert claimed == replace(remote, turn=1)
    fetched = Photo("a", b"0123456789", "PNG", Size(4, 3))
    await buffer.commit(Commit(requeues=[claimed.photo_entry(fetched, SMALL, put_at=0, due_at=0)]))
    assert await buffer.occupancy() == Occupancy(1, 10, 12)
    (claimed,) = await buffer.claim(SMALL, ALL)
    assert claimed.photo == fetched
    await settle(buffer, claimed)
    assert await buffer.occupancy() == Occupancy()


async def test_a_photo_put_twice_is_held_once(buffer: MemoryBuffer | RedisBuffer) -> None:
    """A photo that is put twice, together or while it is held, is held once, at its first place."""
    await buffer.put([entry("a"), entry("a")])
    await buffer.put([entry("a", SMALL)])
    assert await buffer.occupancy() == Occupancy(1, 5, 12)
    (claimed,) = await buffer.claim(BIG, ALL)
    assert await buffer.backlogs() == {}
    await settle(buffer, claimed)
    assert await buffer.occupancy() == Occupancy(0, 0, 0)


async def test_an_empty_put_changes_nothing(buffer: MemoryBuffer | RedisBuffer) -> None:
    """A put of no photos changes nothing."""
    await buffer.put([])
    assert await buffer.backlogs() == {}


async def test_an_outcome_is_reported_once_where_it_was_put(
    buffer: MemoryBuffer | RedisBuffer,
) -> None:
    """The outcome of a photo is reported once where the photo was put; a job's photo is not
    reported here."""
    recorder = BufferRecorder()
    async with buffer.serving(recorder):
        await buffer.put([*entries("ab"), entry("j", put_at=9, job="job")])
        a, b, job = await buffer.claim(BIG, ALL)
        detections = (Detection("cat", 0.5, Box(0, 0, 1, 1)),)
        assert await settle(buffer, a, outcome=Outcome(a.photo, detections)) == {"a"}
        assert await settle(buffer, a, job, outcome=Outcome(None)) == {"j"}
        await settle(buffer, b, outcome=Outcome(b.photo, error=UpstreamFailed("no answer")))
        await recorder.until(lambda: len(recorder.outcomes) == 2)
        assert recorder.losses == []
    assert recorder.outcomes["a"].detections == detections
    assert isinstance(recorder.outcomes["b"].error, UpstreamFailed)
    assert str(recorder.outcomes["b"].error) == "no answer"
    assert "j" not in recorder.outcomes


async def test_an_earlier_turn_can_neither_settle_nor_put(
    buffer: MemoryBuffer | RedisBuffer,
) -> None:
    """A holder of a photo's earlier turn can neither settle the photo nor put it again, because the
    photo has another holder."""
    await buffer.put(entries("a"))
    (first,) = await buffer.claim(BIG, ALL)
    await buffer.commit(Commit(requeues=[first]))
    (second,) = await buffer.claim(BIG, ALL)
    assert await settle(buffer, first) == frozenset()
    assert await buffer.commit(Commit(requeues=[first])) == frozenset()
    assert await buffer.ask("canvas", [first]) == []
    assert await settle(buffer, second) == {"a"}


async def test_the_ledger_counts_charges_and_departures_once(
    buffer: MemoryBuffer | RedisBuffer,
) -> None:
    """The ledger counts each charge, whichever clients are left, and once each photo that is
    settled or leaves."""
    await buffer.put([entry("a", tenant="ann"), entry("b", tenant="bob")])
    claimed = await buffer.claim(BIG, ALL)
    settlements = [Settlement(each, Outcome(None), 0.001) for each in claimed]
    await buffer.commit(Commit(withdrawn_ids=["b"]))
    await buffer.commit(Commit(settlements=settlements, charges=billed_charges(claimed, 0.002)))
    await buffer.commit(
        Commit(settlements=settlements, charges={AccountKey("ann"): Account(unknown=1)})
    )
    accounts = await tenant_accounts(buffer.ledger)
    assert accounts["ann"] == Account(1, 1, 0.5, 1, 0.001, 0.001)
    assert accounts["bob"] == Account(1, 0, 0.5, 0, 0.001, 0)


async def test_a_failed_photo_counts_as_unanswered(buffer: MemoryBuffer | RedisBuffer) -> None:
    """A failed photo counts as unanswered."""
    await buffer.put(entries("a"))
    claimed = await buffer.claim(BIG, ALL)
    await settle(buffer, *claimed, outcome=Outcome(None, error=UpstreamFailed("no")))
    assert await tenant_accounts(buffer.ledger) == {"tenant": Account(photos=1)}


async def test_an_ended_claim_or_full_grid_wakes_the_listener(
    buffer: MemoryBuffer | RedisBuffer,
) -> None:
    """A photo that waits again, or that fills a grid, wakes the listener."""
    recorder = BufferRecorder()
    async with buffer.serving(recorder):
        await buffer.put(entries("abcd", SMALL))
        claimed = await buffer.claim(SMALL, 0)
        recorder.work.clear()
        await buffer.commit(Commit(requeues=claimed))
        await wait_until(recorder.work.is_set)


ROOMS = [Capacity(photos=3), Capacity(bytes=15), Capacity(pixels=36)]
"""Room for three photos of 5 bytes and 12 pixels, each by another measure."""


@pytest.mark.parametrize("room", ROOMS)
async def test_a_put_over_a_limit_is_refused_whole(
    opened: Callable[..., Any], room: Capacity
) -> None:
    """A put that exceeds the limit of photos, bytes or pixels is refused whole, with a time to come
    back."""
    async with opened(room) as buffer:
        await buffer.put(entries("ab"))
        with pytest.raises(Busy) as caught:
            await buffer.put(entries("cd", SMALL))
        assert caught.value.retry_after_s > 0
        assert (await buffer.occupancy()).photos == 2
        assert list(await buffer.backlogs()) == [BIG]
        await buffer.put(entries("c"))


@pytest.mark.parametrize("room", ROOMS)
async def test_claimed_photos_take_up_room(opened: Callable[..., Any], room: Capacity) -> None:
    """Claimed photos take up room until they are settled."""
    async with opened(room) as buffer:
        await buffer.put(entries("abc"))
        claimed = await buffer.claim(BIG, ALL)
        with pytest.raises(Busy):
            await buffer.put(entries("d"))
        await settle(buffer, claimed[1])
        await buffer.put(entries("d"))
        assert names(await buffer.claim(BIG, ALL)) == "d"


@pytest.mark.parametrize("room", ROOMS)
async def test_a_held_photo_can_always_be_put_again(
    opened: Callable[..., Any], room: Capacity
) -> None:
    """A held photo can always be put again, however full the buffer is."""
    async with opened(room) as buffer:
        await buffer.put(entries("abc"))
        claimed = await buffer.claim(BIG, ALL)
        await buffer.commit(Commit(requeues=[replace(each, lane=SMALL) for each in claimed]))
        assert names(await buffer.claim(SMALL, ALL)) == "abc"


@pytest.mark.parametrize("room", ROOMS)
async def test_job_photos_have_their_own_room(opened: Callable[..., Any], room: Capacity) -> None:
    """Photos of jobs have their own room, so that no number of them turns a waiting client away."""
    async with opened(room) as buffer:
        await buffer.put([entry(name, job="job") for name in "abc"])
        with pytest.raises(Busy):
            await buffer.put([entry("d", job="job")])
        await buffer.put(entries("xyz"))
        assert (await buffer.occupancy()).photos == 6


async def test_a_photo_larger_than_the_room_is_always_refused(opened: Callable[..., Any]) -> None:
    """A photo that alone exceeds the whole room is refused each time."""
    async with opened(Capacity(bytes=4)) as buffer:
        for _ in range(2):
            with pytest.raises(Busy):
                await buffer.put(entries("a"))
        assert await buffer.occupancy() == Occupancy()


# -- any interleaving


async def test_company_is_the_oldest_impatient_photos(buffer: MemoryBuffer | RedisBuffer) -> None:
    """The company of a photo is up to so many of its lane's photos, oldest first, due or not, and
    never a patient one."""
    await buffer.put([*entries("abcd"), entry("j", job="job"), entry("k", OTHER)])
    assert names(await buffer.claim(BIG, 0.0)) == ""
    first = await buffer.claim(BIG, 0.0, most=3)
    assert names(first) == "abc"
    assert {each.turn for each in first} == {1}
    assert names(await buffer.claim(BIG, 0.0, most=3)) == "d"
    assert names(await buffer.claim(BIG, 0.0, most=3)) == ""
    assert {lane: held.photos for lane, held in (await buffer.backlogs()).items()} == {
        BIG: 1,
        OTHER: 1,
    }
    assert await settle(buffer, *first) == set("abc")
    assert names(await buffer.claim(BIG, ALL)) == "j"
    assert names(await buffer.claim(SMALL, 0.0, most=3)) == ""


LANES = (BIG, SMALL, OTHER)
NAMES = st.sampled_from("abcdefgh")
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(st.tuples(NAMES, st.sampled_from(LANES)), max_size=5)),
        st.tuples(st.just("claim"), st.tuples(st.sampled_from(LANES), st.sampled_from([0.0, ALL]))),
        st.tuples(st.just("settle"), NAMES),
        st.tuples(st.just("again"), st.tuples(NAMES, st.sampled_from(LANES))),
        st.tuples(st.just("gone"), NAMES),
    ),
    max_size=25,
)


@dataclass
class BufferModel:
    """The expected content of a buffer: its photos, and by lane the waiting ones, oldest first."""

    room: int
    held: set[str] = field(default_factory=set)
    queues: dict[Lane, list[str]] = field(default_factory=lambda: {lane: [] for lane in LANES})

    def leave(self, name: str) -> None:
        for queue in self.queues.values():
            if name in queue:
                queue.remove(name)

    def put(self, arrivals: Sequence[tuple[str, Lane]]) -> bool:
        new = {name: lane for name, lane in reversed(arrivals) if name not in self.held}
        if new and len(self.held) + len(new) > self.room:
            return False
        for name, _ in arrivals:
            if name not in self.held:
                self.held.add(name)
                self.queues[new[name]].append(name)
        return True

    def claim(self, lane: Lane, now: float) -> str:
        most = lane.shape.cells
        if len(self.queues[lane]) < most and now < ALL:
            return ""
        names = self.queues[lane][:most]
        del self.queues[lane][:most]
        return "".join(names)


@examples(150)
@given(actions=ACTIONS, room=st.integers(2, 8))
def test_no_interleaving_loses_or_doubles_a_photo(
    opened: Open, actions: list[tuple[str, Any]], room: int
) -> None:
    """No interleaving of put, claim, put again, settle and withdraw loses or doubles a photo, and
    all numbers add up."""
    asyncio.run(play(opened, actions, room))


async def play(opened: Open, actions: list[tuple[str, Any]], room: int) -> None:
    model = BufferModel(room)
    claimed: dict[str, Entry] = {}
    async with opened(Capacity(photos=room)) as buffer:
        for now, (action, argument) in enumerate(actions, 1):
            await act(buffer, model, claimed, action=action, argument=argument, now=float(now))
            waiting = await buffer.backlogs()
            assert {lane: held.photos for lane, held in waiting.items()} == {
                lane: len(queue) for lane, queue in model.queues.items() if queue
            }
            assert await buffer.occupancy() == Occupancy(
                len(model.held), 5 * len(model.held), 12 * len(model.held)
            )
        await buffer.commit(Commit(withdrawn_ids=list("abcdefgh")))
        assert await buffer.occupancy() == Occupancy()
        assert await buffer.backlogs() == {}


async def act(
    buffer: Buffer,
    model: BufferModel,
    claimed: dict[str, Entry],
    *,
    action: str,
    argument: Any,
    now: float,
) -> None:
    """Does the same to the buffer and to its model. `claimed` are the entries in hand, by name."""
    if action == "put":
        fits = await put(buffer, [entry(name, lane, now) for name, lane in argument])
        assert fits is model.put(argument)
    elif action == "claim":
        entries = await buffer.claim(*argument)
        assert names(entries) == model.claim(*argument)
        claimed.update((each.photo.id, each) for each in entries)
    elif action == "settle" and argument in claimed:
        assert await settle(buffer, claimed.pop(argument)) == {argument}
        model.held.discard(argument)
    elif action == "again" and argument[0] in claimed:
        name, lane = argument
        assert await buffer.commit(
            Commit(requeues=[replace(claimed.pop(name), lane=lane, put_at=now)])
        ) == {name}
        model.queues[lane].append(name)
    elif action == "gone":
        await buffer.commit(Commit(withdrawn_ids=[argument]))
        claimed.pop(argument, None)
        model.leave(argument)
        model.held.discard(argument)


async def put(buffer: Buffer, entries: Sequence[Entry]) -> bool:
    """Whether the buffer took the entries."""
    try:
        await buffer.put(entries)
    except Busy:
        return False
    return True


async def test_a_photo_keeps_what_its_request_came_with(
    buffer: MemoryBuffer | RedisBuffer,
) -> None:
    """A claimed photo has the key, the tags and the trace of its request, also when it waits
    again."""
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await buffer.put([entry("a", key="phone", tags="team=search", traceparent=traceparent)])
    for _ in range(2):
        (claimed,) = await buffer.claim(BIG, ALL)
        assert (claimed.key, claimed.tags) == ("phone", "team=search")
        assert claimed.traceparent == traceparent
        await buffer.commit(Commit(requeues=[claimed]))


async def test_accounts_are_kept_by_key_tags_task_provider_and_route(
    buffer: MemoryBuffer | RedisBuffer,
) -> None:
    """A photo's bill is under the key and the tags that it came with and the provider that was
    paid; the photo itself under the provider that answered it, or none."""
    a = entry("a", key="phone", tags="team=search")
    b = entry("b", key="web")
    await buffer.put([a, b])
    claimed = await buffer.claim(BIG, ALL)
    step = Step(0, "two", "c", BIG.shape, 2, 1, 0.1, 0.2, 0.3, ())
    answered = Settlement(claimed[0], Outcome(None, steps=(step,)), 0.001)
    await buffer.commit(
        Commit(
            settlements=[answered],
            withdrawn_ids=["b"],
            charges=billed_charges(claimed, 0.002),
        )
    )
    rows = await buffer.ledger.rows()
    half = Account(billed=0.5, paid_usd=0.001)
    assert {row.key: row.account for row in rows} == {
        AccountKey("tenant", "phone", "team=search", "objects", "one", "route"): half,
        AccountKey("tenant", "phone", "team=search", "objects", "two", "route"): Account(
            1, 1, alone_usd=0.001
        ),
        AccountKey("tenant", "web", "", "objects", "one", "route"): half,
        AccountKey("tenant", "web", "", "objects", "", "route"): Account(1),
    }
    assert {row.day for row in rows} == {day_of(time.time())}


async def test_rows_are_of_the_days_and_the_tenant_asked_for(
    buffer: MemoryBuffer | RedisBuffer,
) -> None:
    """A query reads one tenant's accounts, of days between two."""
    charges = {AccountKey(name): Account(billed=1) for name in ("ann", "bob")}
    await buffer.ledger.charge(charges, charge_id="c")
    today = day_of(time.time())

    async def tenants(*query: str) -> list[str]:
        rows = await buffer.ledger.rows(LedgerQuery(*query))
        return [row.key.tenant for row in rows]

    assert await tenants() == ["ann", "bob"]
    assert await tenants(today, today, "bob") == ["bob"]
    assert await tenants("2001-01-01", "2001-01-02") == []
    assert await tenants("2100-01-01") == []


async def test_a_client_with_ever_new_tags_has_bounded_accounts(
    buffer: MemoryBuffer | RedisBuffer,
) -> None:
    """Beyond MOST_ROWS accounts of a tenant on one day, new ones count together, and nothing is
    lost."""
    charges = {AccountKey("ann", tags=f"n={n}"): Account(billed=1) for n in range(MOST_ROWS + 5)}
    await buffer.ledger.charge(charges, charge_id="c")
    rows = await buffer.ledger.rows()
    assert len(rows) == MOST_ROWS + 1
    assert sum(row.account.billed for row in rows) == MOST_ROWS + 5
    assert AccountKey("ann", BEYOND, BEYOND) in {row.key for row in rows}
