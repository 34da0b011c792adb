"""What only a shared buffer has: replicas that die, clients elsewhere, and a Redis that goes
away."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

import pytest

from gateway.core.clock import steady
from gateway.core.errors import BilledUnknown, BufferAway, DeadLetter
from gateway.core.events import Events
from gateway.core.model import (
    Entry,
    FetchEntry,
    FetchLane,
    Lane,
    Outcome,
    Photo,
    RemotePhoto,
    Route,
    Size,
)
from gateway.grid.renderer import Renderer
from gateway.ledger.accounts import billed_charges, total
from gateway.pipeline.assembly import Steps
from gateway.pipeline.cascade_step import CascadeStep
from gateway.store.buffer import MOST_CLAIMS, Capacity, Commit, Settlement
from gateway.store.inspection import Occupancy
from gateway.store.redis.buffer import RedisBuffer
from gateway.store.redis.connection import Commands
from gateway.store.redis.limits import LEASE_S
from gateway.store.redis.scripts import Script
from gateway.testing.listeners import BufferRecorder
from gateway.testing.pictures import drawn, photo
from gateway.testing.provider import ScriptedProvider
from gateway.testing.redis_server import RedisServer
from gateway.upstream.registry import UpstreamRegistry
from providers.detection import Box, Detection, Task
from tests.support.redis import hasty_commands, patient_commands
from tests.support.waiting import Stopwatch, wait_until
from thresholds.cascade import Cascade, Stage
from thresholds.shape import ALONE, Shape

LANE = Lane("one", Task.OBJECTS, "us", Shape(2, 2))
ALL = 1e12
ANSWERED_WITHIN_S = 2.0


@asynccontextmanager
async def replica(
    server: RedisServer,
    rule: str = "retry",
    room: Capacity | None = None,
    *,
    open_commands: Callable[[RedisServer], Commands] = patient_commands,
) -> AsyncIterator[RedisBuffer]:
    commands = open_commands(server)
    try:
        yield RedisBuffer(
            commands, room or Capacity(), room or Capacity(), clock=steady(), rule=rule
        )
    finally:
        await commands.close()


@pytest.fixture
async def keys(server):
    """The keys that are in Redis now, but for the ledger and what living replicas say of
    themselves."""
    commands = patient_commands(server)
    standing = (
        "{imgrid}:ledger",
        "{imgrid}:tenants",
        "{imgrid}:alive",
        "{imgrid}:beat",
        "{imgrid}:commits",
    )

    async def now() -> set[str]:
        found = {key.decode() for key in await commands.client.keys("*")}
        return {key for key in found if not key.startswith(standing)}

    yield now
    await commands.close()


def entry(name: str, lane: Lane = LANE, tenant: str = "ann", **changes) -> Entry:
    now = time.time()
    photo = Photo(name, name.encode() * 5, "JPEG", Size(4, 3))
    return Entry(photo, "route", tenant, lane, now, now, now, now + 600, **changes)


def rounds_of(buffer: RedisBuffer, provider: ScriptedProvider) -> CascadeStep:
    """What sees to canvases at a replica."""
    clock, events = steady(), Events([])
    route = Route("route", Task.OBJECTS, "one", Cascade(stages=[Stage(shape="2x2")]))

    return Steps(
        {"route": route},
        UpstreamRegistry.of({"one": provider}, clock, random.Random(1), events),
        buffer,
        renderer=Renderer(1),
        events=events,
        clock=clock,
    ).cascade_step


def names(entries) -> str:
    return "".join(sorted(one.photo.id for one in entries))


async def die(buffer: RedisBuffer) -> None:
    """The replica is not heard of for as long as it takes to be dead: its lease is over."""
    client = buffer.replica.commands.client
    await client.zadd("{imgrid}:alive", {buffer.replica.name: time.time() - 1})


class TestReplicas:
    async def test_answered_elsewhere(self, server, keys):
        """A client is answered by the replica that it waits at, whichever replica its photo was
        composed at."""
        heard, others = BufferRecorder(), BufferRecorder()
        async with (
            replica(server) as one,
            replica(server) as two,
            one.serving(heard),
            two.serving(others),
        ):
            await one.put([entry("a"), entry("b")])
            taken = await two.claim(LANE, ALL)
            found = (Detection("cat", 0.5, Box(0, 0, 1, 1)),)
            await two.commit(
                Commit(settlements=[Settlement(each, Outcome(each.photo, found)) for each in taken])
            )
            await heard.until(lambda: len(heard.outcomes) == 2)
            assert heard.outcomes["a"].detections == found
            assert others.outcomes == {}
        assert await keys() == set()

    async def test_one_grid(self, server):
        """Photos that came to different replicas fill one grid, which one of them claims."""
        async with replica(server) as one, replica(server) as two:
            for name in "abcd":
                await (one if name in "ac" else two).put([replace(entry(name), due_at=ALL)])
            both = await asyncio.gather(one.claim(LANE, 0), two.claim(LANE, 0))
            assert sorted(map(len, both)) == [0, 4]

    async def test_rings(self, server):
        """A replica is woken when another fills a grid, or puts the first photo into a lane."""
        async with replica(server) as one, replica(server) as two:
            heard = BufferRecorder()
            async with two.serving(heard):
                await wait_until(partial(listens, two))
                heard.news.clear()
                with Stopwatch() as watch:
                    await one.put([entry("a")])
                    await heard.news.wait()
                assert watch.elapsed_s < 0.4  # less than a heartbeat

    async def test_killed_in_earnest(self, server, keys):
        """What a replica held that was not heard of again is another's within ten seconds, without
        anybody's help."""
        heard = BufferRecorder()
        async with replica(server) as one, replica(server) as two, two.serving(heard):
            serving = one.serving(BufferRecorder())
            await serving.__aenter__()
            await two.put([entry("a")])
            began = time.monotonic()
            with Stopwatch() as watch:
                assert names(await one.claim(LANE, ALL)) == "a"
                one.tasks[0].cancel()
                taken = await wait_until(lambda: two.claim(LANE, ALL))
            assert time.monotonic() - began > LEASE_S - 1
            assert watch.elapsed_s < 10
            await two.commit(
                Commit(settlements=[Settlement(each, Outcome(each.photo)) for each in taken])
            )
            await heard.until(lambda: "a" in heard.outcomes)
            await serving.__aexit__(None, None, None)
        assert await keys() == set()

    async def test_late_replica(self, server):
        """A replica that comes back from the dead can do nothing about photos that are others'
        now."""
        heard = BufferRecorder()
        async with replica(server) as one, replica(server) as two, two.serving(heard):
            await two.put([entry("a")])
            (mine,) = await one.claim(LANE, ALL)
            await die(one)
            await two.heartbeat.beat()
            assert await one.ask("canvas", [mine]) == []
            assert (await two.occupancy()).photos == 1
            assert (
                await one.commit(Commit(settlements=[Settlement(mine, Outcome(None))]))
                == frozenset()
            )
            (theirs,) = await two.claim(LANE, ALL)
            assert await two.commit(Commit(settlements=[Settlement(theirs, Outcome(None))])) == {
                "a"
            }

    async def test_late_canvas(self, server):
        """A canvas that a replica had begun before it was taken for dead touches nothing of what is
        another's now."""
        heard, provider = BufferRecorder(), ScriptedProvider()
        async with replica(server) as one, replica(server) as two, two.serving(heard):
            await two.put([replace(entry("a"), photo=replace(photo(drawn((64, 64))), id="a"))])
            entries = await one.claim(LANE, ALL)
            await die(one)
            await two.heartbeat.beat()
            (theirs,) = await two.claim(LANE, ALL)
            await rounds_of(one, provider).run(LANE, entries)
            assert provider.calls == 0
            assert await two.ask("canvas", [theirs]) == [theirs]
            assert await two.commit(Commit(requeues=[theirs])) == {"a"}
            assert len(await two.claim(LANE, ALL)) == 1  # its bytes are there too

    async def test_unknown_replica(self, server):
        """A replica that is not known to live says so before it takes photos; one that has gone
        takes none."""
        async with replica(server) as one, replica(server) as two:
            await one.put([entry("a")])
            await one.replica.commands.client.delete("{imgrid}:alive")
            assert names(await two.claim(LANE, ALL)) == "a"
            assert await two.replica.commands.client.zscore("{imgrid}:alive", two.replica.name)

    async def test_many_clients_of_the_dead(self, server):
        """However many photos a replica leaves behind, they leave a few hundred at a time."""
        async with replica(server) as one, replica(server) as two:
            await two.heartbeat.beat()
            for first in range(0, 1200, 200):
                await one.put([entry(f"{number}") for number in range(first, first + 200)])
            await die(one)
            held = []
            while not held or held[-1]:
                await two.heartbeat.beat()
                held.append((await two.occupancy()).photos)
            assert held == [700, 200, 0]

    async def test_many_clients_are_told(self, server):
        """A replica that was taken for dead and lives tells its clients, though not all of their
        photos have left."""
        heard = BufferRecorder()
        async with replica(server) as one, replica(server) as two:
            one.replica.listener = heard
            await one.heartbeat.beat()
            for first in range(0, 600, 200):
                await one.put([entry(f"{number}") for number in range(first, first + 200)])
            await die(one)
            await two.heartbeat.beat()
            await one.heartbeat.beat()
            assert heard.losses
            one.replica.listener = None

    async def test_goes_in_peace(self, server):
        """A replica that stops gives back what it holds at once."""
        async with replica(server) as one, replica(server) as two:
            async with one.serving(BufferRecorder()):
                await two.put([entry("a")])
                await one.claim(LANE, ALL)
            assert names(await two.claim(LANE, ALL)) == "a"

    async def test_clients_of_the_dead(self, server, keys):
        """Photos whose clients waited at a replica that died are nobody's: they leave. Those of
        jobs stay."""
        async with replica(server) as one, replica(server) as two:
            await one.put([entry("a"), entry("j", job="job")])
            await die(one)
            await two.heartbeat.beat()
            assert (await two.occupancy()).photos == 1
            assert names(await two.claim(LANE, ALL)) == "j"
            await two.commit(Commit(withdrawn_ids=["j"]))
            assert await keys() == set()

    async def test_redis_was_away(self, server):
        """Where no replica could be heard for a while, Redis was away itself, and none is taken for
        dead."""
        async with replica(server) as one, replica(server) as two:
            await one.heartbeat.beat()
            await two.heartbeat.beat()
            await one.put([entry("a")])
            ago = time.time() - 60
            await one.replica.commands.client.set("{imgrid}:beat", ago)
            await one.replica.commands.client.zadd(
                "{imgrid}:alive", {one.replica.name: ago + 3, two.replica.name: ago + 3}
            )
            await two.heartbeat.beat()
            assert (await two.occupancy()).photos == 1


class TestLostReplies:
    async def test_claim(self, own_server):
        """Photos that a replica claimed without learning of it go to whoever claims next, though it
        lives."""
        heard = BufferRecorder()
        async with replica(own_server, open_commands=hasty_commands) as one, one.serving(heard):
            await one.claim(LANE, ALL)  # so that Redis knows the script
            await one.put([entry("a")])
            own_server.signal(signal.SIGSTOP)
            with pytest.raises(BufferAway):
                await one.claim(LANE, ALL)
            own_server.signal(signal.SIGCONT)
            taken = []
            with Stopwatch() as watch:
                while not taken:
                    await asyncio.sleep(0.1)
                    with suppress(BufferAway):
                        taken = await one.claim(LANE, ALL)
            assert watch.elapsed_s < 10
            assert names(taken) == "a"
            await asyncio.sleep(1)  # known by now: it stays with whoever holds it
            assert await one.commit(Commit(settlements=[Settlement(taken[0], Outcome(None))])) == {
                "a"
            }

    async def test_put(self, own_server):
        """Photos that could not be put, and arrive all the same when Redis is back, are taken out
        again."""
        heard = BufferRecorder()
        async with replica(own_server, open_commands=hasty_commands) as one, one.serving(heard):
            await one.put([entry("a")])
            await one.commit(Commit(withdrawn_ids=["a"]))
            own_server.signal(signal.SIGSTOP)
            await refused(one, "b")
            own_server.signal(signal.SIGCONT)
            await heard.until(lambda: not one.problem)
            await asyncio.sleep(1)
            assert await one.occupancy() == Occupancy()


class TestDeliveries:
    async def test_read_at_once(self, server):
        """An outcome is told once, though the heartbeat and the bell look into the inbox at the
        same time."""
        heard = BufferRecorder()
        async with replica(server) as one:
            one.replica.listener = heard
            await one.put([entry("a")])
            taken = await one.claim(LANE, ALL)
            await one.commit(
                Commit(settlements=[Settlement(each, Outcome(None)) for each in taken])
            )
            await asyncio.gather(
                *(one.occupancy() for _ in range(3))
            )  # each finds a connection of its own from now on
            await asyncio.gather(*(one.heartbeat.inbox.read() for _ in range(3)))
            assert heard.outcomes == {"a": Outcome(None)}
            one.replica.listener = None

    async def test_not_taken_out(self, own_server):
        """An outcome is told once, though it could not be taken out of the inbox when it had been
        told."""
        heard = BufferRecorder()
        async with replica(own_server, open_commands=hasty_commands) as one:
            one.replica.listener = heard
            await one.put([entry("a")])
            taken = await one.claim(LANE, ALL)
            await one.commit(
                Commit(settlements=[Settlement(each, Outcome(None)) for each in taken])
            )
            client = one.replica.commands.client
            await client.acl_setuser("default", enabled=True, commands=["-hdel"])
            with pytest.raises(BufferAway):
                await one.heartbeat.inbox.read()
            await client.acl_setuser("default", enabled=True, commands=["+hdel"])
            await one.heartbeat.inbox.read()
            assert heard.outcomes == {"a": Outcome(None)}
            assert not await client.exists(f"{{imgrid}}:inbox:{one.replica.name}")
            one.replica.listener = None

    async def test_dead_letter(self, server, keys):
        """A photo whose holders died five times is answered with an error, and kept on the list of
        dead letters."""
        heard = BufferRecorder()
        async with replica(server) as home, home.serving(heard):
            await home.put([entry("a", job="")])
            for claims in range(MOST_CLAIMS):
                async with replica(server) as victim:
                    lane = LANE if claims < 2 else LANE._replace(shape=ALONE)
                    assert names(await victim.claim(lane, ALL)) == "a", claims
                    await die(victim)
                    await home.heartbeat.beat()
            await heard.until(lambda: "a" in heard.outcomes)
            assert isinstance(heard.outcomes["a"].error, DeadLetter)
            (letter,) = await home.dead_letters()
            assert (letter.photo, letter.tenant, letter.claims) == ("a", "ann", MOST_CLAIMS)
            assert await home.occupancy() == Occupancy()
            assert (await home.ledger.accounts())["ann"].photos == 1
        assert await keys() == {"{imgrid}:dead"}

    async def test_progress_counts_anew(self, server):
        """Claims count only until a photo has got further: a long cascade is no reason to give
        up."""
        async with replica(server) as one:
            await one.put([entry("a")])
            for _ in range(2 * MOST_CLAIMS):
                await one.commit(Commit(requeues=await one.claim(LANE, ALL)))
            await one.claim(LANE, ALL)
            async with replica(server) as two:
                await die(one)
                await two.heartbeat.beat()
                assert await two.dead_letters() == ()

    async def test_culprit_alone(self, server):
        """Photos that were on two canvases whose replicas died are asked alone: the culprit harms
        no other then."""
        async with replica(server) as home, home.serving(BufferRecorder()):
            await home.put([entry(name) for name in "abcd"])
            for _ in range(2):
                async with replica(server) as victim:
                    assert len(await victim.claim(LANE, ALL)) == 4
                    await die(victim)
                    await home.heartbeat.beat()
            assert await home.claim(LANE, ALL) == []
            assert len(await home.claim(LANE._replace(shape=ALONE), ALL)) == 1


FETCH = FetchLane(Task.OBJECTS, "us")


def url(name: str) -> FetchEntry:
    """A photo of a job that is still to be fetched."""
    now, photo = time.time(), RemotePhoto(name, "https://shop.example/")
    return FetchEntry(photo, "route", "ann", FETCH, now, now, now, now + 600, job="job")


class TestUrls:
    async def test_leave(self, server, keys):
        """A URL that is never fetched leaves as any other photo does: failed, withdrawn, or with
        its replica."""
        async with replica(server) as one, replica(server) as two:
            await one.put([url(name) for name in "abcd"])
            (a,) = await one.claim(FETCH, ALL)
            assert await one.commit(Commit(settlements=[Settlement(a, Outcome(None))])) == {
                a.photo.id
            }
            left = [name for name in "abcd" if name != a.photo.id]
            await one.commit(Commit(withdrawn_ids=left[:2]))
            assert (await one.occupancy()).photos == 1
            for _ in range(MOST_CLAIMS):
                await one.heartbeat.beat()
                assert await one.claim(FETCH, ALL)
                one._claims.clear()
                await die(one)
                await two.heartbeat.beat()
            assert await two.occupancy() == Occupancy()
            assert total(await two.ledger.accounts()).photos == 4
            await two.replica.commands.client.delete("{imgrid}:dead")
            assert await keys() == set()

    async def test_fetched_and_taken_back(self, server):
        """A photo that was fetched is a photo from then on, whoever dies with it."""
        async with replica(server) as one, replica(server) as two:
            await one.put([url("a")])
            (claimed,) = await one.claim(FETCH, ALL)
            photo = Photo("a", b"JPEG", "JPEG", Size(4, 3))
            fetched = claimed.photo_entry(photo, LANE, put_at=claimed.put_at, due_at=claimed.due_at)
            await one.commit(Commit(requeues=[fetched]))
            for _ in range(2):
                await one.heartbeat.beat()
                assert await one.claim(LANE, ALL)
                await die(one)
                await two.heartbeat.beat()
            (alone,) = await two.claim(LANE._replace(shape=ALONE), ALL)
            assert alone.photo.data == b"JPEG"

    async def test_fetched_too_late(self, server):
        """What a replica fetched that had lost the photo by then takes nobody's place."""
        async with replica(server) as one, replica(server) as two:
            await one.put([url("a")])
            (claimed,) = await one.claim(FETCH, ALL)
            await die(one)
            await two.heartbeat.beat()
            photo = Photo("a", b"JPEG", "JPEG", Size(4, 3))
            fetched = claimed.photo_entry(photo, LANE, put_at=claimed.put_at, due_at=claimed.due_at)
            assert await one.commit(Commit(requeues=[fetched])) == frozenset()
            (still,) = await two.claim(FETCH, ALL)
            assert still.photo.url == "https://shop.example/"
            assert "a" in one._bytes.orphans


class TestBills:
    @pytest.mark.parametrize("rule", ["retry", "fail"])
    async def test_died_while_asking(self, server, rule):
        """What a replica had asked about when it died may be billed: the ledger says so, and the
        rule decides."""
        heard = BufferRecorder()
        async with replica(server, rule) as one, replica(server, rule) as two, two.serving(heard):
            await two.put([entry("a"), entry("b", tenant="bob"), entry("c")])
            taken = await one.claim(LANE, ALL)
            assert names(await one.ask("canvas", taken)) == "abc"
            await die(one)
            await two.heartbeat.beat()
            accounts = await two.ledger.accounts()
            assert accounts["ann"].unknown == pytest.approx(2 / 3)
            assert accounts["bob"].unknown == pytest.approx(1 / 3)
            if rule == "retry":
                assert names(await two.claim(LANE, ALL)) == "abc"
            else:
                await heard.until(lambda: len(heard.outcomes) == 3)
                assert all(
                    isinstance(outcome.error, BilledUnknown) for outcome in heard.outcomes.values()
                )

    async def test_answered_after_all(self, server):
        """A replica that was taken for dead while it asked, and has its answer all the same, is
        billed for it once."""
        async with replica(server) as one, replica(server) as two, two.serving(BufferRecorder()):
            await two.put([entry("a"), entry("b", tenant="bob")])
            taken = await one.claim(LANE, ALL)
            await one.ask("canvas", taken)
            await die(one)
            await two.heartbeat.beat()
            assert total(await two.ledger.accounts()).unknown == pytest.approx(1)
            await one.heartbeat.beat()
            await one.commit(Commit(ended_canvas="canvas", charges=billed_charges(taken, 0.001)))
            account = total(await two.ledger.accounts())
            assert (account.billed, account.unknown) == (pytest.approx(1), pytest.approx(0))

    async def test_died_asking_for_nothing(self, server):
        """A replica that dies while it asks what nobody is billed for leaves no bill; its photos
        are another's."""
        async with (
            replica(server, "fail") as one,
            replica(server, "fail") as two,
            two.serving(BufferRecorder()),
        ):
            await two.put([entry("a")])
            assert names(await one.ask("", await one.claim(LANE, ALL))) == "a"
            await die(one)
            await two.heartbeat.beat()
            assert total(await two.ledger.accounts()).unknown == 0
            assert names(await two.claim(LANE, ALL)) == "a"

    async def test_died_while_watching(self, server):
        """Photos that a replica only watched leave with it, and were nobody's."""
        async with replica(server) as one, replica(server) as two:
            await two.heartbeat.beat()
            await one.put([entry("a", watched=True)])
            await die(one)
            await two.heartbeat.beat()
            assert (await two.occupancy()).photos == 0
            assert total(await two.ledger.accounts()).photos == 0

    async def test_died_before_asking(self, server):
        """Nothing is billed where nothing was asked, or where it is known that a failed call was
        not."""
        async with (
            replica(server, "fail") as one,
            replica(server, "fail") as two,
            two.serving(BufferRecorder()),
        ):
            await two.put([entry("a")])
            taken = await one.claim(LANE, ALL)
            await one.ask("canvas", taken)
            await one.commit(Commit(ended_canvas="canvas"))
            await die(one)
            await two.heartbeat.beat()
            assert total(await two.ledger.accounts()).unknown == 0
            assert names(await two.claim(LANE, ALL)) == "a"

    async def test_died_after_the_answer(self, server):
        """An answer is kept and its photos settled in one step: a replica that dies then leaves
        nothing to ask."""
        heard = BufferRecorder()
        async with replica(server) as one, replica(server) as two, two.serving(heard):
            await two.put([entry("a")])
            taken = await one.claim(LANE, ALL)
            await one.ask("canvas", taken)
            ends = [Settlement(each, Outcome(each.photo), 0.001) for each in taken]
            await one.commit(
                Commit(
                    settlements=ends, ended_canvas="canvas", charges=billed_charges(taken, 0.001)
                )
            )
            await die(one)
            await two.heartbeat.beat()
            await heard.until(lambda: "a" in heard.outcomes)
            assert await two.backlogs() == {}
            account = total(await two.ledger.accounts())
            assert (account.photos, account.billed, account.unknown) == (1, 1, 0)

    async def test_committed_twice(self, server):
        """A commit that is sent again because its reply was lost counts once."""
        async with replica(server) as one:
            await one.put([entry("a")])
            taken = await one.claim(LANE, ALL)
            commit = Commit(
                settlements=[Settlement(taken[0], Outcome(None))],
                charges=billed_charges(taken, 0.001),
            )
            assert await one.commit(commit) == await one.commit(commit) == {"a"}
            assert total(await one.ledger.accounts()).billed == 1
            late = Commit(settlements=[Settlement(taken[0], Outcome(None))])
            assert await one.commit(late) == await one.commit(late) == frozenset()


class TestNothingRemains:
    async def test_keys(self, server, keys):
        """After all is answered, withdrawn or refused, nothing of any photo remains."""
        heard = BufferRecorder()
        async with replica(server, room=Capacity(photos=30)) as one, one.serving(heard):
            await one.put([entry(f"p{number}", tenant=f"t{number % 3}") for number in range(30)])
            with pytest.raises(Exception, match="full"):
                await one.put([entry("q")])
            await one.commit(Commit(withdrawn_ids=[f"p{number}" for number in range(5)]))
            while taken := await one.claim(LANE, ALL):
                await one.ask("c", taken)
                again = [replace(each, lane=LANE._replace(shape=ALONE)) for each in taken[1:2]]
                ends = [
                    Settlement(each, Outcome(None))
                    for each in taken
                    if each.photo.id != taken[1].photo.id
                ]
                await one.commit(Commit(settlements=ends, requeues=again, ended_canvas="c"))
                for alone in await one.claim(LANE._replace(shape=ALONE), ALL):
                    await one.commit(Commit(settlements=[Settlement(alone, Outcome(None))]))
                if len(heard.outcomes) > 19:
                    break
            await one.commit(Commit(withdrawn_ids=[f"p{number}" for number in range(30)]))
            await heard.until(lambda: len(heard.outcomes) >= 20)
            await one.heartbeat.beat()
            assert await keys() == set()

    async def test_bytes_that_could_not_be_put(self, server, keys):
        """Bytes of a job that could not be put do not stay, for it may never be accepted."""
        async with replica(server) as one, one.serving(BufferRecorder()):
            await one.heartbeat.beat()
            one._put = Script("#!lua\nreturn redis.error_reply('ERR no')")
            with pytest.raises(BufferAway):
                await one.put([entry("j", job="job")])
            assert await keys() == {"imgrid:photo:j"}
            one._bytes.orphans = dict.fromkeys(one._bytes.orphans, 0.0)  # long enough ago
            await one.heartbeat.beat()
            assert await keys() == set()

    async def test_large_jobs(self, server):
        """A job of many megabytes is put in portions, and found whole."""
        async with replica(server) as one:
            large = [
                replace(
                    entry(f"{n}", job="job"),
                    photo=Photo(f"{n}", bytes(6 << 20), "JPEG", Size(4, 3)),
                )
                for n in range(8)
            ]
            await one.put(large)
            taken = await one.claim(LANE, ALL) + await one.claim(LANE, ALL)
            assert [len(each.photo.data) for each in taken] == [6 << 20] * 8
            await one.commit(Commit(withdrawn_ids=[each.photo.id for each in large]))

    async def test_bytes_expire(self, server):
        """A photo's bytes go by themselves a while after its deadline, whatever happens to the
        replicas."""
        async with replica(server) as one:
            await one.put([replace(entry("a"), deadline_at=time.time() + 5)])
            assert 5 < await one.replica.commands.client.ttl("imgrid:photo:a") <= 66

    async def test_bytes_gone(self, server):
        """A photo whose bytes are gone fails by itself; its neighbours are claimed."""
        heard = BufferRecorder()
        async with replica(server) as one, one.serving(heard):
            await one.put([entry("a"), entry("b")])
            await one.replica.commands.client.delete("imgrid:photo:a")
            assert names(await one.claim(LANE, ALL)) == "b"
            await heard.until(lambda: "a" in heard.outcomes)
            assert isinstance(heard.outcomes["a"].error, BufferAway)


async def within(most_s: float, condition: Callable[[], object]) -> None:
    """Returns once the condition is true, which takes no longer than that."""
    with Stopwatch() as watch:
        await wait_until(condition)
    assert watch.elapsed_s < most_s


async def refused(buffer: RedisBuffer, name: str) -> float:
    """How long a photo takes to be refused."""
    with Stopwatch() as watch, pytest.raises(BufferAway):
        await buffer.put([entry(name)])
    return watch.elapsed_s


async def listens(buffer: RedisBuffer) -> bool:
    """Whether the replica hears when another one rings."""
    client = buffer.replica.commands.client
    return buffer.replica.name in str(await client.pubsub_channels())


async def recovered(buffer: RedisBuffer, heard: BufferRecorder) -> None:
    """It takes photos again, by itself."""
    await heard.until(lambda: not buffer.problem)
    await buffer.put([entry("after")])
    assert names(await buffer.claim(LANE, ALL)) == "after"


class TestAway:
    async def test_paused(self, own_server):
        """While Redis is paused photos are refused in time and the replica says why; then all goes
        on."""
        heard = BufferRecorder()
        async with replica(own_server, open_commands=hasty_commands) as one, one.serving(heard):
            await heard.until(lambda: one.heartbeat.has_registered)
            await one.put([entry("before")])
            own_server.signal(signal.SIGSTOP)
            assert await refused(one, "while") < ANSWERED_WITHIN_S
            await within(4, lambda: one.problem)
            assert await refused(one, "still") < 0.1  # known by now
            assert heard.losses  # whoever waits is told
            own_server.signal(signal.SIGCONT)
            await heard.until(lambda: not one.problem)
            await one.commit(Commit(withdrawn_ids=["before", "while", "still"]))
            await recovered(one, heard)

    async def test_killed(self, own_server):
        """A Redis that was killed and restarted empty is used again, and whoever waited for a photo
        in it is told."""
        heard = BufferRecorder()
        async with replica(own_server, open_commands=hasty_commands) as one, one.serving(heard):
            await heard.until(lambda: one.heartbeat.has_registered)
            await one.put([entry("before")])
            own_server.signal(signal.SIGKILL)
            assert await refused(one, "while") < ANSWERED_WITHIN_S
            await within(4, lambda: one.problem)
            own_server.start()
            await heard.until(lambda: not one.problem)
            assert heard.losses
            assert await one.occupancy() == Occupancy()
            await recovered(one, heard)

    async def test_emptied(self, server):
        """Whoever waits for a photo in a Redis that was emptied is told within a second or two."""
        heard = BufferRecorder()
        async with replica(server) as one, one.serving(heard):
            await heard.until(lambda: one.heartbeat.has_registered)
            await one.put([entry("before")])
            await one.replica.commands.client.flushall()
            await within(2, lambda: heard.losses)
            await recovered(one, heard)

    async def test_emptied_under_load(self, server):
        """So it is where other photos keep coming."""
        heard = BufferRecorder()
        async with replica(server) as one, one.serving(heard):
            await heard.until(lambda: one.heartbeat.has_registered)
            await one.put([entry("before")])
            await one.replica.commands.client.flushall()
            for number in range(20):
                await one.put([entry(f"{number}")])
                await asyncio.sleep(0.01)
            assert heard.losses

    async def test_paused_under_load(self, own_server):
        """However much is asked of a Redis that is away, little of it piles up, and all goes on
        when it is back."""
        heard = BufferRecorder()
        async with replica(own_server, open_commands=hasty_commands) as one, one.serving(heard):
            await heard.until(lambda: one.heartbeat.has_registered)
            own_server.signal(signal.SIGSTOP)
            asked = []
            for number in range(400):
                asked.append(asyncio.create_task(one.put([entry(f"{number}")])))
                await asyncio.sleep(0.01)
            await asyncio.gather(*asked, return_exceptions=True)
            assert len(one.replica.commands._under_way) <= 70
            own_server.signal(signal.SIGCONT)
            await within(4, lambda: not one.problem)
            await one.put([entry("after")])
            await asyncio.sleep(1)  # a heartbeat or two
            assert (await one.occupancy()).photos == 1

    async def test_full(self, own_server):
        """A Redis that is full refuses photos, still takes outcomes, and says that it is not
        ready."""
        heard = BufferRecorder()
        async with replica(own_server, open_commands=hasty_commands) as one, one.serving(heard):
            await one.put([entry("a")])
            taken = await one.claim(LANE, ALL)
            await one.replica.commands.client.config_set("maxmemory", 1)
            assert await refused(one, "b") < ANSWERED_WITHIN_S
            await one.commit(
                Commit(settlements=[Settlement(each, Outcome(None)) for each in taken])
            )
            await within(4, lambda: one.problem)
            assert "memory" in one.problem
            await one.replica.commands.client.config_set("maxmemory", 0)
            await recovered(one, heard)


class TestCancelled:
    @pytest.mark.parametrize("seed", range(3))
    async def test_own_replies(self, server, seed):
        """However commands are cancelled, each reply reaches whoever asked for it, and nobody
        else."""
        rng = random.Random(seed)
        commands = patient_commands(server)
        client = commands.client

        async def ask(number: int) -> None:
            own = f"value-{number}".encode()
            await commands.do(client.set(f"key-{number}", own))
            for _ in range(5):
                assert await commands.do(client.get(f"key-{number}")) == own
                assert await commands.do(client.echo(own)) == own

        asking = [asyncio.create_task(ask(number)) for number in range(200)]
        for task in rng.sample(asking, 120):
            await asyncio.sleep(rng.uniform(0, 0.004))
            task.cancel()
        ended = await asyncio.gather(*asking, return_exceptions=True)
        assert not [error for error in ended if isinstance(error, AssertionError)]
        assert [error for error in ended if error is None]
        await ask(999)
        await commands.close()
