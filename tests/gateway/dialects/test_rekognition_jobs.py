"""Bulk analysis: boto3's media analysis jobs, run by a whole gateway before moto's S3."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from gateway.dialects.rekognition.media_analysis import MAX_LINES, MAX_MANIFEST_BYTES
from gateway.jobs.listing import JOBS_AT_ONCE
from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider, about
from gateway.testing.redis_server import RedisServer
from providers.base import Picture, Provider
from providers.detection import CONTENT_TYPE, WHOLE, Detection, Task
from providers.engine.worker import rgb_image
from tests.support.paths import ROOT
from tests.support.rekognition_model import content_of
from tests.support.s3_server import s3_client, s3_server
from tests.support.sources import S3_KEY
from tests.support.waiting import block_until

CLEAN = encoded(drawn((200, 200)), "JPEG")
RED = encoded(drawn((200, 200), Block("red", 20, 20, 180, 180)), "JPEG")
KEYS = [
    {"dialect": "rekognition", "access_key": "AKSHOP", "secret_key": "sk-shop"},
    {"dialect": "native", "key": "key-shop"},
]
SHOP = {
    "name": "shop",
    "keys": KEYS,
    "sources": ["s3://shop/open/"],
    "sinks": ["s3://shop/results/", "s3://none/"],
}
NATIVE = {"Authorization": "Bearer key-shop"}
PRESS = {
    "name": "press",
    "keys": [{"dialect": "rekognition", "access_key": "AKPRESS", "secret_key": "sk-press"}],
}


def look(picture: Picture, task: Task) -> list[Detection]:
    """What a moderation model says: red is explicit, a faint doubt is in everything."""
    red, green, _ = rgb_image(picture).resize((1, 1)).getpixel((0, 0))
    findings = [
        Detection("Illustrated", 0.0, WHOLE, CONTENT_TYPE, details={"confidence": 71.5}),
        Detection("Smoking", 0.3, WHOLE, details={"parent": "Drugs", "level": 2}),
    ]
    if red > green + 50:
        findings.append(Detection("Explicit", 0.9, WHOLE, details={"version": "7.0", "level": 1}))
    return findings


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture(scope="module")
def s3(s3_endpoint: str) -> Iterator[Any]:
    """The client's own S3, with two photos in the open folder and one outside."""
    client = s3_client(s3_endpoint)
    client.create_bucket(Bucket="shop")
    for key, data in (("open/red ä+.jpg", RED), ("open/clean.jpg", CLEAN), ("secret.jpg", RED)):
        client.put_object(Bucket="shop", Key=key, Body=data)
    client.put_object(Bucket="shop", Key="open/text.jpg", Body=b"no picture")
    yield client
    client.close()


@pytest.fixture(scope="module")
def config(s3_endpoint: str) -> dict[str, Any]:
    """A gateway that moderates each photo alone, and two tenants, one of which has a sink."""
    route = {"task": "moderation", "provider": "eye", "stages": [{"shape": "1x1"}]}
    return {
        "providers": {"eye": {"kind": "shapes"}},
        "routes": [{**route, "max_wait_ms": 0, "deadline_ms": 500}],
        "tenants": [SHOP, PRESS],
        "fetch": {"s3": {"endpoint": s3_endpoint, **S3_KEY}},
    }


def moderator(gate: asyncio.Event | None = None) -> dict[str, Provider]:
    """The providers of a gateway that answers once the gate is open."""
    kind = about("eye", task=Task.MODERATION)
    return {"eye": ScriptedProvider(look, about=kind, gate=gate)}


@pytest.fixture(scope="module")
def address(
    tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any], s3: Any
) -> Iterator[str]:
    with serving(parts_of(tmp_path_factory.mktemp("gateway"), config, moderator())) as url:
        yield url


@pytest.fixture(scope="module")
def client(address: str, rekognition: Callable[..., Any]) -> Any:
    return rekognition(address, "AKSHOP", "sk-shop")


@pytest.fixture(scope="module")
def press(address: str, rekognition: Callable[..., Any]) -> Any:
    return rekognition(address, "AKPRESS", "sk-press")


Start = Callable[..., dict[str, Any]]
REQUEST = {
    "OperationsConfig": {"DetectModerationLabels": {"MinConfidence": 60}},
    "Input": {"S3Object": {"Bucket": "shop", "Name": "open/manifest.jsonl"}},
    "OutputConfig": {"S3Bucket": "shop", "S3KeyPrefix": "results/bulk"},
}


def put_manifest(s3: Any, *lines: str | dict[str, str]) -> None:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    s3.put_object(Bucket="shop", Key="open/manifest.jsonl", Body="\n".join(texts))


@pytest.fixture
def start(client: Any, s3: Any) -> Start:
    """`start(*lines, **members)`: the answer to the start of a job with these lines of a
    manifest."""

    def start(*lines: str | dict[str, str], **members: Any) -> dict[str, Any]:
        put_manifest(s3, *lines)
        answer: dict[str, Any] = client.start_media_analysis_job(**{**REQUEST, **members})
        return answer

    return start


def ref(key: str) -> dict[str, str]:
    return {"source-ref": f"s3://shop/{key}"}


RED_LINE, CLEAN_LINE = ref("open/red ä+.jpg"), ref("open/clean.jpg")


def ended(client: Any, job_id: str) -> dict[str, Any]:
    """The job once it has ended."""

    def job() -> dict[str, Any] | None:
        answer: dict[str, Any] = client.get_media_analysis_job(JobId=job_id)
        return answer if answer["Status"] in ("SUCCEEDED", "FAILED") else None

    answer = block_until(job)
    assert answer is not None
    return answer


def lines_of(s3: Any, place: dict[str, str]) -> list[Any]:
    body = s3.get_object(Bucket=place["Bucket"], Key=place["Name"])["Body"].read()
    return [json.loads(line) for line in body.splitlines()]


class TestAJob:
    def test_results_are_written_line_by_line(self, start: Start, client: Any, s3: Any) -> None:
        """Each line of the manifest has its line of results, in its order, with the answer of
        DetectModerationLabels at the job's confidence."""
        job = ended(client, start(RED_LINE, CLEAN_LINE, RED_LINE)["JobId"])
        assert job["Status"] == "SUCCEEDED"
        rows = lines_of(s3, job["Results"]["S3Object"])
        assert [row["source-ref"] for row in rows] == [
            line["source-ref"] for line in (RED_LINE, CLEAN_LINE, RED_LINE)
        ]
        outputs = [row["detect-moderation-labels"] for row in rows]
        for output in outputs:
            content_of("DetectModerationLabels", output)
        names = [[label["Name"] for label in each["ModerationLabels"]] for each in outputs]
        assert names == [["Explicit"], [], ["Explicit"]]
        assert outputs[0]["ModerationModelVersion"] == "7.0"
        assert outputs[1]["ContentTypes"] == [{"Confidence": 71.5, "Name": "Illustrated"}]

    def test_a_finished_job_is_described_in_full(self, start: Start, client: Any) -> None:
        """A finished job names its request, its times, its two files and the model's version."""
        job_id = start(RED_LINE, JobName="night")["JobId"]
        job = ended(client, job_id)
        content_of("GetMediaAnalysisJob", job)
        assert (job["JobId"], job["JobName"]) == (job_id, "night")
        assert job["OperationsConfig"] == {"DetectModerationLabels": {"MinConfidence": 60.0}}
        assert job["Input"] == {"S3Object": {"Bucket": "shop", "Name": "open/manifest.jsonl"}}
        assert job["OutputConfig"] == {"S3Bucket": "shop", "S3KeyPrefix": "results/bulk"}
        assert job["CreationTimestamp"] <= job["CompletionTimestamp"]
        folder = f"results/bulk/{job_id}"
        assert job["Results"] == {
            "S3Object": {"Bucket": "shop", "Name": f"{folder}/results.jsonl"},
            "ModelVersions": {"Moderation": "7.0"},
        }
        summary = {"Bucket": "shop", "Name": f"{folder}/manifest-summary.json"}
        assert job["ManifestSummary"] == {"S3Object": summary}

    def test_a_failed_photo_fails_alone(self, start: Start, client: Any, s3: Any) -> None:
        """A photo that is missing, not open to the tenant or no picture has an error in its line,
        and the others are answered."""
        keys = ("open/none.jpg", "secret.jpg", "open/text.jpg")
        job = ended(client, start(*map(ref, keys), CLEAN_LINE)["JobId"])
        rows = lines_of(s3, job["Results"]["S3Object"])
        assert [row.get("error", {}).get("code") for row in rows] == [
            "InvalidS3ObjectException",
            "InvalidS3ObjectException",
            "InvalidImageFormatException",
            None,
        ]
        assert all(row["error"]["message"] for row in rows[:3])
        assert rows[3]["detect-moderation-labels"]["ModerationLabels"] == []

    def test_the_summary_counts_lines_and_names_errors(
        self, start: Start, client: Any, s3: Any
    ) -> None:
        """The summary counts the manifest's lines and has the number and the error of each that was
        not answered, also of lines that name no photo."""
        web = {"source-ref": "https://shop.example/a.jpg"}
        job = ended(client, start(CLEAN_LINE, "not JSON", web, ref("open/none.jpg"))["JobId"])
        (summary,) = lines_of(s3, job["ManifestSummary"]["S3Object"])
        assert summary["version"] == "1.0"
        assert summary["statistics"] == {
            "total-json-lines": 4,
            "valid-json-lines": 1,
            "invalid-json-lines": 3,
        }
        errors = [
            (each["line-number"], each.get("source-ref"), each["code"])
            for each in summary["errors"]
        ]
        assert errors == [
            (2, None, "InvalidManifestException"),
            (3, web["source-ref"], "InvalidManifestException"),
            (4, "s3://shop/open/none.jpg", "InvalidS3ObjectException"),
        ]
        rows = lines_of(s3, job["Results"]["S3Object"])
        assert [row["source-ref"] for row in rows] == [
            CLEAN_LINE["source-ref"],
            web["source-ref"],
            "s3://shop/open/none.jpg",
        ]

    def test_results_lie_below_the_prefix_or_the_bucket(self, start: Start, client: Any) -> None:
        """A slash ends the prefix whether the client writes it or not."""
        for prefix in ("results/x", "results/x/"):
            config = {"S3Bucket": "shop", "S3KeyPrefix": prefix}
            job_id = start(CLEAN_LINE, OutputConfig=config)["JobId"]
            name = ended(client, job_id)["Results"]["S3Object"]["Name"]
            assert name == f"results/x/{job_id}/results.jsonl"

    def test_all_labels_of_least_confidence_are_given(
        self, start: Start, client: Any, s3: Any
    ) -> None:
        """A job at a low confidence has the faint labels too; without one it is that of
        DetectModerationLabels."""
        config: dict[str, Any]
        for config, names in (({"MinConfidence": 10}, ["Smoking"]), ({}, [])):
            job = ended(
                client,
                start(CLEAN_LINE, OperationsConfig={"DetectModerationLabels": config})["JobId"],
            )
            (row,) = lines_of(s3, job["Results"]["S3Object"])
            labels = row["detect-moderation-labels"]["ModerationLabels"]
            assert [label["Name"] for label in labels] == names

    def test_it_is_one_of_the_tenants_jobs(
        self, start: Start, client: Any, address: str, http: httpx.Client
    ) -> None:
        """The native API shows the job with its progress and its results."""
        job_id = start(RED_LINE, "not JSON")["JobId"]
        ended(client, job_id)
        reply = http.get(f"{address}/v1/jobs/{job_id}", headers=NATIVE)
        job = reply.json()
        assert (job["state"], job["task"], job["photos"], job["failed"]) == (
            "done",
            "moderation",
            2,
            1,
        )
        by_index = {result["index"]: result for result in job["results"]}
        assert by_index[0]["name"] == RED_LINE["source-ref"]
        assert [each["label"] for each in by_index[0]["detections"]] == ["Explicit"]
        assert by_index[1]["error"]["code"] == "invalid_manifest"

    def test_a_bucket_that_is_missing_fails_the_job(self, start: Start, client: Any) -> None:
        """Results that no bucket takes fail the job, with the vendor's code."""
        config = {"S3Bucket": "none"}
        job = ended(client, start(CLEAN_LINE, OutputConfig=config)["JobId"])
        assert job["Status"] == "FAILED"
        assert job["FailureDetails"] == {
            "Code": "INVALID_OUTPUT_CONFIG",
            "Message": "The results were not written: there is no such bucket.",
        }
        content_of("GetMediaAnalysisJob", job)


class TestWhatSurvives:
    @pytest.mark.parametrize("store", ["sqlite", "redis"])
    def test_the_next_process_finishes_a_job(
        self,
        store: str,
        own_server: RedisServer,
        tmp_path: Path,
        config: dict[str, Any],
        s3: Any,
        rekognition: Callable[..., Any],
    ) -> None:
        """A job whose process went down with every photo unanswered is finished by the next one."""
        config = {**config, **({"redis": own_server.url} if store == "redis" else {})}
        put_manifest(s3, RED_LINE, "not JSON", CLEAN_LINE)
        with serving(parts_of(tmp_path, config, moderator(asyncio.Event()))) as url:
            first = rekognition(url, "AKSHOP", "sk-shop")
            job_id = first.start_media_analysis_job(**REQUEST)["JobId"]
            assert first.get_media_analysis_job(JobId=job_id)["Status"] == "IN_PROGRESS"
        with serving(parts_of(tmp_path, config, moderator())) as url:
            job = ended(rekognition(url, "AKSHOP", "sk-shop"), job_id)
        rows = lines_of(s3, job["Results"]["S3Object"])
        labels = [row["detect-moderation-labels"]["ModerationLabels"] for row in rows]
        assert [[label["Name"] for label in each] for each in labels] == [["Explicit"], []]

    def test_replicas_share_a_job(
        self,
        own_server: RedisServer,
        tmp_path_factory: pytest.TempPathFactory,
        config: dict[str, Any],
        s3: Any,
        rekognition: Callable[..., Any],
    ) -> None:
        """A job that one replica started is described by another, and has the same id for a request
        that is sent to both."""
        put_manifest(s3, RED_LINE, CLEAN_LINE)
        shared = {**config, "redis": own_server.url}
        with ExitStack() as stack:
            clients = []
            for _ in range(2):
                parts = parts_of(tmp_path_factory.mktemp("replica"), shared, moderator())
                url = stack.enter_context(serving(parts))
                clients.append(rekognition(url, "AKSHOP", "sk-shop"))
            request = {**REQUEST, "ClientRequestToken": "both"}
            ids = {each.start_media_analysis_job(**request)["JobId"] for each in clients}
            (job_id,) = ids
            assert [ended(each, job_id)["Status"] for each in clients] == ["SUCCEEDED"] * 2


def test_the_documented_lines_run(tmp_path: Path, s3: Any, s3_endpoint: str) -> None:
    """The configuration and the client in docs/bulk-analysis.md work as they are written."""
    page = (ROOT / "docs" / "bulk-analysis.md").read_text()
    blocks = re.findall(r"```(yaml|python)\n(.*?)```", page, re.DOTALL)
    (_, config), (_, code) = blocks
    for bucket in ("shop-photos", "shop-results"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="shop-photos", Key="1.jpg", Body=RED)
    refs = [{"source-ref": f"s3://shop-photos/{number}.jpg"} for number in (1, 2)]
    manifest = "\n".join(map(json.dumps, refs))
    s3.put_object(Bucket="shop-photos", Key="manifest.jsonl", Body=manifest)
    content = {**yaml.safe_load(config), "fetch": {"s3": {"endpoint": s3_endpoint, **S3_KEY}}}
    provider = ScriptedProvider(look, about=about("aws", task=Task.MODERATION))
    with serving(parts_of(tmp_path, content, {"aws": provider})) as url:
        code = code.replace("http://127.0.0.1:8080", url).replace("sleep(5)", "sleep(0.1)")
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL_S3": s3_endpoint,
            "AWS_ACCESS_KEY_ID": "AK",
            "AWS_SECRET_ACCESS_KEY": "SK",
        }
        client = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
    assert client.stderr == ""
    first, second = client.stdout.splitlines()
    assert first.startswith("s3://shop-photos/1.jpg {'ModerationLabels': [{")
    assert second.startswith("s3://shop-photos/2.jpg {'code': 'InvalidS3ObjectException'")


class TestTokens:
    def test_a_token_starts_one_job(self, start: Start) -> None:
        """The same request with the same token is the same job."""
        first = start(CLEAN_LINE, ClientRequestToken="once")
        assert start(CLEAN_LINE, ClientRequestToken="once")["JobId"] == first["JobId"]
        assert start(CLEAN_LINE, ClientRequestToken="twice")["JobId"] != first["JobId"]

    def test_a_token_is_for_one_request(self, start: Start, client: Any) -> None:
        """Another request with the same token is refused."""
        start(CLEAN_LINE, ClientRequestToken="same")
        with pytest.raises(client.exceptions.IdempotentParameterMismatchException):
            start(CLEAN_LINE, ClientRequestToken="same", JobName="other")


class TestRefusals:
    def test_an_output_outside_the_sinks_is_refused(self, start: Start, client: Any) -> None:
        """Results may be written only where the operator opened a sink to the tenant."""
        for config in (
            {"S3Bucket": "shop"},
            {"S3Bucket": "shop", "S3KeyPrefix": "open/"},
            {"S3Bucket": "other", "S3KeyPrefix": "results/"},
        ):
            with pytest.raises(client.exceptions.AccessDeniedException, match="sinks"):
                start(CLEAN_LINE, OutputConfig=config)

    def test_no_prefix_leaves_its_folder(self, start: Start, client: Any) -> None:
        """A prefix with `..`, which a proxy may resolve, is refused."""
        config = {"S3Bucket": "shop", "S3KeyPrefix": "results/../open"}
        with pytest.raises(client.exceptions.InvalidParameterException):
            start(CLEAN_LINE, OutputConfig=config)

    def test_a_tenant_without_sinks_writes_nothing(self, press: Any) -> None:
        """A tenant whose operator named no sink starts no job."""
        with pytest.raises(press.exceptions.AccessDeniedException):
            press.start_media_analysis_job(**REQUEST)

    @pytest.mark.parametrize("key", ["open/none.jsonl", "secret.jpg"])
    def test_a_manifest_that_cannot_be_read_is_refused(
        self, start: Start, client: Any, key: str
    ) -> None:
        """A manifest that is missing, or not open to the tenant, is refused with S3's error."""
        place = {"S3Object": {"Bucket": "shop", "Name": key}}
        with pytest.raises(
            client.exceptions.InvalidS3ObjectException, match=r"Input\.S3Object: (there|this)"
        ):
            start(CLEAN_LINE, Input=place)

    @pytest.mark.parametrize(
        "body",
        [b"", b"\n", b"{}\n" * (MAX_LINES + 1), b" " * (MAX_MANIFEST_BYTES + 1)],
        ids=["empty", "blank", "lines", "bytes"],
    )
    def test_a_manifest_outside_the_limits_is_refused(
        self, start: Start, client: Any, s3: Any, body: bytes
    ) -> None:
        """A manifest without a line, or with too many lines or bytes, is refused as a whole."""
        s3.put_object(Bucket="shop", Key="open/odd.jsonl", Body=body)
        place = {"S3Object": {"Bucket": "shop", "Name": "open/odd.jsonl"}}
        with pytest.raises(client.exceptions.InvalidManifestException):
            start(CLEAN_LINE, Input=place)

    @pytest.mark.parametrize(
        "members",
        [
            {"OperationsConfig": {}},
            {
                "OperationsConfig": {
                    "DetectModerationLabels": {
                        "ProjectVersion": "arn:aws:rekognition:eu-west-1:123456789012:project/p/"
                        "version/v/1"
                    }
                }
            },
            {"KmsKeyId": "alias/mine"},
            {"JobName": "not a name"},
        ],
        ids=["no operation", "adapter", "key", "name"],
    )
    def test_what_is_not_done_here_is_refused(
        self, start: Start, client: Any, members: dict[str, Any]
    ) -> None:
        """What the gateway cannot do, or the model does not allow, is refused by name."""
        (name,) = members
        with pytest.raises(client.exceptions.InvalidParameterException, match=name):
            start(CLEAN_LINE, **members)

    def test_another_tenants_job_is_not_found(self, start: Start, press: Any) -> None:
        """A job of another tenant, or none, is not found."""
        for job_id in (start(CLEAN_LINE)["JobId"], "none"):
            with pytest.raises(press.exceptions.ResourceNotFoundException):
                press.get_media_analysis_job(JobId=job_id)

    def test_a_native_job_is_not_found(self, client: Any, address: str, http: httpx.Client) -> None:
        """A job that the native API accepted is none of these, alone or in the list."""
        reply = http.post(
            f"{address}/v1/jobs",
            params={"task": "moderation"},
            content=CLEAN,
            headers=NATIVE,
        )
        job_id = reply.json()["id"]
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.get_media_analysis_job(JobId=job_id)
        jobs = client.list_media_analysis_jobs()["MediaAnalysisJobs"]
        assert job_id not in {job["JobId"] for job in jobs}

    def test_a_full_store_of_jobs_refuses_a_job_whole(
        self, tmp_path: Path, config: dict[str, Any], s3: Any, rekognition: Callable[..., Any]
    ) -> None:
        """A job for which there is no room is refused with the vendor's limit, and not accepted in
        part."""
        put_manifest(s3, RED_LINE, CLEAN_LINE)
        with serving(parts_of(tmp_path, {**config, "jobs": {"max_photos": 1}}, moderator())) as url:
            client = rekognition(url, "AKSHOP", "sk-shop")
            with pytest.raises(client.exceptions.LimitExceededException):
                client.start_media_analysis_job(**REQUEST)
            assert client.list_media_analysis_jobs()["MediaAnalysisJobs"] == []


class TestLists:
    def test_the_latest_job_is_first(self, start: Start, client: Any) -> None:
        """The list has the tenant's jobs, the latest first, as their descriptions."""
        ids = [start(CLEAN_LINE)["JobId"] for _ in range(2)]
        ended(client, ids[-1])
        answer = client.list_media_analysis_jobs()
        content_of("ListMediaAnalysisJobs", answer)
        assert [job["JobId"] for job in answer["MediaAnalysisJobs"][:2]] == ids[::-1]
        assert answer["MediaAnalysisJobs"][0]["Status"] == "SUCCEEDED"

    def test_a_list_is_read_in_pages(self, start: Start, client: Any) -> None:
        """Pages of one job are together what one page of all is."""
        for _ in range(2):
            start(CLEAN_LINE)
        whole = [job["JobId"] for job in client.list_media_analysis_jobs()["MediaAnalysisJobs"]]
        page = client.list_media_analysis_jobs(MaxResults=1)
        ids = [job["JobId"] for job in page["MediaAnalysisJobs"]]
        while "NextToken" in page:
            page = client.list_media_analysis_jobs(MaxResults=1, NextToken=page["NextToken"])
            assert len(page["MediaAnalysisJobs"]) <= 1
            ids += [job["JobId"] for job in page["MediaAnalysisJobs"]]
        assert ids == whole

    def test_other_jobs_between_are_passed_over(
        self, start: Start, client: Any, address: str, http: httpx.Client
    ) -> None:
        """However many jobs of the native API lie between two of these, a page has both."""
        ids = [start(CLEAN_LINE)["JobId"]]
        for _ in range(JOBS_AT_ONCE + 1):
            http.post(f"{address}/v1/jobs?task=moderation", content=CLEAN, headers=NATIVE)
        ids.append(start(CLEAN_LINE)["JobId"])
        page = client.list_media_analysis_jobs(MaxResults=2)
        assert [job["JobId"] for job in page["MediaAnalysisJobs"]] == ids[::-1]

    def test_another_tenants_jobs_are_not_listed(self, start: Start, press: Any) -> None:
        """A tenant lists its own jobs only."""
        start(CLEAN_LINE)
        assert press.list_media_analysis_jobs()["MediaAnalysisJobs"] == []

    def test_an_invented_token_is_refused(self, client: Any) -> None:
        """A token that no page had is refused."""
        with pytest.raises(client.exceptions.InvalidPaginationTokenException):
            client.list_media_analysis_jobs(NextToken="next")
