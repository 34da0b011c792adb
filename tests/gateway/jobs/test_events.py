"""A job's results stream as server-sent events."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI

from gateway.core.errors import BufferAway
from gateway.core.fair_share import FairBudget
from gateway.store.jobs import Job
from providers.detection import Box, Detection
from tests.gateway.jobs.conftest import StartJobs

RED = Detection("red", 0.9, Box(0.1, 0.1, 0.5, 0.6))


class Stream:
    """A client that reads server-sent events as they come."""

    def __init__(self, app: FastAPI, path: str) -> None:
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": query.encode(),
            "scheme": "http",
            "headers": [(b"authorization", b"Bearer key-shop")],
        }
        self._sent: asyncio.Queue[Any] = asyncio.Queue()
        self._left = asyncio.Event()
        self._rest = b""
        self._serving = asyncio.create_task(app(scope, self._receive, self._sent.put))

    async def _receive(self) -> dict[str, str]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def start(self) -> tuple[int, dict[str, str]]:
        """Status and headers."""
        message = await self._sent.get()
        return message["status"], {
            name.decode(): value.decode() for name, value in message["headers"]
        }

    async def next(self) -> dict[str, str] | None:
        """The fields of the next event, or None at the end."""
        while b"\n\n" not in self._rest:
            message = await self._sent.get()
            self._rest += message["body"]
            if not message.get("more_body"):
                return None
        event, _, self._rest = self._rest.partition(b"\n\n")
        return dict(line.split(": ", 1) for line in event.decode().split("\n"))

    async def leave(self) -> None:
        self._left.set()
        await self._serving


class TestEvents:
    async def test_each_photo_and_the_end_are_events(self, start_jobs: StartJobs) -> None:
        """The stream reports each photo as it is settled, and the job at the end."""
        harness = start_jobs()
        job = await harness.submit(2)
        stream = Stream(harness.app, f"/v1/jobs/{job['id']}/events")
        status, headers = await stream.start()
        assert (status, headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
        await stream.next()  # no progress yet
        for number, index in ((1, 1), (2, 0)):
            await harness.settle(job, index, RED)
            event = await stream.next()
            assert (event["event"], event["id"]) == ("photo", str(number))
            data = json.loads(event["data"])
            assert (data["number"], data["index"], data["name"]) == (number, index, f"{index}.png")
            event = await stream.next()
        assert (event["event"], json.loads(event["data"])["state"]) == ("end", "done")
        assert "id" not in event
        assert await stream.next() is None
        await stream.leave()

    async def test_streams_of_a_tenant_are_limited(self, start_jobs: StartJobs) -> None:
        """Beyond the limit of open streams there is none, until one is closed."""
        harness = start_jobs()
        job = await harness.submit()
        app = FastAPI()
        replace(harness.api, streams=FairBudget(1)).add_to(app)
        path = f"/v1/jobs/{job['id']}/events"
        first = Stream(app, path)
        assert (await first.start())[0] == 200
        await first.next()
        second = Stream(app, path)
        assert (await second.start())[0] == 429
        await first.leave()
        third = Stream(app, path)
        assert (await third.start())[0] == 200
        await second.leave()
        await third.leave()

    @pytest.mark.parametrize("way", ["header", "query"])
    async def test_a_returning_client_continues(self, start_jobs: StartJobs, way: str) -> None:
        """A client that returns continues from where it was."""
        harness = start_jobs()
        job = await harness.submit(3)
        for index in range(3):
            await harness.settle(job, index, RED)
        path, headers = f"/v1/jobs/{job['id']}/events", {}
        if way == "header":
            headers = {"Last-Event-ID": "2"}
        else:
            path += "?after=2"
        text = (await harness.client.get(path, headers=headers)).text
        assert [line for line in text.split("\n") if line.startswith(("id", "event"))] == [
            "id: 3",
            "event: photo",
            "event: end",
        ]

    async def test_an_abort_ends_the_stream(self, start_jobs: StartJobs) -> None:
        """The stream of an aborted job ends."""
        harness = start_jobs()
        job = await harness.submit(2)
        stream = Stream(harness.app, f"/v1/jobs/{job['id']}/events")
        await stream.start()
        await stream.next()
        await harness.client.delete(f"/v1/jobs/{job['id']}")
        assert json.loads((await stream.next())["data"])["state"] == "aborted"
        await stream.leave()

    async def test_comments_keep_an_idle_stream_alive(self, start_jobs: StartJobs) -> None:
        """Comments keep an idle stream alive, and a client may leave at any time."""
        harness = start_jobs(keep_alive_s=0.0)
        job = await harness.submit()
        stream = Stream(harness.app, f"/v1/jobs/{job['id']}/events")
        await stream.start()
        assert (await stream.next())["event"] == "progress"
        assert await stream.next() == {"": "still here"}
        await stream.leave()

    async def test_streams_end_with_the_process(self, start_jobs: StartJobs) -> None:
        """Streams end when the process stops."""
        harness = start_jobs()
        job = await harness.submit()
        stream = Stream(harness.app, f"/v1/jobs/{job['id']}/events")
        await stream.start()
        await stream.next()
        harness.stopping = True
        assert await stream.next() is None
        await stream.leave()

    async def test_a_store_outage_ends_the_stream(
        self, start_jobs: StartJobs, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An outage of the store ends the stream, so that its client returns."""
        harness = start_jobs()
        job = await harness.submit()

        class Away:
            async def find(self, tenant: str, job_id: str) -> Job:
                if self.answered:
                    raise BufferAway("away")
                self.answered = True
                return await harness.store.find(tenant, job_id)

            answered = False

        app = FastAPI()
        replace(harness.api, jobs=replace(harness.jobs, store=Away())).add_to(app)
        stream = Stream(app, f"/v1/jobs/{job['id']}/events")
        assert (await stream.start())[0] == 200
        assert await stream.next() is None
        await stream.leave()
        assert "away" in caplog.text
