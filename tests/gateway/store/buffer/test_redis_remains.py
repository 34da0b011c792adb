"""Photos of clients, URLs and jobs leave nothing behind in Redis."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from gateway.core.errors import BufferAway
from gateway.core.model import (
    FetchEntry,
    FetchLane,
    Outcome,
    Photo,
    RemotePhoto,
    Size,
)
from gateway.ledger.accounts import total
from gateway.store.buffer import MOST_CLAIMS, Capacity, Commit, Settlement
from gateway.store.inspection import Occupancy
from gateway.store.ledger import tenant_accounts
from gateway.store.redis.scripts import Script
from gateway.testing.listeners import BufferRecorder
from gateway.testing.redis_server import RedisServer
from providers.detection import Task
from tests.gateway.store.buffer.conftest import PhotoKeys
from tests.support.redis_buffer import (
    ALL,
    LANE,
    die,
    entry,
    names,
    run_replica,
)
from thresholds.shape import ALONE

FETCH = FetchLane(Task.OBJECTS, "us")


def url_entry(name: str) -> FetchEntry:
    """A photo of a job that is still to be fetched."""
    now, photo = time.time(), RemotePhoto(name, "https://shop.example/")
    return FetchEntry(photo, "route", "ann", FETCH, now, now, now, now + 600, job="job")


class TestUrls:
    async def test_an_unfetched_url_leaves_like_any_photo(
        self, server: RedisServer, photo_keys: PhotoKeys
    ) -> None:
        """An unfetched URL leaves as any other photo does: failed, withdrawn, or with its
        replica."""
        async with run_replica(server) as one, run_replica(server) as two:
            await one.put([url_entry(name) for name in "abcd"])
            (a,) = await one.claim(FETCH, ALL)
            assert await one.commit(Commit(settlements=[Settlement(a, Outcome(None))])) == {
                a.photo.id
            }
            remaining = [name for name in "abcd" if name != a.photo.id]
            await one.commit(Commit(withdrawn_ids=remaining[:2]))
            assert (await one.occupancy()).photos == 1
            for _ in range(MOST_CLAIMS):
                await one.heartbeat.beat()
                assert await one.claim(FETCH, ALL)
                one._claims.clear()
                await die(one)
                await two.heartbeat.beat()
            assert await two.occupancy() == Occupancy()
            assert total(await tenant_accounts(two.ledger)).photos == 4
            await two.replica.commands.client.delete("{imgrid}:dead")
            assert await photo_keys() == set()

    async def test_a_fetched_photo_outlives_its_replica(self, server: RedisServer) -> None:
        """A fetched photo stays a photo when its replica dies."""
        async with run_replica(server) as one, run_replica(server) as two:
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
        async with run_replica(server) as one, run_replica(server) as two:
            await one.put([url_entry("a")])
            (claimed,) = await one.claim(FETCH, ALL)
            await die(one)
            await two.heartbeat.beat()
            photo = Photo("a", b"JPEG", "JPEG", Size(4, 3))
            fetched = claimed.photo_entry(photo, LANE, put_at=claimed.put_at, due_at=claimed.due_at)
            assert await one.commit(Commit(requeues=[fetched])) == frozenset()
            (unfetched,) = await two.claim(FETCH, ALL)
            assert unfetched.photo.url == "https://shop.example/"
            assert "a" in one._bytes.orphans


class TestNothingRemains:
    async def test_ended_photos_leave_no_keys(
        self, server: RedisServer, photo_keys: PhotoKeys
    ) -> None:
        """Answered, withdrawn and refused photos leave nothing behind."""
        recorder = BufferRecorder()
        async with run_replica(server, room=Capacity(photos=30)) as one, one.serving(recorder):
            await one.put([entry(f"p{number}", tenant=f"t{number % 3}") for number in range(30)])
            with pytest.raises(Exception, match="full"):
                await one.put([entry("q")])
            await one.commit(Commit(withdrawn_ids=[f"p{number}" for number in range(5)]))
            while claimed := await one.claim(LANE, ALL):
                await one.ask("c", claimed)
                requeues = [replace(each, lane=LANE._replace(shape=ALONE)) for each in claimed[1:2]]
                settlements = [
                    Settlement(each, Outcome(None))
                    for each in claimed
                    if each.photo.id != claimed[1].photo.id
                ]
                await one.commit(
                    Commit(settlements=settlements, requeues=requeues, ended_canvas="c")
                )
                for alone in await one.claim(LANE._replace(shape=ALONE), ALL):
                    await one.commit(Commit(settlements=[Settlement(alone, Outcome(None))]))
                if len(recorder.outcomes) > 19:
                    break
            await one.commit(Commit(withdrawn_ids=[f"p{number}" for number in range(30)]))
            await recorder.until(lambda: len(recorder.outcomes) >= 20)
            await one.heartbeat.beat()
            assert await photo_keys() == set()

    async def test_a_failed_job_put_leaves_no_bytes(
        self, server: RedisServer, photo_keys: PhotoKeys
    ) -> None:
        """Bytes of a job whose put failed do not stay, because the job may never be accepted."""
        async with run_replica(server) as one, one.serving(BufferRecorder()):
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
        async with run_replica(server) as one:
            large = [
                replace(
                    entry(f"{n}", job="job"),
                    photo=Photo(f"{n}", bytes(6 << 20), "JPEG", Size(4, 3)),
                )
                for n in range(8)
            ]
            await one.put(large)
            claimed = await one.claim(LANE, ALL) + await one.claim(LANE, ALL)
            assert [len(each.photo.data) for each in claimed] == [6 << 20] * 8
            await one.commit(Commit(withdrawn_ids=[each.photo.id for each in large]))

    async def test_bytes_expire_after_the_deadline(self, server: RedisServer) -> None:
        """A photo's bytes expire a while after its deadline, whatever happens to the replicas."""
        async with run_replica(server) as one:
            await one.put([replace(entry("a"), deadline_at=time.time() + 5)])
            assert 5 < await one.replica.commands.client.ttl("imgrid:photo:a") <= 66

    async def test_a_photo_without_bytes_fails_alone(self, server: RedisServer) -> None:
        """A photo whose bytes are lost fails alone, and its neighbours are claimed."""
        recorder = BufferRecorder()
        async with run_replica(server) as one, one.serving(recorder):
            await one.put([entry("a"), entry("b")])
            await one.replica.commands.client.delete("imgrid:photo:a")
            assert names(await one.claim(LANE, ALL)) == "b"
            await recorder.until(lambda: "a" in recorder.outcomes)
            assert isinstance(recorder.outcomes["a"].error, BufferAway)
