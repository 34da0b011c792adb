"""Replicas share a buffer in Redis: photos move on from a dead replica, and outcomes reach
clients."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial

import pytest

from gateway.core.errors import BufferAway, DeadLetter
from gateway.core.model import (
    Outcome,
)
from gateway.store.buffer import MOST_CLAIMS, Commit, Settlement
from gateway.store.inspection import Occupancy
from gateway.store.ledger import tenant_accounts
from gateway.store.redis import keys
from gateway.store.redis.buffer import RedisBuffer
from gateway.store.redis.limits import LEASE_S
from gateway.testing.listeners import BufferRecorder
from gateway.testing.pictures import drawn, photo
from gateway.testing.provider import ScriptedProvider
from gateway.testing.redis_server import RedisServer
from providers.detection import Box, Detection
from tests.gateway.store.buffer.conftest import PhotoKeys
from tests.support.redis import hasty_commands
from tests.support.redis_buffer import (
    ALL,
    LANE,
    canvas_calls_of,
    die,
    entry,
    names,
    run_replica,
)
from tests.support.waiting import Stopwatch, wait_until
from thresholds.shape import ALONE


async def hears_a_ring(buffer: RedisBuffer) -> bool:
    """Whether the replica hears when another one rings."""
    client = buffer.replica.commands.client
    return buffer.replica.name in str(await client.pubsub_channels())


class TestReplicas:
    async def test_a_client_is_answered_at_its_own_replica(
        self, server: RedisServer, photo_keys: PhotoKeys
    ) -> None:
        """A client gets its answer at the replica at which it waits, whichever replica composed its
        photo."""
        recorder, others = BufferRecorder(), BufferRecorder()
        async with (
            run_replica(server) as one,
            run_replica(server) as two,
            one.serving(recorder),
            two.serving(others),
        ):
            await one.put([entry("a"), entry("b")])
            claimed = await two.claim(LANE, ALL)
            detections = (Detection("cat", 0.5, Box(0, 0, 1, 1)),)
            await two.commit(
                Commit(
                    settlements=[
                        Settlement(each, Outcome(each.photo, detections)) for each in claimed
                    ]
                )
            )
            await recorder.until(lambda: len(recorder.outcomes) == 2)
            assert recorder.outcomes["a"].detections == detections
            assert others.outcomes == {}
        assert await photo_keys() == set()

    async def test_photos_of_several_replicas_fill_one_grid(self, server: RedisServer) -> None:
        """Photos from different replicas fill one grid, and one of the replicas claims it."""
        async with run_replica(server) as one, run_replica(server) as two:
            for name in "abcd":
                await (one if name in "ac" else two).put([replace(entry(name), due_at=ALL)])
            both = await asyncio.gather(one.claim(LANE, 0), two.claim(LANE, 0))
            assert sorted(map(len, both)) == [0, 4]

    async def test_a_replica_wakes_the_others(self, server: RedisServer) -> None:
        """A replica wakes the others when it fills a grid or puts the first photo into a lane."""
        async with run_replica(server) as one, run_replica(server) as two:
            recorder = BufferRecorder()
            async with two.serving(recorder):
                await wait_until(partial(hears_a_ring, two))
                recorder.news.clear()
                with Stopwatch() as watch:
                    await one.put([entry("a")])
                    await recorder.news.wait()
                assert watch.elapsed_s < 0.4  # less than a heartbeat

    async def test_a_killed_replicas_photos_move_on_within_seconds(
        self, server: RedisServer, photo_keys: PhotoKeys
    ) -> None:
        """Another replica gets the photos of a killed replica within ten seconds, without help."""
        recorder = BufferRecorder()
        async with run_replica(server) as one, run_replica(server) as two, two.serving(recorder):
            serving = one.serving(BufferRecorder())
            await serving.__aenter__()
            await two.put([entry("a")])
            began = time.monotonic()
            with Stopwatch() as watch:
                assert names(await one.claim(LANE, ALL)) == "a"
                one.tasks[0].cancel()
                claimed = await wait_until(lambda: two.claim(LANE, ALL))
            assert time.monotonic() - began > LEASE_S - 1
            assert watch.elapsed_s < 10
            await two.commit(
                Commit(settlements=[Settlement(each, Outcome(each.photo)) for each in claimed])
            )
            await recorder.until(lambda: "a" in recorder.outcomes)
            await serving.__aexit__(None, None, None)
        assert await photo_keys() == set()

    async def test_a_returned_replica_cannot_touch_its_former_photos(
        self, server: RedisServer
    ) -> None:
        """A replica that returns after its lease ended cannot touch photos that others hold now."""
        recorder = BufferRecorder()
        async with run_replica(server) as one, run_replica(server) as two, two.serving(recorder):
            await two.put([entry("a")])
            (former,) = await one.claim(LANE, ALL)
            await die(one)
            await two.heartbeat.beat()
            assert await one.ask("canvas", [former]) == []
            assert (await two.occupancy()).photos == 1
            assert (
                await one.commit(Commit(settlements=[Settlement(former, Outcome(None))]))
                == frozenset()
            )
            (current,) = await two.claim(LANE, ALL)
            assert await two.commit(Commit(settlements=[Settlement(current, Outcome(None))])) == {
                "a"
            }

    async def test_what_an_earlier_release_leaves_counted_is_forgotten(
        self, server: RedisServer
    ) -> None:
        """In a rolling deploy a replica of the release before removes photos without their tenants'
        part of the occupancy. The next heartbeat counts the tenants anew."""
        async with run_replica(server) as replica:
            await replica.heartbeat.beat()
            client = replica.replica.commands.client
            await client.hset(keys.TENANT_OCCUPANCY + "0", "photos@ann", 20)
            await replica.put([entry("a")])
            await replica.heartbeat.beat()
            assert await client.hgetall(keys.TENANT_OCCUPANCY + "0") == {}
            assert (await replica.occupancy()).photos == 1

    async def test_a_late_canvas_touches_no_others_photo(self, server: RedisServer) -> None:
        """A canvas from before a replica was presumed dead touches no photo that another replica
        holds now."""
        recorder, provider = BufferRecorder(), ScriptedProvider()
        async with run_replica(server) as one, run_replica(server) as two, two.serving(recorder):
            await two.put([replace(entry("a"), photo=replace(photo(drawn((64, 64))), id="a"))])
            entries = await one.claim(LANE, ALL)
            await die(one)
            await two.heartbeat.beat()
            (current,) = await two.claim(LANE, ALL)
            await canvas_calls_of(one, provider).run(LANE, entries)
            assert provider.calls == 0
            assert await two.ask("canvas", [current]) == [current]
            assert await two.commit(Commit(requeues=[current])) == {"a"}
            assert len(await two.claim(LANE, ALL)) == 1  # its bytes are there too

    async def test_a_replica_announces_itself_before_it_takes_photos(
        self, server: RedisServer
    ) -> None:
        """A replica that is unknown to Redis takes photos only after it has announced itself."""
        async with run_replica(server) as one, run_replica(server) as two:
            await one.put([entry("a")])
            await one.replica.commands.client.delete("{imgrid}:alive")
            assert names(await two.claim(LANE, ALL)) == "a"
            assert await two.replica.commands.client.zscore("{imgrid}:alive", two.replica.name)

    async def test_a_dead_replicas_photos_leave_in_portions(self, server: RedisServer) -> None:
        """The photos of a dead replica leave in portions of a few hundred, however many there
        are."""
        async with run_replica(server) as one, run_replica(server) as two:
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
        recorder = BufferRecorder()
        async with run_replica(server) as one, run_replica(server) as two:
            one.replica.listener = recorder
            await one.heartbeat.beat()
            for first in range(0, 600, 200):
                await one.put([entry(f"{number}") for number in range(first, first + 200)])
            await die(one)
            await two.heartbeat.beat()
            await one.heartbeat.beat()
            assert recorder.losses
            one.replica.listener = None

    async def test_a_stopping_replica_returns_its_photos_at_once(self, server: RedisServer) -> None:
        """A stopping replica returns at once the photos that it holds."""
        async with run_replica(server) as one, run_replica(server) as two:
            async with one.serving(BufferRecorder()):
                await two.put([entry("a")])
                await one.claim(LANE, ALL)
            assert names(await two.claim(LANE, ALL)) == "a"

    async def test_only_job_photos_outlive_their_replica(
        self, server: RedisServer, photo_keys: PhotoKeys
    ) -> None:
        """Photos whose clients waited at a dead replica leave, and photos of jobs stay."""
        async with run_replica(server) as one, run_replica(server) as two:
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
        async with run_replica(server) as one, run_replica(server) as two:
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


class TestDeliveries:
    async def test_simultaneous_reads_report_an_outcome_once(self, server: RedisServer) -> None:
        """An outcome is reported once, though the heartbeat and the bell read the inbox at the same
        time."""
        recorder = BufferRecorder()
        async with run_replica(server) as one:
            one.replica.listener = recorder
            await one.put([entry("a")])
            claimed = await one.claim(LANE, ALL)
            await one.commit(
                Commit(settlements=[Settlement(each, Outcome(None)) for each in claimed])
            )
            await asyncio.gather(
                *(one.occupancy() for _ in range(3))
            )  # each finds a connection of its own from now on
            await asyncio.gather(*(one.heartbeat.inbox.read() for _ in range(3)))
            assert recorder.outcomes == {"a": Outcome(None)}
            one.replica.listener = None

    async def test_an_undeleted_outcome_is_reported_once(self, own_server: RedisServer) -> None:
        """An outcome is reported once, though it could not be deleted from the inbox after the
        report."""
        recorder = BufferRecorder()
        async with run_replica(own_server, open_commands=hasty_commands) as one:
            one.replica.listener = recorder
            await one.put([entry("a")])
            claimed = await one.claim(LANE, ALL)
            await one.commit(
                Commit(settlements=[Settlement(each, Outcome(None)) for each in claimed])
            )
            client = one.replica.commands.client
            await client.acl_setuser("default", enabled=True, commands=["-hdel"])
            with pytest.raises(BufferAway):
                await one.heartbeat.inbox.read()
            await client.acl_setuser("default", enabled=True, commands=["+hdel"])
            await one.heartbeat.inbox.read()
            assert recorder.outcomes == {"a": Outcome(None)}
            assert not await client.exists(f"{{imgrid}}:inbox:{one.replica.name}")
            one.replica.listener = None

    async def test_a_photo_of_five_dead_holders_is_a_dead_letter(
        self, server: RedisServer, photo_keys: PhotoKeys
    ) -> None:
        """A photo whose holders died five times gets an error, and stays in the list of dead
        letters."""
        recorder = BufferRecorder()
        async with run_replica(server) as home, home.serving(recorder):
            await home.put([entry("a", job="")])
            for claims in range(MOST_CLAIMS):
                async with run_replica(server) as victim:
                    lane = LANE if claims < 2 else LANE._replace(shape=ALONE)
                    assert names(await victim.claim(lane, ALL)) == "a", claims
                    await die(victim)
                    await home.heartbeat.beat()
            await recorder.until(lambda: "a" in recorder.outcomes)
            assert isinstance(recorder.outcomes["a"].error, DeadLetter)
            (letter,) = await home.dead_letters()
            assert (letter.photo, letter.tenant, letter.claims) == ("a", "ann", MOST_CLAIMS)
            assert await home.occupancy() == Occupancy()
            assert (await tenant_accounts(home.ledger))["ann"].photos == 1
        assert await photo_keys() == {"{imgrid}:dead"}

    async def test_progress_resets_the_count_of_claims(self, server: RedisServer) -> None:
        """The progress of a photo resets its count of claims, so that a long cascade is no reason
        to give up."""
        async with run_replica(server) as one:
            await one.put([entry("a")])
            for _ in range(2 * MOST_CLAIMS):
                await one.commit(Commit(requeues=await one.claim(LANE, ALL)))
            await one.claim(LANE, ALL)
            async with run_replica(server) as two:
                await die(one)
                await two.heartbeat.beat()
                assert await two.dead_letters() == ()

    async def test_photos_of_two_fatal_canvases_are_sent_alone(self, server: RedisServer) -> None:
        """Photos of two canvases whose replicas died are sent alone, so that a harmful photo harms
        no other."""
        async with run_replica(server) as home, home.serving(BufferRecorder()):
            await home.put([entry(name) for name in "abcd"])
            for _ in range(2):
                async with run_replica(server) as victim:
                    assert len(await victim.claim(LANE, ALL)) == 4
                    await die(victim)
                    await home.heartbeat.beat()
            assert await home.claim(LANE, ALL) == []
            assert len(await home.claim(LANE._replace(shape=ALONE), ALL)) == 1
