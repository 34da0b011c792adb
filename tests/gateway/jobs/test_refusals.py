"""The jobs' endpoints refuse bad requests, each with its status and code."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from fastapi import FastAPI

from gateway.store.buffer import Capacity
from gateway.testing.pictures import Block, drawn, encoded
from tests.gateway.jobs.conftest import StartJobs
from tests.support.native_replies import ok, problem

PHOTO = encoded(drawn((40, 30), Block("red", 4, 4, 20, 20)))
B64 = base64.b64encode(PHOTO).decode()
SHOP, PRESS = ({"Authorization": f"Bearer key-{name}"} for name in ("shop", "press"))


class TestErrors:
    @pytest.mark.parametrize(
        ("request_", "says"),
        [
            ({"json": {"photos": []}}, "photos"),
            ({"json": {"photos": [{}]}}, "photos[0]"),
            ({"json": {"photos": [{"content": "", "url": "https://a.example"}]}}, "photos[0]"),
            ({"json": {"photos": [{"content": "%"}]}}, "photos[0].content"),
            ({"json": {"photos": [{"url": "ftp://pictures.example"}]}}, "photos[0].url: "),
            ({"json": {"photos": [{"content": B64}], "webhook": {"url": "nowhere"}}}, "webhook: "),
            ({"json": {"photos": [{"content": B64}], "webhook": {"url": ""}}}, "webhook: "),
            ({"json": {"photos": [{"content": B64}], "deadline_ms": 5}}, "deadline_ms"),
            (
                {"json": {"photos": [{"content": B64}]}, "params": "min_score=1"},
                "query must be empty",
            ),
            ({"content": PHOTO, "params": "webhook_each_photo=true"}, "webhook"),
            ({"content": PHOTO, "params": "min_scor=1"}, "min_scor"),
            ({"content": b"{", "headers": {"Content-Type": "application/json"}}, "JSON"),
            ({"content": b' {"photos": []}'}, "Content-Type: application/json"),
            ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, "boundary"),
            ({"files": {"photo": ("", b"x")}}, "filename"),
            ({"files": {"photo": ("x" * 256, PHOTO)}}, "name"),
            ({"json": {"photos": [{"content": B64, "name": "x" * 256}]}}, "name"),
            ({"json": {"photos": [{"content": B64}], "labels": ["cat"] * 1001}}, "labels"),
            (
                {"files": {"photo": ("x.png", PHOTO)}, "data": {"url": "file:///etc/passwd"}},
                ".url: ",
            ),
        ],
    )
    async def test_an_invalid_request_is_refused_with_the_fault(
        self, start_jobs: StartJobs, request_: Any, says: str
    ) -> None:
        """The refusal of an invalid request names its fault, and no job is created."""
        harness = start_jobs()
        assert says in problem(
            await harness.client.post("/v1/jobs", **request_), 400, "invalid_request"
        )
        assert ok(await harness.client.get("/v1/jobs"))["jobs"] == []

    async def test_a_webhook_without_secret_is_refused(self, start_jobs: StartJobs) -> None:
        """A webhook without a signing secret is refused instead of being sent unsigned."""
        harness = start_jobs(signs=lambda tenant: [])
        form = {
            "json": {"photos": [{"content": B64}], "webhook": {"url": "https://shop.example/hook"}}
        }
        assert "secret" in problem(
            await harness.client.post("/v1/jobs", **form), 400, "invalid_request"
        )

    @pytest.mark.parametrize("task", ["faces", "cats"])
    async def test_an_unserved_task_is_refused(self, start_jobs: StartJobs, task: str) -> None:
        """A task without a route, or an unknown one, is refused."""
        harness = start_jobs()
        problem(
            await harness.client.post("/v1/jobs", params={"task": task}, content=PHOTO),
            404,
            "not_served",
        )

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=1001", "after=-1", "after=x", "befor=1", "limit="]
    )
    async def test_an_invalid_page_is_refused(self, start_jobs: StartJobs, query: str) -> None:
        """An invalid page is refused."""
        harness = start_jobs()
        job = await harness.submit()
        problem(await harness.client.get(f"/v1/jobs/{job['id']}?{query}"), 400, "invalid_request")
        problem(await harness.client.get(f"/v1/jobs?{query}"), 400, "invalid_request")

    async def test_an_event_id_must_be_a_number(self, start_jobs: StartJobs) -> None:
        """A Last-Event-ID must be a number."""
        harness = start_jobs()
        job = await harness.submit()
        reply = await harness.client.get(
            f"/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": "x"}
        )
        problem(reply, 400, "invalid_request")

    @pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("GET", "/events")])
    async def test_an_unknown_or_foreign_job_is_not_found(
        self, start_jobs: StartJobs, method: str, path: str
    ) -> None:
        """An unknown job is not found, and neither is another tenant's."""
        harness = start_jobs()
        job = await harness.submit()
        problem(await harness.client.request(method, f"/v1/jobs/job_none{path}"), 404, "not_found")
        reply = await harness.client.request(method, f"/v1/jobs/{job['id']}{path}", headers=PRESS)
        problem(reply, 404, "not_found")

    REQUESTS = [("POST", ""), ("GET", ""), ("GET", "/x"), ("DELETE", "/x"), ("GET", "/x/events")]

    @pytest.mark.parametrize(("method", "path"), REQUESTS)
    async def test_a_body_without_valid_key_is_not_read(
        self, start_jobs: StartJobs, method: str, path: str
    ) -> None:
        """A request without a valid key is refused, and its body is not read."""

        async def body() -> AsyncIterator[bytes]:
            raise AssertionError("it was read")
            yield b""

        harness = start_jobs()
        for headers in ({"Authorization": "Bearer nobody"}, {"Authorization": ""}):
            content = body() if method == "POST" else None
            reply = await harness.client.request(
                method, f"/v1/jobs{path}", headers=headers, content=content
            )
            problem(reply, 401, "unauthenticated")
            assert reply.headers["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize(("method", "path"), REQUESTS)
    async def test_an_open_gateway_refuses_foreign_web_pages(
        self, start_jobs: StartJobs, method: str, path: str
    ) -> None:
        """An open gateway refuses requests from foreign web pages."""
        harness = start_jobs(open_to_all=True)
        reply = await harness.client.request(
            method, f"/v1/jobs{path}", headers={"Origin": "https://evil.example"}
        )
        problem(reply, 401, "unauthenticated")

    async def test_an_open_gateway_serves_local_programs(self, start_jobs: StartJobs) -> None:
        """An open gateway serves programs on this machine."""
        harness = start_jobs(open_to_all=True)
        await harness.submit()
        assert len(ok(await harness.client.get("/v1/jobs"))["jobs"]) == 1

    async def test_a_body_over_the_limit_is_refused(self, start_jobs: StartJobs) -> None:
        """A body over the limit is refused."""
        problem(
            await start_jobs().client.post("/v1/jobs", content=bytes(1_000_001)),
            413,
            "photo_too_large",
        )

    async def test_a_full_store_names_a_retry_time(self, start_jobs: StartJobs) -> None:
        """A full store answers 429 with a time to come back."""
        harness = start_jobs(room=Capacity(photos=1))
        reply = await harness.client.post("/v1/jobs", json={"photos": [{"content": B64}] * 2})
        problem(reply, 429, "busy")
        assert int(reply.headers["Retry-After"]) >= 1

    async def test_a_store_outage_is_503(self, start_jobs: StartJobs, tmp_path: Path) -> None:
        """An unusable store is a 503."""
        (tmp_path / "jobs.db").mkdir()
        problem(
            await start_jobs().client.post("/v1/jobs", content=PHOTO), 503, "buffer_unavailable"
        )

    async def test_an_unexpected_error_is_500_and_logged(
        self, start_jobs: StartJobs, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An unexpected error is a 500, and the log has it."""
        harness = start_jobs()

        def broken(*_: Any, **__: Any) -> NoReturn:
            raise RuntimeError("a bug")

        api = replace(harness.api, jobs=replace(harness.jobs, entry=broken))
        app = FastAPI()
        api.add_to(app)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1"
        ) as client:
            problem(await client.post("/v1/jobs", content=PHOTO, headers=SHOP), 500, "internal")
        assert "a bug" in caplog.text
