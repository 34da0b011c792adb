"""Calls that clients send again, sent by their SDKs: one run, one bill, one answer."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
import pytest
from azure.ai.vision.imageanalysis import ImageAnalysisClient
from azure.ai.vision.imageanalysis.models import VisualFeatures
from azure.core.credentials import AzureKeyCredential
from azure.core.pipeline import PipelineRequest
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
from botocore.exceptions import ClientError

from gateway.api.idempotency import CallRegistry, RunPace
from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider
from gateway.testing.redis_server import RedisServer
from providers.base import Provider
from providers.errors import Misconfigured, NoAnswer
from tests.support.waiting import ThreadGate, block_until

PHOTO = encoded(drawn((200, 200), Block("red", 40, 40, 160, 160)), "JPEG")
OTHER = encoded(drawn((200, 200), Block("blue", 40, 40, 160, 160)), "JPEG")
ROUTE = {"task": "objects", "provider": "eye", "stages": [{"shape": "1x1"}], "deadline_ms": 60_000}
PATIENT = {**ROUTE, "stages": [{"shape": "2x2"}], "max_wait_ms": 50_000}
TENANTS = [
    {
        "name": name,
        "keys": [
            {"dialect": "rekognition", "access_key": f"AK{name}", "secret_key": "secret"},
            {"dialect": "azure", "key": f"az-{name}"},
            {"dialect": "native", "key": f"key-{name}"},
        ],
    }
    for name in ("shop", "press")
]
OBJECTS = [VisualFeatures.OBJECTS]


@pytest.fixture
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """`serve(provider, **config)`: the address of a gateway with tenants before that provider."""
    with ExitStack() as stack:

        def start(provider: Provider, grace_s: float = 30.0, **config: Any) -> str:
            content = {
                "providers": {"eye": {"kind": "shapes"}},
                "routes": [ROUTE],
                "tenants": TENANTS,
                **config,
            }
            parts = parts_of(tmp_path_factory.mktemp("gateway"), content, {"eye": provider})
            parts = replace(
                parts,
                calls=CallRegistry(parts.stores.replies, parts.events, RunPace(grace_s=grace_s)),
            )
            return stack.enter_context(serving(parts))

        yield start


@pytest.fixture
def aws() -> Iterator[Callable[..., Any]]:
    """`aws(address, on_send, **config)`: boto3's client, which calls `on_send` with each try's
    request and number."""
    with ExitStack() as stack:

        def client(
            address: str,
            on_send: Callable[[AWSPreparedRequest, int], object] = lambda *_: None,
            *,
            name: str = "shop",
            **config: Any,
        ) -> Any:
            sdk_client = boto3.client(
                "rekognition",
                endpoint_url=address,
                region_name="eu-west-1",
                aws_access_key_id=f"AK{name}",
                aws_secret_access_key="secret",
                config=Config(**config),
            )
            stack.callback(sdk_client.close)
            try_numbers = iter(range(1, 100))
            sdk_client.meta.events.register(
                "before-send.rekognition.*",
                lambda request, **_: on_send(request, next(try_numbers)),
            )
            return sdk_client

        yield client


@pytest.fixture
def azure() -> Iterator[Callable[..., ImageAnalysisClient]]:
    with ExitStack() as stack:

        def client(address: str, key: str = "az-shop", **options: Any) -> ImageAnalysisClient:
            sdk_client = ImageAnalysisClient(
                address, AzureKeyCredential(key), retry_backoff_factor=0.01, **options
            )
            return stack.enter_context(sdk_client)

        yield client


def names(answer: dict[str, Any]) -> list[str]:
    return [label["Name"] for label in answer["Labels"]]


def metric(address: str, name: str) -> float:
    """The sum of a metric's samples."""
    lines = httpx.get(f"{address}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def test_a_call_after_a_read_timeout_joins_the_first_run(
    serve: Callable[..., str], aws: Callable[..., Any]
) -> None:
    """boto3 sends a call again whose read times out; the second try joins the first run, and one
    image is billed."""
    gate = ThreadGate()
    provider = ScriptedProvider(gate=gate)
    address = serve(provider)
    client = aws(address, lambda _, number: gate.set() if number == 2 else None, read_timeout=0.5)
    answer = client.detect_labels(Image={"Bytes": PHOTO})
    assert (names(answer), answer["ResponseMetadata"]["RetryAttempts"]) == (["red"], 1)
    assert provider.calls == 1
    assert (
        metric(address, "imgrid_billed_images_total")
        == metric(address, "imgrid_repeated_calls_total")
        == 1
    )
    assert metric(address, "imgrid_clients_left_total") == 0


def test_an_answer_that_nobody_waited_for_is_stored(
    serve: Callable[..., str], aws: Callable[..., Any]
) -> None:
    """A call whose answer came while nobody waited gets the stored answer, by the same id; another
    call does not."""
    gate = ThreadGate()
    provider = ScriptedProvider(gate=gate)
    address = serve(provider)

    def send(request: AWSPreparedRequest, number: int) -> None:
        if number == 2:
            gate.set()
            block_until(lambda: metric(address, "imgrid_photos_total") == 1)

    client = aws(address, send, read_timeout=0.5)
    assert names(client.detect_labels(Image={"Bytes": PHOTO})) == ["red"]
    assert provider.calls == 1
    assert names(client.detect_labels(Image={"Bytes": OTHER})) == ["blue"]
    assert provider.calls == 2


def test_an_unbilled_failure_is_run_again(
    serve: Callable[..., str], aws: Callable[..., Any]
) -> None:
    """After a failure that nobody was billed for, boto3's next try has a run of its own."""
    provider = ScriptedProvider(errors=[Misconfigured("no such region")])
    answer = aws(serve(provider)).detect_labels(Image={"Bytes": PHOTO})
    assert (names(answer), answer["ResponseMetadata"]["RetryAttempts"]) == (["red"], 1)
    assert provider.calls == 2


def test_a_failure_that_may_be_billed_is_not_run_again(
    serve: Callable[..., str], aws: Callable[..., Any]
) -> None:
    """If a call may have been billed and must not be repeated, boto3's tries do not repeat it
    either."""
    provider = ScriptedProvider(errors=repeat(NoAnswer("cut off")))
    client = aws(serve(provider, billed_unknown="fail"))
    with pytest.raises(ClientError) as exc_info:
        client.detect_labels(Image={"Bytes": PHOTO})
    assert exc_info.value.response["ResponseMetadata"]["RetryAttempts"] == 2
    assert provider.calls == 1


def test_a_replayed_signed_request_gets_the_first_answer(
    serve: Callable[..., str], aws: Callable[..., Any]
) -> None:
    """A signed request that somebody sends once more is answered from the first run, whatever
    unsigned headers it has."""
    provider, requests = ScriptedProvider(), []
    address = serve(provider)
    first = aws(address, lambda request, _: requests.append(request)).detect_labels(
        Image={"Bytes": PHOTO}
    )
    (request,) = requests
    signed = {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in request.headers.items()
    }
    spaced = signed["Authorization"].replace("SHA256 ", "SHA256  ")
    for unsigned_headers in (
        {"amz-sdk-invocation-id": "another"},
        {"X-Imgrid-Deadline-Ms": "500"},
        {"Authorization": spaced},
    ):
        reply = httpx.post(address, content=request.body, headers={**signed, **unsigned_headers})
        assert reply.json()["Labels"] == first["Labels"]
    assert provider.calls == 1


def test_azures_sdk_runs_an_unbilled_failure_again(
    serve: Callable[..., str], azure: Callable[..., ImageAnalysisClient]
) -> None:
    """After a 500 that nobody was billed for, the next try of Azure's SDK has a run of its own."""
    provider = ScriptedProvider(errors=[ZeroDivisionError("a bug")])
    assert azure(serve(provider)).analyze(PHOTO, OBJECTS).objects.list
    assert provider.calls == 2


def test_azures_sdk_joins_the_first_run_by_id(
    serve: Callable[..., str], azure: Callable[..., ImageAnalysisClient]
) -> None:
    """Azure's SDK, if it is set to try again after a read timeout, joins the first run by its
    request's id."""
    gate, ids = ThreadGate(), []
    provider = ScriptedProvider(gate=gate)
    address = serve(provider)

    def send(request: PipelineRequest[Any]) -> None:
        ids.append(request.http_request.headers["x-ms-client-request-id"])
        if len(ids) == 2:
            gate.set()

    client = azure(address, read_timeout=0.5, raw_request_hook=send)
    answer = client.analyze(PHOTO, OBJECTS, retry_on_methods=["POST"])
    assert [item.tags[0].name for item in answer.objects.list] == ["red"]
    assert (len(ids), len(set(ids)), provider.calls) == (2, 1, 1)
    assert metric(address, "imgrid_repeated_calls_total") == 1


def test_the_same_id_with_another_request_is_another_call(
    serve: Callable[..., str], azure: Callable[..., ImageAnalysisClient]
) -> None:
    """The same id with another photo, other options, or by another tenant, marks another call."""
    provider = ScriptedProvider()
    address = serve(provider)

    def ask(photo: bytes = PHOTO, key: str = "az-shop", **options: Any) -> list[str]:
        client = azure(address, key)
        answer = client.analyze(photo, OBJECTS, headers={"x-ms-client-request-id": "1"}, **options)
        return [item.tags[0].name for item in answer.objects.list]

    assert [ask(), ask(), ask(OTHER), ask(key="az-press"), ask(language="en"), ask()] == [
        ["red"],
        ["red"],
        ["blue"],
        ["red"],
        ["red"],
        ["red"],
    ]
    assert provider.calls == 4


def test_an_idempotency_key_marks_native_tries(serve: Callable[..., str]) -> None:
    """In the native API an Idempotency-Key marks the tries of a call, to the byte; without one each
    try is a call of its own."""
    provider = ScriptedProvider()
    address = serve(provider)

    def ask(tenant: str = "shop", **headers: str) -> httpx.Response:
        headers = {"X-Api-Key": f"key-{tenant}", **headers}
        return httpx.post(f"{address}/v1/detect", content=PHOTO, headers=headers)

    replies = [ask(**{"Idempotency-Key": "k"}) for _ in range(2)]
    assert replies[0].content == replies[1].content
    assert provider.calls == 1
    assert ask("press", **{"Idempotency-Key": "k"}).status_code == 200
    assert [ask().status_code, ask().status_code] == [200, 200]
    assert provider.calls == 4
    assert (
        "Idempotency-Key has 256"
        in ask(**{"Idempotency-Key": "k" * 256}).json()["error"]["message"]
    )


@pytest.mark.parametrize(
    "keep", [{"keep_replies_ms": 0}, {"max_replies_bytes": 0}], ids=lambda keep: next(iter(keep))
)
def test_without_stored_replies_a_later_try_is_billed(
    serve: Callable[..., str], keep: dict[str, int]
) -> None:
    """If no replies are stored, a try that comes after the end is billed again."""
    provider = ScriptedProvider()
    address = serve(provider, limits=keep)
    for _ in range(2):
        headers = {"X-Api-Key": "key-shop", "Idempotency-Key": "k"}
        assert httpx.post(f"{address}/v1/detect", content=PHOTO, headers=headers).status_code == 200
    assert provider.calls == 2


class TestLeaving:
    @staticmethod
    def leave(address: str, photo_count: int = 1) -> None:
        """A client asks with an id of its own and goes away while its photo waits."""
        url = urlsplit(address)
        head = [
            "POST /v1/detect HTTP/1.1",
            "Host: 127.0.0.1",
            "X-Api-Key: key-shop",
            "Idempotency-Key: k",
            f"Content-Length: {len(PHOTO)}",
            "",
            "",
        ]
        with socket.create_connection((url.hostname, url.port)) as raw:
            raw.sendall("\r\n".join(head).encode() + PHOTO)
            block_until(lambda: metric(address, "imgrid_buffer_photos") == photo_count)

    def test_the_photo_of_a_client_that_left_leaves_later(self, serve: Callable[..., str]) -> None:
        """The photo of a client that left and does not come again leaves the buffer a while
        later."""
        address = serve(ScriptedProvider(), grace_s=0.1, routes=[PATIENT])
        self.leave(address)
        block_until(lambda: metric(address, "imgrid_buffer_photos") == 0)
        assert metric(address, "imgrid_clients_left_total") == 1

    def test_a_stopping_gateway_waits_only_briefly(self, tmp_path: Path) -> None:
        """A gateway that is told to stop does not wait long for clients that left."""
        content = {
            "providers": {"eye": {"kind": "shapes"}},
            "routes": [PATIENT],
            "tenants": TENANTS,
        }
        parts = parts_of(tmp_path, content, {"eye": ScriptedProvider()})
        parts = replace(
            parts, calls=CallRegistry(parts.stores.replies, parts.events, RunPace(grace_s=0.2))
        )
        context = serving(parts)
        self.leave(context.__enter__())
        with ThreadPoolExecutor(1) as pool:
            pool.submit(context.__exit__, None, None, None).result(timeout=20)


@pytest.mark.parametrize("opened_at", ["once sent again", "before"])
def test_a_try_at_another_replica_gets_the_first_answer(
    own_server: RedisServer, serve: Callable[..., str], aws: Callable[..., Any], opened_at: str
) -> None:
    """A try that a load balancer sends to another replica is answered from the first run, which is
    under way or done at the first."""
    gate = ThreadGate()
    provider = ScriptedProvider(gate=gate)
    first_address, second_address = (
        serve(provider, tenants=[], redis=own_server.url) for _ in range(2)
    )

    def send(request: AWSPreparedRequest, number: int) -> None:
        if number == 2:
            request.url = request.url.replace(first_address, second_address)
            gate.set()
            if opened_at == "before":
                block_until(
                    lambda: (
                        metric(first_address, "imgrid_photos_total")
                        + metric(second_address, "imgrid_photos_total")
                        == 1
                    )
                )

    answer = aws(first_address, send, read_timeout=2).detect_labels(Image={"Bytes": PHOTO})
    assert (names(answer), provider.calls) == (["red"], 1)
    assert metric(second_address, "imgrid_repeated_calls_total") == 1
    assert httpx.get(f"{second_address}/v1/usage").json()["billed_images"] == 1
