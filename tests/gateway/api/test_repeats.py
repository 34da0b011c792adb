"""Clients of every kind profit from the cache: headers, usage and metrics say so, and their own
filters apply to what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import pytest
from botocore.config import Config

from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider, about
from tests.support.waiting import block_until

PHOTO = encoded(
    drawn((320, 320), Block("red", 20, 20, 120, 120), Block("blue", 200, 200, 224, 224))
)
"""A photo of a large block, which scores 1, and of a small one, which scores 0.6."""
ROUTE = {
    "task": "objects",
    "provider": "eye",
    "stages": [{"shape": "1x1"}],
    "cache": {"ttl_ms": 600_000},
}


@pytest.fixture
def eye() -> ScriptedProvider:
    return ScriptedProvider(about=about("eye"))


@pytest.fixture
def client(tmp_path: Path, eye: ScriptedProvider) -> Iterator[httpx.Client]:
    """A client of a gateway whose only route has a cache."""
    config = {"providers": {"eye": {"kind": "shapes"}}, "routes": [ROUTE]}
    with (
        serving(parts_of(tmp_path, config, {"eye": eye})) as address,
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        yield client


def test_the_headers_say_what_a_repeat_saved(client: httpx.Client) -> None:
    """A photo that the cache answers was billed nothing, and saved one image."""
    bills = []
    for _ in range(2):
        reply = client.post("/v1/detect", content=PHOTO)
        bills.append((reply.headers["x-imgrid-billed"], reply.headers["x-imgrid-saved"]))
    assert bills == [("1", "0"), ("0", "1")]
    photo = reply.json()["photos"][0]
    assert photo["billed"] == 0
    (step,) = photo["trail"]
    assert (step["attempts"], step["share"], step["reason"]) == (0, 0, "repeat")


def test_usage_and_metrics_count_repeats(client: httpx.Client) -> None:
    """`/v1/usage` counts a repeat as an answered photo without a bill, and the metrics count hits
    and misses; nobody was asked at any stage for a hit."""
    for _ in range(3):
        client.post("/v1/detect", content=PHOTO)
    usage = client.get("/v1/usage").json()
    assert (usage["photos"], usage["answered"], usage["billed_images"]) == (3, 3, 1)
    metrics = client.get("/metrics").text
    for line in (
        'imgrid_cache_lookups_total{result="hit",route="objects"} 2.0',
        'imgrid_cache_lookups_total{result="miss",route="objects"} 1.0',
        'imgrid_photo_stages_total{route="objects",shape="1x1",stage="0"} 1.0',
        'imgrid_photos_total{outcome="ok",task="objects",tenant="open"} 3.0',
        'imgrid_saved_images{tenant="open"} 2.0',
    ):
        assert line in metrics


def test_a_clients_filters_apply_to_a_repeat(client: httpx.Client, eye: ScriptedProvider) -> None:
    """Another minimum score, other labels or another maximum are no other question."""
    found = []
    for query in ("min_score=0.1", "min_score=0.9", "labels=blue&min_score=0.1", "max_results=1"):
        reply = client.post(f"/v1/detect?{query}", content=PHOTO)
        detections = reply.json()["photos"][0]["detections"]
        found.append([detection["label"] for detection in detections])
    assert found == [["red", "blue"], ["red"], ["blue"], ["red"]]
    assert eye.calls == 1


def test_dialects_share_answers(client: httpx.Client, eye: ScriptedProvider) -> None:
    """A photo that was answered in one dialect is a repeat in another, filters included."""
    client.post("/v1/detect", content=PHOTO)
    rekognition = boto3.client(
        "rekognition",
        endpoint_url=str(client.base_url),
        region_name="eu-west-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}),
    )
    answer = rekognition.detect_labels(Image={"Bytes": PHOTO}, MinConfidence=90)
    rekognition.close()
    assert [label["Name"] for label in answer["Labels"]] == ["red"]
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-imgrid-billed"] == "0"
    assert eye.calls == 1


def test_another_quality_is_asked_for(client: httpx.Client, eye: ScriptedProvider) -> None:
    """An exact answer is asked for once, and is the next exact answer."""
    for quality in ("target", "exact", "exact"):
        client.post(f"/v1/detect?quality={quality}", content=PHOTO)
    assert eye.calls == 2


def test_jobs_profit(client: httpx.Client, eye: ScriptedProvider) -> None:
    """Equal photos of a job are asked about once, and so are those that a client sent before; the
    job's bill says so."""
    client.post("/v1/detect", content=PHOTO)
    other = encoded(drawn((320, 320), Block("cyan", 20, 20, 120, 120)))
    files = [
        ("photo", ("a.png", PHOTO, "image/png")),
        ("photo", ("b.png", other, "image/png")),
        ("photo", ("c.png", other, "image/png")),
    ]
    submitted = client.post("/v1/jobs", files=files)
    job_id = submitted.json()["id"]
    job = block_until(lambda: _ended(client, job_id))
    assert (job["state"], job["billed"]) == ("done", 1)
    assert eye.calls == 2


def _ended(client: httpx.Client, job_id: str) -> dict[str, object]:
    """The job once it has ended; else nothing."""
    job: dict[str, object] = client.get(f"/v1/jobs/{job_id}").json()
    return job if job["state"] != "running" else {}
