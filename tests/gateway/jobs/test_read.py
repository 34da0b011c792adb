"""Clients read, list and abort jobs, and OpenAPI describes this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.api.resources.jobs_openapi import describe_jobs
from gateway.core.errors import NotServed
from gateway.core.model import Outcome, Size
from providers.detection import Box, Detection
from tests.support.jobs import JobBuilder

PRESS = {"Authorization": "Bearer key-press"}
RED = Detection("red", 0.9, Box(0.1, 0.1, 0.5, 0.6))
BLUE = Detection("blue", 0.4, Box(0.5, 0.5, 1, 1))


def ok(reply):
    assert reply.status_code == 200, reply.text
    return reply.json()


class TestRead:
    async def test_a_job_has_its_progress_bill_and_saving(self, world: Callable[..., Any]) -> None:
        """A job reports its settled photos, its bill and the share saved."""
        each = world()
        job = await each.submit(4)
        await each.settle(job, 2, RED, BLUE)
        await each.store.settle(job["id"], 0, Outcome(None, error=NotServed("no")), None)
        read = ok(await each.client.get(f"/v1/jobs/{job['id']}"))
        assert (read["state"], read["photos"], read["settled"], read["failed"]) == (
            "running",
            4,
            2,
            1,
        )
        assert (read["saved"], read["next"]) == (1.0, 2)
        first, second = read["results"]
        assert (first["number"], first["index"], first["name"]) == (1, 2, "2.png")
        assert [found["label"] for found in first["detections"]] == ["red", "blue"]
        assert first["detections"][0]["pixels"] == pytest.approx(
            {"x0": 4, "y0": 3, "x1": 20, "y1": 18}
        )
        assert (first["width"], first["height"]) == (40, 30)
        assert second["error"] == {"code": "not_served", "message": "no"}

    async def test_the_bill_is_the_shares_of_canvases(
        self, world: Callable[..., Any], make: JobBuilder
    ) -> None:
        """The bill is the photos' shares of their canvases."""
        each = world()
        job = await each.submit(4)
        for index in range(4):
            await each.store.settle(job["id"], index, make.outcome(0.25), Size(40, 30))
        read = ok(await each.client.get(f"/v1/jobs/{job['id']}"))
        assert (read["billed"], read["saved"], read["state"]) == (1.0, 0.75, "done")
        assert read["created_at"].endswith("Z")
        assert read["created_at"] <= read["finished_at"]

    async def test_results_are_paged(self, world: Callable[..., Any]) -> None:
        """Results come in pages, each from a given number on."""
        each = world()
        job = await each.submit(3)
        for index in (2, 0, 1):
            await each.settle(job, index, RED)
        path = f"/v1/jobs/{job['id']}"
        first = ok(await each.client.get(path, params={"limit": 2}))
        assert ([photo["index"] for photo in first["results"]], first["next"]) == ([2, 0], 2)
        second = ok(await each.client.get(path, params={"limit": 2, "after": first["next"]}))
        assert ([photo["index"] for photo in second["results"]], second["next"]) == ([1], 3)
        third = ok(await each.client.get(path, params={"after": 3}))
        assert (third["results"], third["next"]) == ([], 3)

    async def test_a_tenants_jobs_are_paged_latest_first(self, world: Callable[..., Any]) -> None:
        """A tenant's jobs are listed latest first, in pages."""
        each = world()
        ids = [(await each.submit())["id"] for _ in range(3)]
        first = ok(await each.client.get("/v1/jobs", params={"limit": 2}))
        second = ok(await each.client.get("/v1/jobs", params={"limit": 2, "after": first["next"]}))
        assert [job["id"] for job in [*first["jobs"], *second["jobs"]]] == ids[::-1]
        assert second["next"] == ""
        assert ok(await each.client.get("/v1/jobs", headers=PRESS)) == {"jobs": [], "next": ""}


class TestAbort:
    async def test_an_aborted_job_keeps_its_results(self, world: Callable[..., Any]) -> None:
        """An aborted job keeps its results, and a second abort changes nothing."""
        each = world()
        job = await each.submit(2)
        await each.settle(job, 1, RED)
        aborted = ok(await each.client.delete(f"/v1/jobs/{job['id']}"))
        assert (aborted["state"], aborted["settled"]) == ("aborted", 1)
        assert ok(await each.client.delete(f"/v1/jobs/{job['id']}")) == aborted
        assert len(ok(await each.client.get(f"/v1/jobs/{job['id']}"))["results"]) == 1


class TestDocument:
    async def test_the_description_is_complete(self) -> None:
        """The description has every endpoint, and every type that it refers to."""
        document = {}
        describe_jobs(document)
        assert {path: set(methods) for path, methods in document["paths"].items()} == {
            "/v1/jobs": {"post", "get"},
            "/v1/jobs/{id}": {"get", "delete"},
            "/v1/jobs/{id}/events": {"get"},
        }
        assert set(document["webhooks"]) == {"job.done", "job.aborted", "photo.settled"}
        for ref in refs(document):
            assert ref.removeprefix("#/components/schemas/") in document["components"]["schemas"]

    async def test_replies_match_the_description(self, world: Callable[..., Any]) -> None:
        """Replies have the members that the description gives them."""
        document = {}
        describe_jobs(document)
        schemas = document["components"]["schemas"]
        each = world()
        job = await each.submit()
        await each.settle(job, 0, RED)
        read = ok(await each.client.get(f"/v1/jobs/{job['id']}"))
        for value, name in (
            (job, "JobOut"),
            (read, "JobPage"),
            (read["results"][0], "JobPhotoOut"),
        ):
            assert (
                set(schemas[name].get("required", ()))
                <= set(value)
                <= set(schemas[name]["properties"])
            )


def refs(node):
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == "$ref" else refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs(value)
