"""What only a shared buffer has: replicas that die, clients elsewhere, and a Redis that goes
away."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

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
async def photo_keys(server: RedisServer) -> AsyncIterator[Callable[..., Any]]:
    """The keys that are in Redis now, except the ledger and the heartbeats of living replicas."""
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


def canvas_calls_of(buffer: RedisBuffer, provider: ScriptedProvider) -> CascadeStep:
    """The part of a replica that processes canvases."""
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
    """Stops the heartbeat of the replica until its lease ends."""
    client = buffer.replica.commands.client
    await client.zadd("{imgrid}:alive", {buffer.replica.name: time.time() - 1})


class TestReplicas:
    async def test_a_client_is_answered_at_its_own_replica(
        self, server: RedisServer, photo_keys: Callable[..., Any]
    ) -> None:
        """A client gets its answer at the replica at which it waits, whichever replica composed its
        photo."""
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
        assert await photo_keys() == set()

    async def test_photos_of_several_replicas_fill_one_grid(self, server: RedisServer) -> None:
        """Photos from different replicas fill one grid, and one of the replicas claims it."""
        async with replica(server) as one, replica(server) as two:
            for name in "abcd":
                await (one if name in "ac" else two).put([replace(entry(name), due_at=ALL)])
            both = await asyncio.gather(one.claim(LANE, 0), two.claim(LANE, 0))
            assert sorted(map(len, both)) == [0, 4]

    async def test_a_replica_wakes_the_others(self, server: RedisServer) -> None:
        """A replica wakes the others when it fills a grid or puts the first photo into a lane."""
        async with replica(server) as one, replica(server) as two:
            heard = BufferRecorder()
            async with two.serving(heard):
                await wait_until(partial(hears_a_ring, two))
                heard.news.clear()
                with Stopwatch() as watch:
                    await one.put([entry("a")])
                    await heard.news.wait()
                assert watch.elapsed_s < 0.4  # less than a heartbeat

    async def test_a_killed_replicas_photos_move_on_within_seconds(
        self, server: RedisServer, photo_keys: Callable[..., Any]
    ) -> None:
        """Another replica gets the photos of a killed replica within ten seconds, without help."""
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
        assert await photo_keys() == set()

    async def test_a_returned_replica_cannot_touch_its_former_photos(
        self, server: RedisServer
    ) -> None:
        """A replica that returns after its lease ended cannot touch photos that others hold now."""
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

    async def test_a_late_canvas_touches_no_others_photo(self, server: RedisServer) -> None:
        """A canvas from before a replica was presumed dead touches no photo that another replica
        holds now."""
        heard, provider = BufferRecorder(), ScriptedProvider()
        async with replica(server) as one, replica(server) as two, two.serving(heard):
            await two.put([replace(entry("a"), photo=replace(photo(drawn((64, 64))), id="a"))])
            entries = await one.claim(LANE, ALL)
            await die(one)
            await two.heartbeat.beat()
            (theirs,) = await two.claim(LANE, ALL)
            await canvas_calls_of(one, provider).run(LANE, entries)
            assert provider.calls == 0
            assert await two.ask("canvas", [theirs]) == [theirs]
            assert await two.commit(Commit(requeues=[theirs])) == {"a"}
            assert len(await two.claim(LANE, ALL)) == 1  # its bytes are there too

    async def test_a_replica_announces_itself_before_it_takes_photos(
        self, server: RedisServer
    ) -> None:
        """An unknown replica announces itself before it takes photos; a departed one takes none."""
        async with replica(server) as one, replica(server) as two:
            await one.put([entry("a")])
            await one.replica.commands.client.delete("{imgrid}:alive")
            assert names(await two.claim(LANE, ALL)) == "a"
            assert await two.replica.commands.client.zscore("{imgrid}:alive", two.replica.name)

    async def test_a_dead_replicas_photos_leave_in_portions(self, server: RedisServer) -> None:
        """The photos of a dead replica leave in portions of a few hundred, however many there
        are."""
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

    async def test_a_presumed_dead_replica_reports_to_all_its_clients(
        self, server: RedisServer
    ) -> None:
        """A living replica that was presumed dead reports to all its clients, though not all of
        their photos have left."""
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

    async def test_a_stopping_replica_returns_its_photos_at_once(self, server: RedisServer) -> None:
        """A stopping replica returns at once the photos that it holds."""
        async with replica(server) as one, replica(server) as two:
            async with one.serving(BufferRecorder()):
                await two.put([entry("a")])
                await one.claim(LANE, ALL)
            assert names(await two.claim(LANE, ALL)) == "a"

    async def test_only_job_photos_outlive_their_replica(
        self, server: RedisServer, photo_keys: Callable[..., Any]
    ) -> None:
        """Photos whose clients waited at a dead replica leave, and photos of jobs stay."""
        async with replica(server) as one, replica(server) as two:
            await one.put([entry("a"), entry("j", job="job")])
            await die(one)
            await two.heartbeat.beat()
            assert (await two.occupancy()).photos == 1
            assert names(await two.claim(LANE, ALL)) == "j"
            await two.commit(Commit(withdrawn_ids=["j"]))
            assert await photo_keys() == set()

    async def test_a_redis_outage_kills_no_replica(self, server: RedisServer) -> None:
        """A pause in which Redis heard no replica was an outage of Redis, and no replica counts as
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
    async def test_photos_of_a_lost_claim_go_to_the_next(self, own_server: RedisServer) -> None:
        """Photos of a claim whose reply was lost go to the next claimant, though the first one
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

    async def test_photos_of_a_failed_put_are_taken_out_again(
        self, own_server: RedisServer
    ) -> None:
        """Photos of a failed put that arrive after the outage are taken out again."""
        heard = BufferRecorder()
        async with replica(own_server, open_commands=hasty_commands) as one, one.serving(heard):
            await one.put([entry("a")])
            await one.commit(Commit(withdrawn_ids=["a"]))
            own_server.signal(signal.SIGSTOP)
            await refusal_time_s(one, "b")
            own_server.signal(signal.SIGCONT)
            await heard.until(lambda: not one.problem)
            await asyncio.sleep(1)
            assert await one.occupancy() == Occupancy()


class TestDeliveries:
    async def test_simultaneous_reads_report_an_outcome_once(self, server: RedisServer) -> None:
        """An outcome is reported once, though the heartbeat and the bell read the inbox at the same
        time."""
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

    async def test_an_undeleted_outcome_is_reported_once(self, own_server: RedisServer) -> None:
        """An outcome is reported once, though it could not be deleted from the inbox after the
        report."""
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

    async def test_a_photo_of_five_dead_holders_is_a_dead_letter(
        self, server: RedisServer, photo_keys: Callable[..., Any]
    ) -> None:
        """A photo whose holders died five times gets an error, and stays in the list of dead
        letters."""
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
        assert await photo_keys() == {"{imgrid}:dead"}

    async def test_progress_resets_the_count_of_claims(self, server: RedisServer) -> None:
        """The progress of a photo resets its count of claims, so that a long cascade is no reason
        to give up."""
        async with replica(server) as one:
            await one.put([entry("a")])
            for _ in range(2 * MOST_CLAIMS):
                await one.commit(Commit(requeues=await one.claim(LANE, ALL)))
            await one.claim(LANE, ALL)
            async with replica(server) as two:
                await die(one)
                await two.heartbeat.beat()
                assert await two.dead_letters() == ()

    async def test_photos_of_two_fatal_canvases_are_sent_alone(self, server: RedisServer) -> None:
        """Photos of two canvases whose replicas died are sent alone, so that a harmful photo harms
        no other."""
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


def url_entry(name: str) -> FetchEntry:
    """A photo of a job that is still to be fetched."""
    now, photo = time.time(), RemotePhoto(name, "https://shop.example/")
    return FetchEntry(photo, "route", "ann", FETCH, now, now, now, now + 600, job="job")


class TestUrls:
    async def test_an_unfetched_url_leaves_like_any_photo(
        self, server: RedisServer, photo_keys: Callable[..., Any]
    ) -> None:
        """An unfetched URL leaves as any other photo does: failed, withdrawn, or with its
        replica."""
        async with replica(server) as one, replica(server) as two:
            await one.put([url_entry(name) for name in "abcd"])
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
            assert await photo_keys() == set()

    async def test_a_fetched_photo_outlives_its_replica(self, server: RedisServer) -> None:
        """A fetched photo stays a photo when its replica dies."""
        async with replica(server) as one, replica(server) as two:
            await one.put([url_entry("a")])
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

    async def test_a_late_fetch_takes_no_place(self, server: RedisServer) -> None:
        """A fetch of a replica that had lost the photo by then takes no other photo's place."""
        async with replica(server) as one, replica(server) as two:
            await one.put([url_entry("a")])
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
    async def test_a_death_during_a_call_may_be_billed(
        self, server: RedisServer, rule: str
    ) -> None:
        """The ledger says that a call under way at a replica's death may be billed, and the rule
        decides."""
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

    async def test_a_late_answer_is_billed_once(self, server: RedisServer) -> None:
        """A replica that was presumed dead during a call, and still gets the answer, is billed for
        it once."""
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

    async def test_a_death_during_a_free_call_leaves_no_bill(self, server: RedisServer) -> None:
        """A replica's death during a free call leaves no bill, and its photos go to another
        replica."""
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

    async def test_watched_photos_leave_with_their_replica(self, server: RedisServer) -> None:
        """Photos that a replica only watched leave with it, and the ledger does not count them."""
        async with replica(server) as one, replica(server) as two:
            await two.heartbeat.beat()
            await one.put([entry("a", watched=True)])
            await die(one)
            await two.heartbeat.beat()
            assert (await two.occupancy()).photos == 0
            assert total(await two.ledger.accounts()).photos == 0

    async def test_a_death_without_a_billed_call_leaves_no_bill(self, server: RedisServer) -> None:
        """A death before the call, or after a failed call that is known to be free, leaves no
        bill."""
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

    async def test_an_answer_and_its_photos_are_settled_in_one_step(
        self, server: RedisServer
    ) -> None:
        """An answer is kept and its photos settled in one step, so that a death after it leaves no
        open call."""
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

    async def test_a_repeated_commit_counts_once(self, server: RedisServer) -> None:
        """A commit that is repeated because its reply was lost counts once."""
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
    async def test_ended_photos_leave_no_keys(
        self, server: RedisServer, photo_keys: Callable[..., Any]
    ) -> None:
        """Answered, withdrawn and refused photos leave nothing behind."""
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
            assert await photo_keys() == set()

    async def test_a_failed_job_put_leaves_no_bytes(
        self, server: RedisServer, photo_keys: Callable[..., Any]
    ) -> None:
        """Bytes of a job whose put failed do not stay, because the job may never be accepted."""
        async with replica(server) as one, one.serving(BufferRecorder()):
            await one.heartbeat.beat()
            one._put = Script("#!lua\nreturn redis.error_reply('ERR no')")
            with pytest.raises(BufferAway):
                await one.put([entry("j", job="job")])
            assert await photo_keys() == {"imgrid:photo:j"}
            one._bytes.orphans = dict.fromkeys(one._bytes.orphans, 0.0)  # long enough ago
            await one.heartbeat.beat()
            assert await photo_keys() == set()

    async def test_a_large_job_is_put_in_portions(self, server: RedisServer) -> None:
        """A job of many megabytes is put in portions, and read whole."""
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

    async def test_bytes_expire_after_the_deadline(self, server: RedisServer) -> None:
        """A photo's bytes expire a while after its deadline, whatever happens to the replicas."""
        async with replica(server) as one:
            await one.put([replace(entry("a"), deadline_at=time.time() + 5)])
            assert 5 < await one.replica.commands.client.ttl("imgrid:photo:a") <= 66

    async def test_a_photo_without_bytes_fails_alone(self, server: RedisServer) -> None:
        """A photo whose bytes are lost fails alone, and its neighbours are claimed."""
        heard = BufferRecorder()
        async with replica(server) as one, one.serving(heard):
            await one.put([entry("a"), entry("b")])
            await one.replica.commands.client.delete("imgrid:photo:a")
            assert names(await one.claim(LANE, ALL)) == "b"
            await heard.until(lambda: "a" in heard.outcomes)
            assert isinstance(heard.outcomes["a"].error, BufferAway)


async def assert_within(most_s: float, condition: Callable[[], object]) -> None:
    """Waits until the condition is true, at most for that time."""
    with Stopwatch() as watch:
        await wait_until(condition)
    assert watch.elapsed_s < most_s


async def refusal_time_s(buffer: RedisBuffer, name: str) -> float:
    """The seconds until a photo is refused."""
    with Stopwatch() as watch, pytest.raises(BufferAway):
        await buffer.put([entry(name)])
    return watch.elapsed_s


async def hears_a_ring(buffer: RedisBuffer) -> bool:
    """Whether the replica hears when another one rings."""
    client = buffer.replica.commands.client
    return buffer.replica.name in str(await client.pubsub_channels())


async def has_recovered(buffer: RedisBuffer, heard: BufferRecorder) -> None:
    """Whether the replica takes photos again, without help."""
    await heard.until(lambda: not buffer.problem)
    await buffer.put([entry("after")])
    assert names(await buffer.claim(LANE, ALL)) == "after"


class TestAway:
    async def test_a_paused_redis_refuses_photos_with_the_reason(
        self, own_server: RedisServer
    ) -> None:
        """A paused Redis makes the replica refuse photos in time and state the reason; afterwards
        all photos pass."""
        heard = BufferRecorder()
        async with replica(own_server, open_commands=hasty_commands) as one, one.serving(heard):
            await heard.until(lambda: one.heartbeat.has_registered)
            await one.put([entry("before")])
            own_server.signal(signal.SIGSTOP)
            assert await refusal_time_s(one, "while") < ANSWERED_WITHIN_S
            await assert_within(4, lambda: one.problem)
            assert await refusal_time_s(one, "still") < 0.1  # known by now
            assert heard.losses  # whoever waits is told
            own_server.signal(signal.SIGCONT)
            await heard.until(lambda: not one.problem)
            await one.commit(Commit(withdrawn_ids=["before", "while", "still"]))
            await has_recovered(one, heard)

    async def test_a_redis_restarted_empty_is_used_again(self, own_server: RedisServer) -> None:
        """A Redis that was killed and restarted empty is used again, and clients that waited for
        its photos get an answer."""
        heard = BufferRecorder()
        async with replica(own_server, open_commands=hasty_commands) as one, one.serving(heard):
            await heard.until(lambda: one.heartbeat.has_registered)
            await one.put([entry("before")])
            own_server.signal(signal.SIGKILL)
            assert await refusal_time_s(one, "while") < ANSWERED_WITHIN_S
            await assert_within(4, lambda: one.problem)
            own_server.start()
            await heard.until(lambda: not one.problem)
            assert heard.losses
            assert await one.occupancy() == Occupancy()
            await has_recovered(one, heard)

    async def test_clients_of_an_emptied_redis_hear_within_seconds(
        self, server: RedisServer
    ) -> None:
        """Clients that wait for photos in an emptied Redis get an answer within a second or two."""
        heard = BufferRecorder()
        async with replica(server) as one, one.serving(heard):
            await heard.until(lambda: one.heartbeat.has_registered)
            await one.put([entry("before")])
            await one.replica.commands.client.flushall()
            await assert_within(2, lambda: heard.losses)
            await has_recovered(one, heard)

    async def test_clients_of_an_emptied_redis_hear_under_load(self, server: RedisServer) -> None:
        """Clients of an emptied Redis get an answer in time also while other photos keep
        arriving."""
        heard = BufferRecorder()
        async with replica(server) as one, one.serving(heard):
            await heard.until(lambda: one.heartbeat.has_registered)
            await one.put([entry("before")])
            await one.replica.commands.client.flushall()
            for number in range(20):
                await one.put([entry(f"{number}")])
                await asyncio.sleep(0.01)
            assert heard.losses

    async def test_few_requests_pile_up_in_an_outage(self, own_server: RedisServer) -> None:
        """Few requests pile up in an outage of Redis, however many arrive, and all proceed after
        it."""
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
            await assert_within(4, lambda: not one.problem)
            await one.put([entry("after")])
            await asyncio.sleep(1)  # a heartbeat or two
            assert (await one.occupancy()).photos == 1

    async def test_a_full_redis_refuses_photos_and_takes_outcomes(
        self, own_server: RedisServer
    ) -> None:
        """A full Redis refuses photos, still takes outcomes, and reports that it is not ready."""
        heard = BufferRecorder()
        async with replica(own_server, open_commands=hasty_commands) as one, one.serving(heard):
            await one.put([entry("a")])
            taken = await one.claim(LANE, ALL)
            await one.replica.commands.client.config_set("maxmemory", 1)
            assert await refusal_time_s(one, "b") < ANSWERED_WITHIN_S
            await one.commit(
                Commit(settlements=[Settlement(each, Outcome(None)) for each in taken])
            )
            await assert_within(4, lambda: one.problem)
            assert "memory" in one.problem
            await one.replica.commands.client.config_set("maxmemory", 0)
            await has_recovered(one, heard)


class TestCancelled:
    @pytest.mark.parametrize("seed", range(3))
    async def test_a_reply_reaches_its_own_caller(self, server: RedisServer, seed: int) -> None:
        """Each reply reaches its own caller only, however commands are cancelled."""
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
