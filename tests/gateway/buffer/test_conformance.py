"""What every buffer does: it holds photos from the moment they are accepted until they are settled."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.buffer.base import Held, Room
from gateway.errors import Busy
from gateway.model import Entry, Lane, Photo, Size, Step
from providers.base import Box, Detection, Task
from thresholds.shape import Shape

BIG = Lane("one", Task.OBJECTS, "us", Shape(5, 5))
SMALL = Lane("one", Task.OBJECTS, "us", Shape(2, 2))
OTHER = Lane("one", Task.OBJECTS, "them", Shape(5, 5))


def entry(name: str, lane: Lane = BIG, put_at: float = 0.0, data: bytes = b"12345", size=(4, 3), wait_s=1.0) -> Entry:
    photo = Photo(name, data, "JPEG", Size(*size))
    return Entry(photo, "route", "tenant", lane, put_at, put_at, put_at + wait_s, put_at + 30)


def entries(names: str, lane: Lane = BIG, start: float = 0.0) -> list[Entry]:
    """One a letter, a second apart."""
    return [entry(name, lane, start + index) for index, name in enumerate(names)]


def names(taken: Sequence[Entry]) -> str:
    return "".join(one.photo.id for one in taken)


async def test_empty(buffer):
    """At first nothing waits and nothing is held."""
    assert await buffer.waiting() == {}
    assert await buffer.held() == Held(0, 0, 0)
    assert await buffer.claim(BIG, 4) == []


async def test_waiting(buffer):
    """Each lane that holds photos tells how many, since when, and until when the first may wait."""
    await buffer.put([entry("a", put_at=5, wait_s=9), entry("b", put_at=6, wait_s=1), entry("c", OTHER, put_at=7)])
    assert await buffer.waiting() == {BIG: (2, 5, 7), OTHER: (1, 7, 8)}


async def test_out_of_time_first(buffer):
    """A photo that may wait for less long than those before it makes its lane due earlier."""
    await buffer.put([entry("a", put_at=0, wait_s=9)])
    assert await buffer.waiting() == {BIG: (1, 0, 9)}
    await buffer.put([entry("b", put_at=1, wait_s=2)])
    assert await buffer.waiting() == {BIG: (2, 0, 3)}


async def test_waiting_is_kept_up(buffer):
    """What is told of a lane follows every photo that comes and goes."""
    await buffer.put(entries("abc"))
    assert await buffer.waiting() == {BIG: (3, 0, 1)}
    await buffer.claim(BIG, 1)
    assert await buffer.waiting() == {BIG: (2, 1, 2)}
    await buffer.put([entry("d", put_at=9, wait_s=0)])
    assert await buffer.waiting() == {BIG: (3, 1, 2)}
    await buffer.settle("b")
    assert await buffer.waiting() == {BIG: (2, 2, 3)}
    await buffer.claim(BIG, 9)
    assert await buffer.waiting() == {}


async def test_oldest_first(buffer):
    """Photos are claimed oldest first, no more than asked for, and no photo twice."""
    await buffer.put(entries("abcde"))
    assert names(await buffer.claim(BIG, 2)) == "ab"
    assert names(await buffer.claim(BIG, 2)) == "cd"
    assert names(await buffer.claim(BIG, 2)) == "e"
    assert await buffer.claim(BIG, 2) == []


async def test_each_lane_its_own(buffer):
    """A lane gives its own photos only; one that holds none gives none."""
    await buffer.put([*entries("ab"), *entries("cd", OTHER)])
    assert names(await buffer.claim(OTHER, 9)) == "cd"
    assert await buffer.claim(SMALL, 9) == []
    assert names(await buffer.claim(BIG, 9)) == "ab"


async def test_as_it_was_put(buffer):
    """A photo comes out as it was put: its bytes, its times, and what was asked of it before."""
    found = (Detection("cat", 0.5, Box(0, 0, 1, 1), details={"a": [1]}, polygon=((0.0, 1.0),), key=1),)
    step = Step(0, "one", "c", SMALL.shape, 4, 1, 0.1, 0.2, 0.3, found, "unsure")
    put = replace(entry("a", data=bytes(range(256))), stage=1, steps=(step,))
    await buffer.put([put])
    assert await buffer.claim(BIG, 1) == [put]


async def test_held(buffer):
    """What is held is counted in photos, bytes and pixels, claimed photos among them, until they are settled."""
    await buffer.put([entry("a", data=b"123", size=(2, 2)), entry("b", data=b"4567", size=(5, 1))])
    assert await buffer.held() == Held(2, 7, 9)
    await buffer.claim(BIG, 1)
    assert await buffer.held() == Held(2, 7, 9)
    await buffer.settle("a")
    assert await buffer.held() == Held(1, 4, 5)
    await buffer.settle("b")
    assert await buffer.held() == Held(0, 0, 0)


async def test_settle_waiting(buffer):
    """A photo that is settled while it waits is never claimed."""
    await buffer.put(entries("abc"))
    await buffer.settle("b")
    assert names(await buffer.claim(BIG, 9)) == "ac"


async def test_settle_unknown(buffer):
    """Settling a photo that is not held, or no longer, does nothing."""
    await buffer.put(entries("ab"))
    await buffer.settle("z")
    await buffer.settle("a")
    await buffer.settle("a")
    assert (await buffer.held()).photos == 1
    assert names(await buffer.claim(BIG, 9)) == "b"


async def test_put_again(buffer):
    """A claimed photo that is put again waits in its new lane, behind those that were there, and counts once."""
    await buffer.put([*entries("a"), *entries("x", SMALL, 1)])
    (claimed,) = await buffer.claim(BIG, 1)
    await buffer.put([replace(claimed, lane=SMALL, put_at=2, stage=1)])
    assert (await buffer.held()).photos == 2
    assert BIG not in await buffer.waiting()
    taken = await buffer.claim(SMALL, 9)
    assert names(taken) == "xa"
    assert taken[1].stage == 1


async def test_moved(buffer):
    """A waiting photo that is put again leaves its old lane."""
    await buffer.put(entries("ab"))
    await buffer.put([entry("a", SMALL, put_at=5)])
    assert names(await buffer.claim(BIG, 9)) == "b"
    assert names(await buffer.claim(SMALL, 9)) == "a"
    assert (await buffer.held()).photos == 2


async def test_same_photo_twice(buffer):
    """The same photo twice in one put is held once."""
    await buffer.put([entry("a"), entry("a")])
    assert await buffer.held() == Held(1, 5, 12)
    assert names(await buffer.claim(BIG, 9)) == "a"
    await buffer.settle("a")
    assert await buffer.held() == Held(0, 0, 0)


async def test_put_nothing(buffer):
    """Putting no photos changes nothing."""
    await buffer.put([])
    assert await buffer.waiting() == {}


ROOMS = [Room(photos=3), Room(bytes=15), Room(pixels=36)]
"""Room for three photos of 5 bytes and 12 pixels, each by another measure."""


@pytest.mark.parametrize("room", ROOMS)
async def test_full(opened, room):
    """Over the limit of photos, bytes or pixels all of a put is refused, with when to come back; nothing is taken."""
    async with opened(room) as buffer:
        await buffer.put(entries("ab"))
        with pytest.raises(Busy) as caught:
            await buffer.put(entries("cd", SMALL))
        assert caught.value.retry_after_s > 0
        assert (await buffer.held()).photos == 2
        assert list(await buffer.waiting()) == [BIG]
        await buffer.put(entries("c"))


@pytest.mark.parametrize("room", ROOMS)
async def test_full_of_claimed(opened, room):
    """Claimed photos take up room until they are settled."""
    async with opened(room) as buffer:
        await buffer.put(entries("abc"))
        await buffer.claim(BIG, 3)
        with pytest.raises(Busy):
            await buffer.put(entries("d"))
        await buffer.settle("b")
        await buffer.put(entries("d"))
        assert names(await buffer.claim(BIG, 9)) == "d"


@pytest.mark.parametrize("room", ROOMS)
async def test_full_put_again(opened, room):
    """A photo that is held can always be put again, however full the buffer is."""
    async with opened(room) as buffer:
        await buffer.put(entries("abc"))
        claimed = await buffer.claim(BIG, 2)
        await buffer.put([replace(one, lane=SMALL) for one in claimed])
        assert names(await buffer.claim(SMALL, 9)) == "ab"


async def test_larger_than_the_room(opened):
    """A photo that alone is more than all the room is refused, each time."""
    async with opened(Room(bytes=4)) as buffer:
        for _ in range(2):
            with pytest.raises(Busy):
                await buffer.put(entries("a"))
        assert await buffer.held() == Held()


# -- any interleaving


LANES = (BIG, SMALL, OTHER)
NAMES = st.sampled_from("abcdefgh")
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(st.tuples(NAMES, st.sampled_from(LANES)), max_size=4)),
        st.tuples(st.just("claim"), st.tuples(st.sampled_from(LANES), st.integers(0, 4))),
        st.tuples(st.just("settle"), NAMES),
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
        after = self.held | {name for name, _ in wanted}
        if after != self.held and len(after) > self.room:
            return False
        self.held = after
        for name, lane in wanted:
            self.leave(name)
            self.queues[lane].append(name)
        return True

    def claim(self, lane: Lane, count: int) -> str:
        taken = self.queues[lane][:count]
        del self.queues[lane][:count]
        return "".join(taken)

    def settle(self, name: str) -> None:
        self.leave(name)
        self.held.discard(name)


@settings(max_examples=150, deadline=None)
@given(actions=ACTIONS, room=st.integers(2, 8))
def test_any_interleaving(opened, actions, room):
    """Put, claimed, put again and settled in any order, no photo is lost or doubled, and what is held adds up."""
    asyncio.run(_play(opened, actions, room))


async def _play(opened, actions, room):
    model = Model(room)
    async with opened(Room(photos=room)) as buffer:
        for now, (what, how) in enumerate(actions):
            if what == "put":
                fits = await _put(buffer, [entry(name, lane, float(now)) for name, lane in how])
                assert fits is model.put(how)
            elif what == "claim":
                assert names(await buffer.claim(*how)) == model.claim(*how)
            else:
                await buffer.settle(how)
                model.settle(how)
            waiting = await buffer.waiting()
            assert {lane: held.photos for lane, held in waiting.items()} == {
                lane: len(queue) for lane, queue in model.queues.items() if queue
            }
            assert await buffer.held() == Held(len(model.held), 5 * len(model.held), 12 * len(model.held))
        for name in "abcdefgh":
            await buffer.settle(name)
        assert await buffer.held() == Held()
        assert await buffer.waiting() == {}


async def _put(buffer, wanted) -> bool:
    try:
        await buffer.put(wanted)
    except Busy:
        return False
    return True
