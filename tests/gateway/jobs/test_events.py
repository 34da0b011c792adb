"""A job's results stream as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI

from gateway.core.errors import BufferAway
from providers.detection import Box, Detection

RED = Detection("red", 0.9, Box(0.1, 0.1, 0.5, 0.6))


class Stream:
    """A client that reads server-sent events as they come."""

    def __init__(self, app, path, headers=()):
        path, _, query = path.partition("?")
        names = {"authorization": "Bearer key-shop", **dict(headers)}
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": query.encode(),
            "scheme": "http",
            "headers": [(name.encode(), value.encode()) for name, value in names.items()],
        }
        self._sent: asyncio.Queue = asyncio.Queue()
        self._left = asyncio.Event()
        self._rest = b""
        self._serving = asyncio.create_task(app(scope, self._receive, self._sent.put))

    async def _receive(self):
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def start(self):
        message = await self._sent.get()
        return message["status"], {
            name.decode(): value.decode() for name, value in message["headers"]
        }

    async def next(self):
        """The next event: its fields; None at the end."""
        while b"\n\n" not in self._rest:
            message = await self._sent.get()
            self._rest += message["body"]
            if not message.get("more_body"):
                return None
        event, _, self._rest = self._rest.partition(b"\n\n")
        return dict(line.split(": ", 1) for line in event.decode().split("\n"))

    async def leave(self):
        self._left.set()
        await self._serving


class TestEvents:
    async def test_each_photo_and_the_end_are_events(self, world: Callable[..., Any]) -> None:
        """The stream reports each photo as it is settled, and the job at the end."""
        each = world()
        job = await each.submit(2)
        stream = Stream(each.app, f"/v1/jobs/{job['id']}/events")
        status, headers = await stream.start()
        assert (status, headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
        for number, index in ((1, 1), (2, 0)):
            await each.settle(job, index, RED)
            event = await stream.next()
            assert (event["event"], event["id"]) == ("photo", str(number))
            data = json.loads(event["data"])
            assert (data["number"], data["index"], data["name"]) == (number, index, f"{index}.png")
        event = await stream.next()
        assert (event["event"], json.loads(event["data"])["state"]) == ("end", "done")
        assert "id" not in event
        assert await stream.next() is None
        await stream.leave()

    @pytest.mark.parametrize("way", ["header", "query"])
    async def test_a_returning_client_continues(self, world: Callable[..., Any], way: str) -> None:
        """A client that returns continues from where it was."""
        each = world()
        job = await each.submit(3)
        for index in range(3):
            await each.settle(job, index, RED)
        path, headers = f"/v1/jobs/{job['id']}/events", {}
        if way == "header":
            headers = {"Last-Event-ID": "2"}
        else:
            path += "?after=2"
        text = (await each.client.get(path, headers=headers)).text
        assert [line for line in text.split("\n") if line.startswith(("id", "event"))] == [
            "id: 3",
            "event: photo",
            "event: end",
        ]

    async def test_an_abort_ends_the_stream(self, world: Callable[..., Any]) -> None:
        """The stream of an aborted job ends."""
        each = world()
        job = await each.submit(2)
        stream = Stream(each.app, f"/v1/jobs/{job['id']}/events")
        await stream.start()
        await each.client.delete(f"/v1/jobs/{job['id']}")
        assert json.loads((await stream.next())["data"])["state"] == "aborted"
        await stream.leave()

    async def test_comments_keep_an_idle_stream_alive(self, world: Callable[..., Any]) -> None:
        """Comments keep an idle stream alive, and a client may leave at any time."""
        each = world(keep_alive_s=0.0)
        job = await each.submit()
        stream = Stream(each.app, f"/v1/jobs/{job['id']}/events")
        await stream.start()
        assert await stream.next() == {"": "still here"}
        await stream.leave()

    async def test_streams_end_with_the_process(self, world: Callable[..., Any]) -> None:
        """Streams end when the process stops."""
        each = world()
        job = await each.submit()
        stream = Stream(each.app, f"/v1/jobs/{job['id']}/events")
        await stream.start()
        each.stopping = True
        assert await stream.next() is None
        await stream.leave()

    async def test_a_store_outage_ends_the_stream(
        self, world: Callable[..., Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        """An outage of the store ends the stream, so that its client returns."""
        each = world()
        job = await each.submit()

        class Away:
            async def find(self, tenant, job_id):
                if self.found:
                    raise BufferAway("away")
                self.found = True
                return await each.store.find(tenant, job_id)

            found = False

        app = FastAPI()
        replace(each.api, jobs=replace(each.jobs, store=Away())).add_to(app)
        stream = Stream(app, f"/v1/jobs/{job['id']}/events")
        assert (await stream.start())[0] == 200
        assert await stream.next() is None
        await stream.leave()
        assert "away" in caplog.text
