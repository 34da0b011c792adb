"""A record in the shared buffer that cannot be read harms one photo: others behind it go on."""

from __future__ import annotations

import msgspec
import pytest

from gateway.core.errors import GatewayError
from gateway.core.model import FetchEntry, FetchLane, Outcome, RemotePhoto
from gateway.store.buffer import Commit, Settlement
from gateway.store.codec import lane_key
from gateway.store.ledger import tenant_accounts
from gateway.store.redis import keys
from gateway.store.redis.buffer import RedisBuffer
from gateway.testing.listeners import BufferRecorder
from gateway.testing.redis_server import RedisServer
from providers.detection import Task
from tests.gateway.store.buffer.conftest import PhotoKeys
from tests.support.redis_buffer import ALL, LANE, entry, names, run_replica

ODD = b"\xc1 no record"


async def spoil(buffer: RedisBuffer, photo_id: str) -> None:
    """Replaces the record of a photo that waits."""
    await buffer.replica.commands.client.hset(keys.ENTRY + photo_id, "meta", ODD)


async def settle_all(buffer: RedisBuffer, recorder: BufferRecorder, count: int) -> None:
    """Settles what can be claimed, and waits for so many outcomes."""
    claimed = await buffer.claim(LANE, ALL)
    settlements = [Settlement(each, Outcome(each.photo)) for each in claimed]
    await buffer.commit(Commit(settlements=settlements))
    await recorder.until(lambda: len(recorder.outcomes) == count)


class TestEntries:
    async def test_an_unreadable_entry_fails_alone(
        self, server: RedisServer, photo_keys: PhotoKeys
    ) -> None:
        """A photo whose entry cannot be read fails with the error `internal`, and the photos beside
        it are claimed by the same call. Nothing of it is left."""
        recorder = BufferRecorder()
        async with run_replica(server) as buffer, buffer.serving(recorder):
            await buffer.put([entry(name) for name in "abc"])
            await spoil(buffer, "b")
            claimed = await buffer.claim(LANE, ALL)
            assert names(claimed) == "ac"
            settlements = [Settlement(each, Outcome(each.photo)) for each in claimed]
            await buffer.commit(Commit(settlements=settlements))
            await recorder.until(lambda: len(recorder.outcomes) == 3)
            assert type(recorder.outcomes["b"].error) is GatewayError
            assert recorder.outcomes["a"].error is None
            account = (await tenant_accounts(buffer.ledger))["ann"]
            assert (account.photos, account.answered) == (3, 2)
        assert await photo_keys() == set()

    async def test_a_url_that_is_no_text_fails_alone(self, server: RedisServer) -> None:
        """A photo to fetch whose URL is no text fails alone."""
        recorder, lane = BufferRecorder(), FetchLane(Task.OBJECTS, "us")
        async with run_replica(server) as buffer, buffer.serving(recorder):
            remote = FetchEntry(
                RemotePhoto("p", "https://x.example/"), "r", "ann", lane, 0, 0, 0, ALL
            )
            await buffer.put([remote])
            client = buffer.replica.commands.client
            await client.set(keys.photo_bytes("p", is_url=True), b"\xff\xfe")
            assert await buffer.claim(lane, ALL) == []
            await recorder.until(lambda: "p" in recorder.outcomes)
            assert type(recorder.outcomes["p"].error) is GatewayError

    async def test_an_unknown_lane_is_left_to_others(self, server: RedisServer) -> None:
        """A lane of a later release, with a task that this one does not know, hides no other."""
        async with run_replica(server) as buffer:
            await buffer.put([entry("a")])
            client = buffer.replica.commands.client
            for lane in ('["eye","sonar","us",1,1]', "no lane"):
                await client.sadd(keys.LANES, lane)
                for key in (keys.ARRIVALS, keys.DUE_TIMES, keys.QUEUE + "0:"):
                    await client.zadd(key + lane, {"z": 1})
            assert list(await buffer.backlogs()) == [LANE]
            assert lane_key(LANE).encode() in await client.smembers(keys.LANES)

    async def test_an_unreadable_dead_letter_hides_no_other(self, server: RedisServer) -> None:
        """The dead letters that can be read are listed."""
        letter = {"photo": "p", "tenant": "ann", "lane": "[]", "job": "", "at": 1.0, "claims": 5}
        async with run_replica(server) as buffer:
            client = buffer.replica.commands.client
            await client.lpush(keys.DEAD_LETTERS, msgspec.json.encode(letter), ODD)
            assert [each.photo for each in await buffer.dead_letters()] == ["p"]


class TestInbox:
    async def test_an_unreadable_outcome_is_the_photos_error(
        self, server: RedisServer, photo_keys: PhotoKeys, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A message that cannot be read becomes its photo's error, those behind it are handed on,
        and all are deleted."""
        recorder = BufferRecorder()
        async with run_replica(server) as buffer:
            inbox = keys.INBOX + buffer.replica.name
            buffer.replica.listener = recorder
            await buffer.put([entry("a")])
            await buffer.replica.commands.client.hset(inbox, "odd", ODD)
            await settle_all(buffer, recorder, count=0)
            await buffer.heartbeat.inbox.read()
            assert type(recorder.outcomes["odd"].error) is GatewayError
            assert recorder.outcomes["a"].error is None
            assert "the outcome of photo odd cannot be read" in caplog.text
            assert inbox not in await photo_keys()

    async def test_a_client_that_cannot_be_told_holds_up_no_other(
        self, server: RedisServer, photo_keys: PhotoKeys
    ) -> None:
        """A message that its listener fails on is deleted too, and is not handed on twice."""
        recorder = BufferRecorder()
        async with run_replica(server) as buffer:
            buffer.replica.listener = recorder
            recorder.outcomes["a"] = Outcome(None)  # the recorder takes no second outcome
            await buffer.put([entry("a"), entry("b")])
            await settle_all(buffer, recorder, count=1)
            await buffer.heartbeat.inbox.read()
            assert set(recorder.outcomes) == {"a", "b"}
            assert keys.INBOX + buffer.replica.name not in await photo_keys()
