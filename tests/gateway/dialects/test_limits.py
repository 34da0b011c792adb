"""A client whose budget is spent, or that asks too fast, learns it in its vendor's own error, and
its SDK does what the vendor's error makes it do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from azure.ai.vision.imageanalysis import ImageAnalysisClient
from azure.ai.vision.imageanalysis.models import VisualFeatures
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError
from botocore.exceptions import ClientError
from google.api_core import exceptions
from google.cloud import vision

from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded
from tests.support.waiting import block_until
from tests.support.webhooks import SECRET, Receiver

PHOTO = encoded(drawn((200, 200), Block("red", 40, 40, 160, 160)), "JPEG")
KEYS = [
    {"dialect": "rekognition", "access_key": "AK", "secret_key": "secret"},
    {"dialect": "azure", "key": "az"},
    {"dialect": "google", "key": "goo"},
    {"dialect": "native", "key": "nat"},
]
SPENT = {"budgets": [{"images": 0.5, "per": "day"}]}
"""No image fits."""
SLOW = {"limits": {"requests_per_s": 0.001}}
"""One request, and then none for long."""


@contextmanager
def gateway(folder: Path, tenant: dict[str, Any], **config: Any) -> Iterator[str]:
    """The address of a gateway with one tenant."""
    content = {
        "providers": {"eye": {"kind": "shapes", "usd_per_image": 0.001}},
        "routes": [{"task": "objects", "provider": "eye", "stages": [{"shape": "1x1"}]}],
        "tenants": [{"name": "shop", "keys": KEYS, **tenant}],
        **config,
    }
    with serving(parts_of(folder, content)) as address:
        yield address


def ask_aws(address: str) -> tuple[str, int]:
    """The code of boto3's error, and how often it asked."""
    sends = 0

    def count(**_: object) -> None:
        nonlocal sends
        sends += 1

    client = boto3.client(
        "rekognition",
        endpoint_url=address,
        region_name="eu-west-1",
        aws_access_key_id="AK",
        aws_secret_access_key="secret",
    )
    client.meta.events.register("before-send.rekognition.*", count)
    try:
        with pytest.raises(ClientError) as refusal:
            client.detect_labels(Image={"Bytes": PHOTO})
    finally:
        client.close()
    return refusal.value.response["Error"]["Code"], sends


def ask_azure(address: str) -> tuple[int, int]:
    """The status of the SDK's error, and how often it asked."""
    sends = 0

    def count(_: object) -> None:
        nonlocal sends
        sends += 1

    with (
        ImageAnalysisClient(address, AzureKeyCredential("az"), raw_request_hook=count) as client,
        pytest.raises(HttpResponseError) as refusal,
    ):
        client.analyze(PHOTO, [VisualFeatures.OBJECTS])
    return refusal.value.status_code or 0, sends


def google_client(address: str) -> vision.ImageAnnotatorClient:
    options = {"api_endpoint": address, "api_key": "goo"}
    return vision.ImageAnnotatorClient(transport="rest", client_options=options)


def ask_native(address: str) -> httpx.Response:
    return httpx.post(f"{address}/v1/detect", content=PHOTO, headers={"X-Api-Key": "nat"})


class TestBudgets:
    def test_boto3_gets_an_exceeded_quota_and_asks_once(self, tmp_path: Path) -> None:
        """It is no throttling, which boto3 would repeat."""
        with gateway(tmp_path, SPENT) as address:
            assert ask_aws(address) == ("ServiceQuotaExceededException", 1)

    def test_azures_sdk_gets_the_error_of_used_up_calls_and_asks_once(self, tmp_path: Path) -> None:
        """It is 403 as for an account whose free calls are used up."""
        with gateway(tmp_path, SPENT) as address:
            assert ask_azure(address) == (403, 1)

    def test_googles_sdk_gets_too_many_requests(self, tmp_path: Path) -> None:
        """A photo that finds no room has the error among the answers; a request after it is
        refused as a whole."""
        with gateway(tmp_path, SPENT) as address, google_client(address) as client:
            image = vision.Image(content=PHOTO)
            answer = client.object_localization(image=image)
            assert answer.error.code == 8
            assert "0.5 images a day is spent" in answer.error.message
            with pytest.raises(exceptions.TooManyRequests):
                client.object_localization(image=image)

    def test_a_native_client_learns_when_the_budget_begins_anew(self, tmp_path: Path) -> None:
        """The message says at what time. There is no Retry-After, by which some SDKs would sleep
        until then."""
        with gateway(tmp_path, SPENT) as address:
            reply = ask_native(address)
        assert reply.status_code == 429
        assert reply.json()["error"]["code"] == "budget_exhausted"
        assert "It begins anew at" in reply.json()["error"]["message"]
        assert "Retry-After" not in reply.headers
        assert reply.headers["X-Imgrid-Billed"] == "0"

    def test_a_job_is_refused_while_its_budget_is_spent(self, tmp_path: Path) -> None:
        """A job that would find no room is refused before it is accepted."""
        with gateway(tmp_path, SPENT) as address:
            ask_native(address)
            headers = {"X-Api-Key": "nat"}
            body = {"photos": [{"url": "https://shop.example/1.jpg"}]}
            reply = httpx.post(f"{address}/v1/jobs", json=body, headers=headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (429, "budget_exhausted")

    def test_a_budget_of_one_key_leaves_the_others(self, tmp_path: Path) -> None:
        """What one key may cost limits nobody else of the tenant."""
        budget = {"images": 0.5, "key": "AK"}
        with gateway(tmp_path, {"budgets": [budget]}) as address:
            assert ask_aws(address)[0] == "ServiceQuotaExceededException"
            assert ask_native(address).status_code == 200

    def test_a_threshold_is_told_by_webhook(self, tmp_path: Path) -> None:
        """The tenant's webhook gets a signed notice, once."""
        with listening() as receiver:
            tenant = {
                "budgets": [{"usd": 0.002, "tell_at": [50]}],
                "webhook": {"url": receiver.url, "secrets": [SECRET]},
            }
            with gateway(tmp_path, tenant, fetch={"allow": ["127.0.0.0/8"]}) as address:
                assert ask_native(address).status_code == 200
                block_until(lambda: bool(receiver.messages))
        ((message_id, message),) = receiver.messages
        assert message_id.startswith("budget_")
        assert (message["type"], message["spent"], message["limit"]) == (
            "budget.reached",
            0.001,
            0.002,
        )


class TestRates:
    def test_each_sdk_is_throttled_in_its_vendors_way(self, tmp_path: Path) -> None:
        """Beyond its rate a tenant is throttled, whichever of its keys it shows."""
        with gateway(tmp_path, SLOW) as address:
            assert ask_native(address).status_code == 200
            reply = ask_native(address)
            assert (reply.status_code, reply.json()["error"]["code"]) == (429, "rate_limited")
            assert 990 < int(reply.headers["Retry-After"]) <= 1000
            with google_client(address) as client, pytest.raises(exceptions.TooManyRequests):
                client.object_localization(image=vision.Image(content=PHOTO))

    def test_a_rate_of_keys_leaves_the_others(self, tmp_path: Path) -> None:
        """A key that asks too fast slows no other down."""
        limits = {"key_requests_per_s": 0.001}
        with gateway(tmp_path, {"limits": limits}) as address:
            assert ask_native(address).status_code == 200
            assert ask_native(address).status_code == 429
            with google_client(address) as client:
                answer = client.object_localization(image=vision.Image(content=PHOTO))
            assert answer.localized_object_annotations

    def test_photos_have_a_rate_of_their_own(self, tmp_path: Path) -> None:
        """Each photo of a request counts."""
        limits = {"photos_per_s": 0.001, "burst_s": 3000.0}
        with gateway(tmp_path, {"limits": limits}) as address:
            files = [("photo", (str(n), PHOTO)) for n in range(3)]
            headers = {"X-Api-Key": "nat"}
            assert httpx.post(f"{address}/v1/detect", files=files, headers=headers).is_success
            assert ask_native(address).status_code == 429


@contextmanager
def listening() -> Iterator[Receiver]:
    """A receiver of webhooks, in a thread of its own."""
    receiver, loop = Receiver(), asyncio.new_event_loop()
    is_ready, is_over = threading.Event(), asyncio.Event()

    async def listen() -> None:
        async with receiver.listening():
            is_ready.set()
            await is_over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(listen(),))
    thread.start()
    is_ready.wait()
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(is_over.set)
        thread.join()
        loop.close()


class TestQuotes:
    def test_a_dry_run_gives_the_price_and_asks_nobody(self, tmp_path: Path) -> None:
        """`dry_run` answers what a job would cost: in JSON, and in a query."""
        with gateway(tmp_path, {}) as address:
            headers = {"X-Api-Key": "nat"}
            photos = [{"url": f"https://shop.example/{n}.jpg"} for n in range(40)]
            quote = httpx.post(
                f"{address}/v1/jobs", json={"photos": photos, "dry_run": True}, headers=headers
            )
            assert (quote.status_code, quote.json()) == (
                200,
                {"photos": 40, "least_usd": 0.04, "most_usd": 0.04, "alone_usd": 0.04},
            )
            reply = httpx.post(
                f"{address}/v1/jobs", content=PHOTO, params={"dry_run": "true"}, headers=headers
            )
            assert reply.json()["alone_usd"] == 0.001
            assert httpx.get(f"{address}/v1/jobs", headers=headers).json()["jobs"] == []
            assert httpx.get(f"{address}/v1/usage", headers=headers).json()["photos"] == 0
