"""What every buffer does: it holds photos from the moment they are accepted until they are
settled."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
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
from gateway.ledger.accounts import Account, billed_charges
from gateway.store.buffer import Capacity, Commit, Settlement
from gateway.store.inspection import Occupancy
from gateway.testing.listeners import BufferRecorder
from providers.detection import Box, Detection, Task
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
    size=(4, 3),
    wait_s=1.0,
    **changes,
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


async def settle(buffer, *taken: Entry, outcome: Outcome = NOTHING_SEEN) -> frozenset[str]:
    return await buffer.commit(Commit(settlements=[Settlement(one, outcome) for one in taken]))


def entries(names: str, lane: Lane = BIG, start: float = 0.0) -> list[Entry]:
    """One a letter, a second apart."""
    return [entry(name, lane, start + index) for index, name in enumerate(names)]


def names(taken: Sequence[Entry]) -> str:
    return "".join(one.photo.id for one in taken)


async def test_empty(buffer):
    """At first nothing waits and nothing is held."""
    assert await buffer.backlogs() == {}
    assert await buffer.occupancy() == Occupancy(0, 0, 0)
    assert await buffer.claim(BIG, ALL) == []
    assert await buffer.ledger.accounts() == {}
    assert await buffer.dead_letters() == ()
    assert buffer.problem == ""


async def test_waiting(buffer):
    """Each lane that holds photos tells how many, since when, and until when the first may wait."""
    await buffer.put(
        [
            entry("a", put_at=5, wait_s=9),
            entry("b", put_at=6, wait_s=1),
            entry("c", OTHER, put_at=7),
        ]
    )
    assert await buffer.backlogs() == {BIG: (2, 5, 7, True), OTHER: (1, 7, 8, True)}


async def test_out_of_time_first(buffer):
    """A photo that may wait for less long than those before it makes its lane due earlier."""
    await buffer.put([entry("a", put_at=0, wait_s=9)])
    assert await buffer.backlogs() == {BIG: (1, 0, 9, True)}
    await buffer.put([entry("b", put_at=1, wait_s=2)])
    assert await buffer.backlogs() == {BIG: (2, 0, 3, True)}


async def test_waiting_is_kept_up(buffer):
    """What is told of a lane follows every photo that comes and goes."""
    await buffer.put(entries("abcde", SMALL))
    assert await buffer.backlogs() == {SMALL: (5, 0, 1, True)}
    await buffer.claim(SMALL, 0)
    assert await buffer.backlogs() == {SMALL: (1, 4, 5, True)}
    await buffer.put(
        [entry("f", SMALL, put_at=9, wait_s=0), entry("g", SMALL, put_at=10, wait_s=0)]
    )
    assert await buffer.backlogs() == {SMALL: (3, 4, 5, True)}
    await buffer.commit(Commit(withdrawn_ids=["e"]))
    assert await buffer.backlogs() == {SMALL: (2, 9, 9, True)}
    await buffer.claim(SMALL, 9)
    assert await buffer.backlogs() == {}


async def test_full_grids(buffer):
    """A full grid is claimed at once, oldest first, no more than fill it, and no photo twice."""
    await buffer.put(entries("abcdefghi", SMALL, start=100))
    assert names(await buffer.claim(SMALL, 0)) == "abcd"
    assert names(await buffer.claim(SMALL, 0)) == "efgh"
    assert await buffer.claim(SMALL, 0) == []
    assert names(await buffer.claim(SMALL, ALL)) == "i"
    assert await buffer.claim(SMALL, ALL) == []


async def test_part_filled(buffer):
    """What fills no grid is claimed when one of its photos is out of time, and not before: then all
    of it."""
    await buffer.put([entry("a", put_at=0, wait_s=9), entry("b", put_at=1, wait_s=2)])
    assert await buffer.claim(BIG, 2.9) == []
    assert names(await buffer.claim(BIG, 3)) == "ab"


async def test_each_lane_its_own(buffer):
    """A lane gives its own photos only; one that holds none gives none."""
    await buffer.put([*entries("ab"), *entries("cd", OTHER)])
    assert names(await buffer.claim(OTHER, ALL)) == "cd"
    assert await buffer.claim(SMALL, ALL) == []
    assert names(await buffer.claim(BIG, ALL)) == "ab"


async def test_turns(buffer):
    """Tenants of one lane take turns: one's ten photos do not hold another's one."""
    crowd = [entry(f"a{number}", SMALL, number, tenant="ann") for number in range(10)]
    await buffer.put([*crowd, entry("b0", SMALL, 99, tenant="bob")])
    assert [one.photo.id for one in await buffer.claim(SMALL, ALL)] == ["a0", "b0", "a1", "a2"]


async def test_jobs_last(buffer):
    """Photos whose clients wait are claimed before those of jobs, which fill what is left of the
    grid."""
    jobs = [entry(f"j{number}", SMALL, number, job="job", index=number) for number in range(5)]
    await buffer.put(jobs)
    assert await buffer.backlogs() == {SMALL: (5, 0, 1, False)}
    await buffer.put([entry("a", SMALL, 9)])
    assert await buffer.backlogs() == {SMALL: (6, 0, 1, True)}
    assert [one.photo.id for one in await buffer.claim(SMALL, ALL)] == ["a", "j0", "j1", "j2"]
    assert await buffer.backlogs() == {SMALL: (2, 3, 4, False)}


async def test_watched_last(buffer):
    """Photos that are only watched wait as those of jobs do, and take turns with them."""
    await buffer.put(
        [entry("w", SMALL, watched=True), entry("j", SMALL, tenant="other", job="job")]
    )
    assert (await buffer.backlogs())[SMALL].urgent is False
    await buffer.put([entry("a", SMALL, 9)])
    assert [one.photo.id for one in await buffer.claim(SMALL, ALL)] == ["a", "w", "j"]


async def test_watched_outcomes(buffer):
    """Their outcome is told where they were put; in the ledger they are nobody's photos, whether
    they are answered, fail or leave, and only what is charged for them counts."""
    heard = BufferRecorder()
    async with buffer.serving(heard):
        await buffer.put([entry(name, tenant="ann", watched=True) for name in "abc"])
        a, b, c = await buffer.claim(BIG, ALL)
        ends = [
            Settlement(a, NOTHING_SEEN, 0.001),
            Settlement(b, Outcome(None, error=UpstreamFailed("no")), 0.001),
        ]
        await buffer.commit(
            Commit(
                settlements=ends,
                withdrawn_ids=[c.photo.id],
                charges=billed_charges([a, b, c], 0.002),
            )
        )
        await heard.until(lambda: len(heard.outcomes) == 2)
    assert await buffer.occupancy() == Occupancy(0, 0, 0)
    assert await buffer.ledger.accounts() == {
        "ann": Account(billed=pytest.approx(1), paid_usd=pytest.approx(0.002))
    }


async def test_as_it_was_put(buffer):
    """A photo comes out as it was put: its bytes, its times, and what was asked of it before; only
    its turn is new."""
    found = (
        Detection("cat", 0.5, Box(0, 0, 1, 1), details={"a": [1]}, polygon=((0.0, 1.0),), key=1),
    )
    step = Step(0, "one", "c", SMALL.shape, 4, 1, 0.1, 0.2, 0.3, found, "unsure")
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


async def test_held(buffer):
    """What is held is counted in photos, bytes and pixels, claimed photos among them, until they
    are settled."""
    await buffer.put([entry("a", data=b"123", size=(2, 2)), entry("b", data=b"4567", size=(5, 1))])
    assert await buffer.occupancy() == Occupancy(2, 7, 9)
    a, b = await buffer.claim(BIG, ALL)
    assert await buffer.occupancy() == Occupancy(2, 7, 9)
    await settle(buffer, a)
    assert await buffer.occupancy() == Occupancy(1, 4, 5)
    await settle(buffer, b)
    assert await buffer.occupancy() == Occupancy(0, 0, 0)


async def test_gone(buffer):
    """A photo whose client leaves while it waits is never claimed, and takes up no room."""
    await buffer.put(entries("abc"))
    await buffer.commit(Commit(withdrawn_ids=["b"]))
    assert (await buffer.occupancy()).photos == 2
    assert names(await buffer.claim(BIG, ALL)) == "ac"


async def test_gone_unknown(buffer):
    """Letting go a photo that is not held, or no longer, does nothing."""
    await buffer.put(entries("ab"))
    await buffer.commit(Commit(withdrawn_ids=["z", "a"]))
    await buffer.commit(Commit(withdrawn_ids=["a"]))
    assert (await buffer.occupancy()).photos == 1
    assert names(await buffer.claim(BIG, ALL)) == "b"


async def test_wanted(buffer):
    """Before a canvas is asked about, those of its photos are named whose clients still wait."""
    await buffer.put(entries("abc"))
    taken = await buffer.claim(BIG, ALL)
    await buffer.commit(Commit(withdrawn_ids=["b"]))
    assert names(await buffer.ask("canvas", taken)) == "ac"
    await buffer.commit(Commit(ended_canvas="canvas"))
    await buffer.commit(Commit(withdrawn_ids=["a", "c"]))
    assert await buffer.ask("canvas", taken) == []


async def test_again(buffer):
    """A claimed photo that is put again waits in its new lane, behind those that were there, and
    counts once."""
    await buffer.put([*entries("a"), *entries("x", SMALL, 1)])
    (claimed,) = await buffer.claim(BIG, ALL)
    assert await buffer.commit(
        Commit(requeues=[replace(claimed, lane=SMALL, put_at=2, stage=1)])
    ) == {"a"}
    assert (await buffer.occupancy()).photos == 2
    assert BIG not in await buffer.backlogs()
    taken = await buffer.claim(SMALL, ALL)
    assert names(taken) == "xa"
    assert (taken[1].stage, taken[1].turn) == (1, 2)


async def test_other_bytes(buffer):
    """A photo that is put again with other bytes, as a URL that was fetched, has these from then
    on."""
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


async def test_same_photo_twice(buffer):
    """The same photo twice in one put, or put while it is held, is held once, where it was."""
    await buffer.put([entry("a"), entry("a")])
    await buffer.put([entry("a", SMALL)])
    assert await buffer.occupancy() == Occupancy(1, 5, 12)
    (claimed,) = await buffer.claim(BIG, ALL)
    assert await buffer.backlogs() == {}
    await settle(buffer, claimed)
    assert await buffer.occupancy() == Occupancy(0, 0, 0)


async def test_put_nothing(buffer):
    """Putting no photos changes nothing."""
    await buffer.put([])
    assert await buffer.backlogs() == {}


async def test_outcomes(buffer):
    """Who put a photo is told its outcome, once; a job's photo is nobody's to be told here."""
    heard = BufferRecorder()
    async with buffer.serving(heard):
        await buffer.put([*entries("ab"), entry("j", put_at=9, job="job")])
        a, b, job = await buffer.claim(BIG, ALL)
        found = (Detection("cat", 0.5, Box(0, 0, 1, 1)),)
        assert await settle(buffer, a, outcome=Outcome(a.photo, found)) == {"a"}
        assert await settle(buffer, a, job, outcome=Outcome(None)) == {"j"}
        await settle(buffer, b, outcome=Outcome(b.photo, error=UpstreamFailed("no answer")))
        await heard.until(lambda: len(heard.outcomes) == 2)
        assert heard.losses == []
    assert heard.outcomes["a"].detections == found
    assert isinstance(heard.outcomes["b"].error, UpstreamFailed)
    assert str(heard.outcomes["b"].error) == "no answer"
    assert "j" not in heard.outcomes


async def test_earlier_turns(buffer):
    """Whoever holds a photo by an earlier turn can neither settle it nor put it again: it is
    somebody else's now."""
    await buffer.put(entries("a"))
    (first,) = await buffer.claim(BIG, ALL)
    await buffer.commit(Commit(requeues=[first]))
    (second,) = await buffer.claim(BIG, ALL)
    assert await settle(buffer, first) == frozenset()
    assert await buffer.commit(Commit(requeues=[first])) == frozenset()
    assert await buffer.ask("canvas", [first]) == []
    assert await settle(buffer, second) == {"a"}


async def test_ledger(buffer):
    """The ledger grows by what is paid, whoever is left by then, and by each photo that is settled
    or leaves, once."""
    await buffer.put([entry("a", tenant="ann"), entry("b", tenant="bob")])
    taken = await buffer.claim(BIG, ALL)
    ends = [Settlement(one, Outcome(None), 0.001) for one in taken]
    await buffer.commit(Commit(withdrawn_ids=["b"]))
    await buffer.commit(Commit(settlements=ends, charges=billed_charges(taken, 0.002)))
    await buffer.commit(Commit(settlements=ends, charges={"ann": Account(unknown=1)}))
    accounts = await buffer.ledger.accounts()
    assert accounts["ann"] == Account(1, 1, 0.5, 1, 0.001, 0.001)
    assert accounts["bob"] == Account(1, 0, 0.5, 0, 0.001, 0)


async def test_ledger_of_failures(buffer):
    """A photo that fails counts as one that was not answered."""
    await buffer.put(entries("a"))
    taken = await buffer.claim(BIG, ALL)
    await settle(buffer, *taken, outcome=Outcome(None, error=UpstreamFailed("no")))
    assert await buffer.ledger.accounts() == {"tenant": Account(photos=1)}


async def test_wakes(buffer):
    """A photo that waits again, or that fills a grid, is worth waking whoever listens."""
    heard = BufferRecorder()
    async with buffer.serving(heard):
        await buffer.put(entries("abcd", SMALL))
        taken = await buffer.claim(SMALL, 0)
        heard.work.clear()
        await buffer.commit(Commit(requeues=taken))
        await wait_until(heard.work.is_set)


ROOMS = [Capacity(photos=3), Capacity(bytes=15), Capacity(pixels=36)]
"""Room for three photos of 5 bytes and 12 pixels, each by another measure."""


@pytest.mark.parametrize("room", ROOMS)
async def test_full(opened, room):
    """Over the limit of photos, bytes or pixels all of a put is refused, with when to come back;
    nothing is taken."""
    async with opened(room) as buffer:
        await buffer.put(entries("ab"))
        with pytest.raises(Busy) as caught:
            await buffer.put(entries("cd", SMALL))
        assert caught.value.retry_after_s > 0
        assert (await buffer.occupancy()).photos == 2
        assert list(await buffer.backlogs()) == [BIG]
        await buffer.put(entries("c"))


@pytest.mark.parametrize("room", ROOMS)
async def test_full_of_claimed(opened, room):
    """Claimed photos take up room until they are settled."""
    async with opened(room) as buffer:
        await buffer.put(entries("abc"))
        taken = await buffer.claim(BIG, ALL)
        with pytest.raises(Busy):
            await buffer.put(entries("d"))
        await settle(buffer, taken[1])
        await buffer.put(entries("d"))
        assert names(await buffer.claim(BIG, ALL)) == "d"


@pytest.mark.parametrize("room", ROOMS)
async def test_full_put_again(opened, room):
    """A photo that is held can always be put again, however full the buffer is."""
    async with opened(room) as buffer:
        await buffer.put(entries("abc"))
        claimed = await buffer.claim(BIG, ALL)
        await buffer.commit(Commit(requeues=[replace(one, lane=SMALL) for one in claimed]))
        assert names(await buffer.claim(SMALL, ALL)) == "abc"


@pytest.mark.parametrize("room", ROOMS)
async def test_jobs_room(opened, room):
    """Photos of jobs have a room of their own: however many there are, a client that waits is not
    turned away."""
    async with opened(room) as buffer:
        await buffer.put([entry(name, job="job") for name in "abc"])
        with pytest.raises(Busy):
            await buffer.put([entry("d", job="job")])
        await buffer.put(entries("xyz"))
        assert (await buffer.occupancy()).photos == 6


async def test_larger_than_the_room(opened):
    """A photo that alone is more than all the room is refused, each time."""
    async with opened(Capacity(bytes=4)) as buffer:
        for _ in range(2):
            with pytest.raises(Busy):
                await buffer.put(entries("a"))
        assert await buffer.occupancy() == Occupancy()


# -- any interleaving


async def test_company(buffer):
    """For company there are up to so many of a lane's photos, due or not, oldest first; never one
    that is patient."""
    await buffer.put([*entries("abcd"), entry("j", job="job"), entry("k", OTHER)])
    assert names(await buffer.claim(BIG, 0.0)) == ""
    first = await buffer.claim(BIG, 0.0, most=3)
    assert names(first) == "abc"
    assert {one.turn for one in first} == {1}
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
class Model:
    """What a buffer should hold: which photos, and by lane those that wait, oldest first."""

    room: int
    held: set[str] = field(default_factory=set)
    queues: dict[Lane, list[str]] = field(default_factory=lambda: {lane: [] for lane in LANES})

    def leave(self, name: str) -> None:
        for queue in self.queues.values():
            if name in queue:
                queue.remove(name)

    def put(self, wanted: Sequence[tuple[str, Lane]]) -> bool:
        new = {name: lane for name, lane in reversed(wanted) if name not in self.held}
        if new and len(self.held) + len(new) > self.room:
            return False
        for name, _ in wanted:
            if name not in self.held:
                self.held.add(name)
                self.queues[new[name]].append(name)
        return True

    def claim(self, lane: Lane, now: float) -> str:
        most = lane.shape.cells
        if len(self.queues[lane]) < most and now < ALL:
            return ""
        taken = self.queues[lane][:most]
        del self.queues[lane][:most]
        return "".join(taken)


@settings(max_examples=150, deadline=None)
@given(actions=ACTIONS, room=st.integers(2, 8))
def test_any_interleaving(opened, actions, room):
    """Put, claimed, put again, settled and withdrawn in any order, no photo is lost or doubled, and
    all adds up."""
    asyncio.run(_play(opened, actions, room))


async def _play(opened, actions, room):
    model, claimed = Model(room), {}
    async with opened(Capacity(photos=room)) as buffer:
        for now, (what, how) in enumerate(actions, 1):
            await _act(buffer, model, claimed, what=what, how=how, now=float(now))
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


async def _act(buffer, model, claimed, *, what, how, now):
    if what == "put":
        fits = await _put(buffer, [entry(name, lane, now) for name, lane in how])
        assert fits is model.put(how)
    elif what == "claim":
        taken = await buffer.claim(*how)
        assert names(taken) == model.claim(*how)
        claimed.update((one.photo.id, one) for one in taken)
    elif what == "settle" and how in claimed:
        assert await settle(buffer, claimed.pop(how)) == {how}
        model.held.discard(how)
    elif what == "again" and how[0] in claimed:
        name, lane = how
        assert await buffer.commit(
            Commit(requeues=[replace(claimed.pop(name), lane=lane, put_at=now)])
        ) == {name}
        model.queues[lane].append(name)
    elif what == "gone":
        await buffer.commit(Commit(withdrawn_ids=[how]))
        claimed.pop(how, None)
        model.leave(how)
        model.held.discard(how)


async def _put(buffer, wanted) -> bool:
    try:
        await buffer.put(wanted)
    except Busy:
        return False
    return True
