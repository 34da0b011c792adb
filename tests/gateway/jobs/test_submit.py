"""Clients submit jobs in each of the request formats."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from gateway.core.events import RequestRefused
from gateway.store.jobs import WebhookTarget
from gateway.testing.pictures import Block, drawn, encoded
from providers.detection import Box, Detection
from tests.gateway.jobs.conftest import StartJobs
from tests.support.native_replies import ok, problem

PHOTO = encoded(drawn((40, 30), Block("red", 4, 4, 20, 20)))
B64 = base64.b64encode(PHOTO).decode()
PRESS = {"Authorization": "Bearer key-press"}
RED = Detection("red", 0.9, Box(0.1, 0.1, 0.5, 0.6))
BLUE = Detection("blue", 0.4, Box(0.5, 0.5, 1, 1))


def accepted(reply: httpx.Response) -> Any:
    assert reply.status_code == 202, reply.text
    assert reply.headers["Location"] == f"/v1/jobs/{reply.json()['id']}"
    return reply.json()


class TestSubmit:
    async def test_raw_bytes_are_a_job_of_one_photo(self, start_jobs: StartJobs) -> None:
        """A photo's bytes are a job of one photo."""
        harness = start_jobs()
        job = accepted(await harness.client.post("/v1/jobs?min_score=0.5", content=PHOTO))
        assert {
            key: job[key]
            for key in ("state", "task", "photos", "settled", "failed", "billed", "saved")
        } == {
            "state": "running",
            "task": "objects",
            "photos": 1,
            "settled": 0,
            "failed": 0,
            "billed": 0.0,
            "saved": 0.0,
        }
        (entry,) = harness.entries
        assert (entry.photo.id, entry.photo.data, entry.tenant) == (f"{job['id']}-0", PHOTO, "shop")

    async def test_a_form_holds_photos_and_options(self, start_jobs: StartJobs) -> None:
        """A form's files and url fields are the photos, in their order; its other fields are
        options."""
        harness = start_jobs()
        boundary = "--x\r\nContent-Disposition: form-data; "
        url = f'{boundary}name="url"\r\n\r\nhttps://pictures.example/%d.jpg\r\n'
        file = f'{boundary}name="photo"; filename="mine.png"\r\n\r\n'
        body = b"".join(
            [
                f'{boundary}name="labels"\r\n\r\nred\r\n'.encode(),
                (url % 1).encode(),
                file.encode() + PHOTO + b"\r\n",
                (url % 2).encode(),
                b"--x--\r\n",
            ]
        )
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        job = accepted(await harness.client.post("/v1/jobs", content=body, headers=headers))
        assert job["photos"] == 3
        first, second, third = (entry.photo for entry in harness.entries)
        assert (second.format, second.pixels > 0) == ("PNG", True)
        assert [(photo.url, photo.pixels) for photo in (first, third)] == [
            ("https://pictures.example/1.jpg", 0),
            ("https://pictures.example/2.jpg", 0),
        ]
        await harness.settle(job, 1, RED, BLUE)
        (photo,) = ok(await harness.client.get(f"/v1/jobs/{job['id']}"))["results"]
        assert (photo["name"], [each["label"] for each in photo["detections"]]) == (
            "mine.png",
            ["red"],
        )

    async def test_a_json_body_holds_photos_options_and_hook(self, start_jobs: StartJobs) -> None:
        """A JSON body holds photos in base64 or as URLs, options and a webhook."""
        harness = start_jobs()
        photos = [{"content": B64, "name": "mine"}, {"url": "https://pictures.example/1.jpg"}]
        hook = {"url": "https://shop.example/hook", "each_photo": True}
        job = accepted(
            await harness.client.post(
                "/v1/jobs", json={"photos": photos, "webhook": hook, "min_score": 0.5}
            )
        )
        assert job["webhook"] == hook
        assert [entry.index for entry in harness.entries] == [0, 1]

    async def test_a_job_has_at_most_a_thousand_photos(self, start_jobs: StartJobs) -> None:
        """A job has at most a thousand photos, and one more is refused."""
        harness = start_jobs()
        urls = [{"url": f"https://pictures.example/{n}"} for n in range(1001)]
        assert (
            accepted(await harness.client.post("/v1/jobs", json={"photos": urls[:1000]}))["photos"]
            == 1000
        )
        assert "1000" in problem(
            await harness.client.post("/v1/jobs", json={"photos": urls}), 400, "invalid_request"
        )
        form = {"url": [url["url"] for url in urls]}
        reply = await harness.client.post(
            "/v1/jobs", data=form, files=[("photo", ("x.png", PHOTO))]
        )
        assert "1000" in problem(reply, 400, "invalid_request")

    async def test_a_refused_photo_fails_alone(self, start_jobs: StartJobs) -> None:
        """A refused photo has its error at once, and costs the others nothing."""
        harness = start_jobs()
        files = [
            ("photo", ("good.png", PHOTO)),
            ("photo", ("bad.png", b"no picture")),
            ("photo", ("no.png", b"")),
        ]
        job = accepted(await harness.client.post("/v1/jobs", files=files))
        assert (job["settled"], job["failed"], job["state"], len(harness.entries)) == (
            2,
            2,
            "running",
            1,
        )
        results = ok(await harness.client.get(f"/v1/jobs/{job['id']}"))["results"]
        assert [(photo["name"], photo["index"], photo["error"]["code"]) for photo in results] == [
            ("bad.png", 1, "invalid_format"),
            ("no.png", 2, "empty_photo"),
        ]
        assert [event.code for event in harness.events.of(RequestRefused)] == [
            "invalid_format",
            "empty_photo",
        ]

    async def test_the_tenants_hook_is_the_default(self, start_jobs: StartJobs) -> None:
        """A tenant's own hook receives its jobs that name no other."""
        harness = start_jobs(
            hooks={"shop": WebhookTarget("https://shop.example/own", each_photo=True)}
        )
        assert (await harness.submit())["webhook"] == {
            "url": "https://shop.example/own",
            "each_photo": True,
        }
        other = await harness.submit(webhook={"url": "https://shop.example/other"})
        assert other["webhook"] == {"url": "https://shop.example/other", "each_photo": False}
        reply = await harness.client.post("/v1/jobs", content=PHOTO, headers=PRESS)
        assert "webhook" not in accepted(reply)

    async def test_a_form_or_query_may_name_the_hook(self, start_jobs: StartJobs) -> None:
        """A form, or the query of a photo's bytes, names the hook as well."""
        harness = start_jobs()
        query = {"webhook": "https://shop.example/hook", "webhook_each_photo": "true"}
        expected = {"url": "https://shop.example/hook", "each_photo": True}
        assert (
            accepted(await harness.client.post("/v1/jobs", content=PHOTO, params=query))["webhook"]
            == expected
        )
        files = {"photo": ("mine.png", PHOTO)}
        assert (
            accepted(await harness.client.post("/v1/jobs", files=files, data=query))["webhook"]
            == expected
        )

    @pytest.mark.parametrize(
        "request_",
        [
            {"json": {"photos": [{"content": B64}], "quality": "exact"}},
            {"data": {"quality": "exact"}, "files": {"photo": ("a", PHOTO)}},
            {"content": PHOTO, "params": {"quality": "exact"}},
            {"content": PHOTO, "headers": {"X-Imgrid-Quality": "exact"}},
            {
                "content": PHOTO,
                "params": {"quality": "cheapest"},
                "headers": {"X-Imgrid-Quality": "exact"},
            },
        ],
        ids=["json", "form", "query", "header", "both"],
    )
    async def test_every_request_format_may_set_the_quality(
        self,
        start_jobs: StartJobs,
        request_: dict[str, Any],
    ) -> None:
        """A request in any format may ask for a job's photos alone; the header takes precedence."""
        harness = start_jobs()
        accepted(await harness.client.post("/v1/jobs", **request_))
        assert [entry.variant for entry in harness.entries] == ["exact"]

    async def test_an_unknown_quality_is_refused(self, start_jobs: StartJobs) -> None:
        """An unknown quality is refused."""
        client = start_jobs().client
        problem(
            await client.post("/v1/jobs", content=PHOTO, headers={"X-Imgrid-Quality": "best"}),
            400,
            "invalid_request",
        )
        problem(
            await client.post("/v1/jobs", content=PHOTO, params={"quality": "best"}),
            400,
            "invalid_request",
        )


class TestIdempotency:
    async def test_the_same_request_gives_the_same_job(self, start_jobs: StartJobs) -> None:
        """The same key with the same request gives the same job, in whichever format the request
        is."""
        harness = start_jobs()
        headers = {"Idempotency-Key": "order-1"}
        body = {"photos": [{"content": B64, "name": "mine.png"}]}
        first = accepted(await harness.client.post("/v1/jobs", json=body, headers=headers))
        again = accepted(await harness.client.post("/v1/jobs", json=body, headers=headers))
        form = accepted(
            await harness.client.post(
                "/v1/jobs", files={"photo": ("mine.png", PHOTO)}, headers=headers
            )
        )
        assert first["id"] == again["id"] == form["id"]
        assert len(ok(await harness.client.get("/v1/jobs"))["jobs"]) == 1

    @pytest.mark.parametrize(
        "change",
        [
            {"min_score": 0.5},
            {"quality": "exact"},
            {"photos": [{"content": B64, "name": "other.png"}]},
            {"photos": [{"url": "https://pictures.example/1.jpg", "name": "mine.png"}]},
            {"webhook": {"url": "https://shop.example/hook"}},
        ],
    )
    async def test_another_request_is_a_conflict(
        self,
        start_jobs: StartJobs,
        change: dict[str, Any],
    ) -> None:
        """The same key with another request is a conflict."""
        harness = start_jobs()
        headers = {"Idempotency-Key": "order-1"}
        body = {"photos": [{"content": B64, "name": "mine.png"}]}
        accepted(await harness.client.post("/v1/jobs", json=body, headers=headers))
        problem(
            await harness.client.post("/v1/jobs", json={**body, **change}, headers=headers),
            409,
            "conflict",
        )
        accepted(
            await harness.client.post("/v1/jobs", json={**body, **change}, headers=headers | PRESS)
        )

    @pytest.mark.parametrize(("key", "status"), [("", 400), ("k" * 256, 400), ("k" * 255, 202)])
    async def test_a_key_has_1_to_255_characters(
        self, start_jobs: StartJobs, key: str, status: int
    ) -> None:
        """A key has 1 to 255 characters."""
        reply = await start_jobs().client.post(
            "/v1/jobs", content=PHOTO, headers={"Idempotency-Key": key}
        )
        assert reply.status_code == status
