"""Clients read, list and abort jobs as OpenAPI describes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.api.resources.jobs_openapi import describe_jobs
from gateway.core.errors import NotServed
from gateway.core.model import Outcome, Size
from gateway.jobs.listing import JOBS_AT_ONCE
from providers.detection import Box, Detection
from tests.gateway.jobs.conftest import StartJobs
from tests.support.jobs import JobBuilder
from tests.support.native_replies import ok

PRESS = {"Authorization": "Bearer key-press"}
RED = Detection("red", 0.9, Box(0.1, 0.1, 0.5, 0.6))
BLUE = Detection("blue", 0.4, Box(0.5, 0.5, 1, 1))


class TestRead:
    async def test_a_job_has_its_progress_bill_and_saving(self, start_jobs: StartJobs) -> None:
        """A job reports its settled photos, its bill and the share saved."""
        harness = start_jobs()
        job = await harness.submit(4)
        await harness.settle(job, 2, RED, BLUE)
        await harness.store.settle(job["id"], 0, Outcome(None, error=NotServed("no")), None)
        page = ok(await harness.client.get(f"/v1/jobs/{job['id']}"))
        assert (page["state"], page["photos"], page["settled"], page["failed"]) == (
            "running",
            4,
            2,
            1,
        )
        assert (page["saved"], page["next"]) == (1.0, 2)
        first, second = page["results"]
        assert (first["number"], first["index"], first["name"]) == (1, 2, "2.png")
        assert [each["label"] for each in first["detections"]] == ["red", "blue"]
        assert first["detections"][0]["pixels"] == pytest.approx(
            {"x0": 4, "y0": 3, "x1": 20, "y1": 18}
        )
        assert (first["width"], first["height"]) == (40, 30)
        assert second["error"] == {"code": "not_served", "message": "no"}

    async def test_the_bill_is_the_shares_of_canvases(
        self, start_jobs: StartJobs, make: JobBuilder
    ) -> None:
        """The bill is the photos' shares of their canvases."""
        harness = start_jobs()
        job = await harness.submit(4)
        for index in range(4):
            await harness.store.settle(job["id"], index, make.outcome(0.25), Size(40, 30))
        page = ok(await harness.client.get(f"/v1/jobs/{job['id']}"))
        assert (page["billed"], page["saved"], page["state"]) == (1.0, 0.75, "done")
        assert page["created_at"].endswith("Z")
        assert page["created_at"] <= page["finished_at"]

    async def test_results_are_paged(self, start_jobs: StartJobs) -> None:
        """Results come in pages, each from a given number on."""
        harness = start_jobs()
        job = await harness.submit(3)
        for index in (2, 0, 1):
            await harness.settle(job, index, RED)
        path = f"/v1/jobs/{job['id']}"
        first = ok(await harness.client.get(path, params={"limit": 2}))
        assert ([photo["index"] for photo in first["results"]], first["next"]) == ([2, 0], 2)
        second = ok(await harness.client.get(path, params={"limit": 2, "after": first["next"]}))
        assert ([photo["index"] for photo in second["results"]], second["next"]) == ([1], 3)
        third = ok(await harness.client.get(path, params={"after": 3}))
        assert (third["results"], third["next"]) == ([], 3)

    async def test_a_tenants_jobs_are_paged_latest_first(self, start_jobs: StartJobs) -> None:
        """A tenant's jobs are listed latest first, in pages."""
        harness = start_jobs()
        ids = [(await harness.submit())["id"] for _ in range(3)]
        first = ok(await harness.client.get("/v1/jobs", params={"limit": 2}))
        second = ok(
            await harness.client.get("/v1/jobs", params={"limit": 2, "after": first["next"]})
        )
        assert [job["id"] for job in [*first["jobs"], *second["jobs"]]] == ids[::-1]
        assert second["next"] == ""
        assert ok(await harness.client.get("/v1/jobs", headers=PRESS)) == {"jobs": [], "next": ""}

    async def test_a_page_may_be_longer_than_a_read(self, start_jobs: StartJobs) -> None:
        """A page has as many jobs as are asked for, however few the store is asked for at a
        time."""
        harness = start_jobs()
        ids = [(await harness.submit())["id"] for _ in range(JOBS_AT_ONCE + 2)]
        page = ok(await harness.client.get("/v1/jobs", params={"limit": JOBS_AT_ONCE + 1}))
        assert [job["id"] for job in page["jobs"]] == ids[:0:-1]
        assert page["next"] == ids[1]


class TestAbort:
    async def test_an_aborted_job_keeps_its_results(self, start_jobs: StartJobs) -> None:
        """An aborted job keeps its results, and a second abort changes nothing."""
        harness = start_jobs()
        job = await harness.submit(2)
        await harness.settle(job, 1, RED)
        aborted = ok(await harness.client.delete(f"/v1/jobs/{job['id']}"))
        assert (aborted["state"], aborted["settled"]) == ("aborted", 1)
        assert ok(await harness.client.delete(f"/v1/jobs/{job['id']}")) == aborted
        assert len(ok(await harness.client.get(f"/v1/jobs/{job['id']}"))["results"]) == 1


class TestDocument:
    async def test_the_description_is_complete(self) -> None:
        """The description has every endpoint, and every type that it refers to."""
        document: dict[str, Any] = {}
        describe_jobs(document)
        assert {path: set(methods) for path, methods in document["paths"].items()} == {
            "/v1/jobs": {"post", "get"},
            "/v1/jobs/{id}": {"get", "delete"},
            "/v1/jobs/{id}/events": {"get"},
        }
        assert set(document["webhooks"]) == {"job.done", "job.aborted", "photo.settled"}
        for ref in refs(document):
            assert ref.removeprefix("#/components/schemas/") in document["components"]["schemas"]

    async def test_replies_match_the_description(self, start_jobs: StartJobs) -> None:
        """Replies have the members that the description gives them."""
        document: dict[str, Any] = {}
        describe_jobs(document)
        schemas = document["components"]["schemas"]
        harness = start_jobs()
        job = await harness.submit()
        await harness.settle(job, 0, RED)
        page = ok(await harness.client.get(f"/v1/jobs/{job['id']}"))
        for value, name in (
            (job, "JobOut"),
            (page, "JobPage"),
            (page["results"][0], "JobPhotoOut"),
        ):
            assert (
                set(schemas[name].get("required", ()))
                <= set(value)
                <= set(schemas[name]["properties"])
            )


def refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == "$ref" else refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs(value)
