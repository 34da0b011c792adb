"""Several gateways and one Redis: they fill canvases together, answer their own clients, and
outlive its failures."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from redis import Redis

from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded, number_on, numbered
from gateway.testing.redis_server import RedisServer
from providers.detection import Box, Detection
from tests.support.otlp import collector
from tests.support.redis import patient_url
from tests.support.waiting import PATIENCE_S, Stopwatch, block_until

ROUTE = {
    "task": "objects",
    "provider": "eye",
    "stages": [{"shape": "2x2"}],
    "max_wait_ms": 50_000,
    "deadline_ms": 100_000,
}
PHOTO = encoded(drawn((200, 200), Block("red", 40, 40, 160, 160)))


@pytest.fixture
def replica(tmp_path: Path, own_server: RedisServer) -> Iterator[Callable[..., httpx.Client]]:
    """`replica(**config)` is a client of one more gateway of this Redis, which waits for Redis as
    long as a test does, or as long as a gateway does where it is `hasty`."""
    with ExitStack() as stack:

        def start(hasty: bool = False, **changes: object) -> httpx.Client:
            folder = tmp_path / f"replica-{time.monotonic_ns()}"
            folder.mkdir()
            content = {
                "providers": {"eye": {"kind": "shapes", "canvas": "640x640"}},
                "routes": [ROUTE],
                "redis": own_server.url if hasty else patient_url(own_server),
                **changes,
            }
            parts = parts_of(folder, content)
            if not hasty:
                parts.stores.buffer.replica.commands.command_s = PATIENCE_S
            address = stack.enter_context(serving(parts))
            return stack.enter_context(httpx.Client(base_url=address, timeout=60))

        yield start


def number_answered(reply: httpx.Response) -> int | None:
    """The number on the photo that was answered."""
    detections = reply.json()["photos"][0]["detections"]
    return number_on(Detection(one["label"], one["score"], Box(**one["box"])) for one in detections)


def test_clients_of_two_replicas_share_a_canvas(replica: Callable[..., httpx.Client]) -> None:
    """Photos of clients of different replicas share a canvas, and each client has its own
    answer."""
    clients = [replica(), replica()]
    with ThreadPoolExecutor(4) as pool:
        calls = [
            pool.submit(clients[n % 2].post, "/v1/detect", content=encoded(numbered(n)))
            for n in range(4)
        ]
        answers = [call.result() for call in calls]
    assert [number_answered(answer) for answer in answers] == [0, 1, 2, 3]
    assert len({answer.json()["photos"][0]["trail"][0]["canvas"] for answer in answers}) == 1
    for client in clients:
        usage = client.get("/v1/usage").json()
        assert (usage["photos"], usage["billed_images"]) == (4, 1)


def test_a_canvas_is_linked_to_photos_of_two_replicas(
    replica: Callable[..., httpx.Client],
) -> None:
    """Each photo's trace has the request's span of its own replica, and the photo's and its
    question's from the replica that asked about it."""
    traces = {name: digit * 32 for name, digit in (("one", "1"), ("two", "2"))}
    with collector() as spans, ExitStack() as stack:
        clients = {
            name: replica(
                routes=[{**ROUTE, "stages": [{"shape": "2x1"}]}],
                tracing={"endpoint": spans.url, "service_name": name},
            )
            for name in traces
        }
        pool = stack.enter_context(ThreadPoolExecutor(2))
        calls = [
            pool.submit(
                clients[name].post,
                "/v1/detect",
                content=PHOTO,
                headers={"traceparent": f"00-{trace_id}-{'3' * 16}-01"},
            )
            for name, trace_id in traces.items()
        ]
        assert [call.result().status_code for call in calls] == [200, 200]
        block_until(lambda: len(spans.named("POST /v1/detect")) == 2)
        block_until(lambda: len(spans.named("photo")) == 2)
        requests, photos = spans.named("POST /v1/detect"), spans.named("photo")
        assert {span.service: span.trace_id for span in requests} == traces
        assert {span.parent_id for span in photos} == {span.span_id for span in requests}
        assert spans.one("canvas").links == {photo.link for photo in photos}
        assert len({span.service for span in photos}) == 1


def test_four_replicas_fill_as_few_canvases_as_one(replica: Callable[..., httpx.Client]) -> None:
    """Photos that are spread over four replicas fill as few canvases as at one."""
    clients = [replica() for _ in range(4)]
    with ThreadPoolExecutor(48) as pool:
        rng = random.Random(5)
        calls = [
            pool.submit(
                rng.choice(clients).post, "/v1/detect", content=encoded(numbered(number), "JPEG")
            )
            for number in range(48)
        ]
        assert [number_answered(call.result()) for call in calls] == list(range(48))
    assert clients[0].get("/v1/usage").json()["billed_images"] == 12


DOUBT = {"kind": "imgrid", "area": {"mean": 3}}
"""A rule that accepts no answer."""


def test_a_photos_quality_follows_it_to_any_replica(replica: Callable[..., httpx.Client]) -> None:
    """The quality that a client requests goes with its photo to any replica, and all qualities
    share canvases."""
    route = {**ROUTE, "stages": [{"shape": "2x2", "rule": DOUBT}, {"shape": "1x1"}]}
    clients = [replica(routes=[route]), replica(routes=[route])]
    qualities = ["cheapest", "target", "cheapest", "target"]
    with ThreadPoolExecutor(4) as pool:
        calls = [
            pool.submit(clients[n % 2].post, f"/v1/detect?quality={quality}", content=PHOTO)
            for n, quality in enumerate(qualities)
        ]
        trails = [call.result().json()["photos"][0]["trail"] for call in calls]
    assert [[step["shape"] for step in trail] for trail in trails] == [["2x2"], ["2x2", "1x1"]] * 2
    assert len({trail[0]["canvas"] for trail in trails}) == 1


def test_compared_photos_are_on_the_ledger_once(replica: Callable[..., httpx.Client]) -> None:
    """Photos are compared with a shared buffer too, and are on its ledger at what they cost and
    no more."""
    clients = [replica(routes=[{**ROUTE, "watch": {"share": 1}}]) for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        calls = [
            pool.submit(clients[n % 2].post, "/v1/detect", content=encoded(numbered(n)))
            for n in range(4)
        ]
        assert [number_answered(call.result()) for call in calls] == [0, 1, 2, 3]

    def photos_compared() -> float:
        agreements = [
            client.get("/v1/routes").json()["routes"][0]["agreement"] for client in clients
        ]
        return sum(agreement["photos"] for agreement in agreements if agreement)

    block_until(lambda: photos_compared() >= 4)
    usage = clients[0].get("/v1/usage").json()
    assert (usage["photos"], usage["answered"], usage["billed_images"]) == (4, 4, 5)


@contextmanager
def outage(server: RedisServer, kind: str) -> Iterator[None]:
    """Redis paused, full, or killed and then started empty."""
    if kind == "full":
        with closing(Redis(port=server.port)) as redis:
            redis.config_set("maxmemory", 1)
            yield
            redis.config_set("maxmemory", 0)
        return
    server.signal(signal.SIGSTOP if kind == "paused" else signal.SIGKILL)
    yield
    if kind == "paused":
        server.signal(signal.SIGCONT)
    else:
        server.start()


@pytest.mark.parametrize("kind", ["paused", "killed", "full"])
def test_every_dialect_fails_soon_while_redis_is_away(
    replica: Callable[..., httpx.Client], own_server: RedisServer, kind: str
) -> None:
    """Without Redis every dialect has its own 5xx within two seconds, readiness reports it, and all
    recovers by itself."""
    client = replica(hasty=True, routes=[{**ROUTE, "max_wait_ms": 20}])
    assert client.post("/v1/detect", content=PHOTO).status_code == 200
    assert client.get("/readyz").status_code == 200
    with outage(own_server, kind):
        for assert_error in (assert_native_error, assert_rekognition_error):
            with Stopwatch() as watch:
                assert_error(client)
            assert watch.elapsed_s < 2
        assert client.get("/healthz").status_code == 200
        reply = block_until(lambda: readiness_with(client, 503))
        assert "buffer" in reply.json()["problems"]
        assert client.get("/metrics").status_code == 200
    block_until(lambda: readiness_with(client, 200))
    reply = client.post("/v1/detect", content=PHOTO)
    assert reply.status_code == 200, reply.text


def assert_native_error(client: httpx.Client) -> None:
    """The native API answers 503 and says when to come back."""
    reply = client.post("/v1/detect", content=PHOTO)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "buffer_unavailable")
    assert int(reply.headers["Retry-After"]) >= 1


def assert_rekognition_error(client: httpx.Client) -> None:
    """Amazon's SDK is answered with its own internal error."""
    once = Config(retries={"total_max_attempts": 1})
    sdk = boto3.client(
        "rekognition",
        "us-east-1",
        endpoint_url=str(client.base_url),
        config=once,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    with pytest.raises(ClientError) as raised:
        sdk.detect_labels(Image={"Bytes": PHOTO})
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert raised.value.response["Error"]["Code"] == "InternalServerError"
    sdk.close()


def readiness_with(client: httpx.Client, status: int) -> httpx.Response | None:
    """The reply of `/readyz`, if it has that status."""
    reply = client.get("/readyz")
    return reply if reply.status_code == status else None


@pytest.mark.parametrize("kind", ["paused", "killed"])
def test_a_waiting_client_fails_soon_when_redis_goes(
    replica: Callable[..., httpx.Client], own_server: RedisServer, kind: str
) -> None:
    """A client whose photo waits when Redis goes away is answered with an error within two
    seconds."""
    client = replica(hasty=True)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.post, "/v1/detect", content=PHOTO)
        block_until(lambda: "imgrid_buffer_photos 1.0" in client.get("/metrics").text)
        with outage(own_server, kind):
            with Stopwatch() as watch:
                reply = call.result(timeout=PATIENCE_S)
            assert (reply.status_code, reply.json()["error"]["code"]) == (503, "buffer_unavailable")
            assert watch.elapsed_s < 2.3  # the outage has to be noticed first


@pytest.mark.parametrize("seed", range(2))
async def test_answers_reach_their_own_clients_when_others_leave(
    replica: Callable[..., httpx.Client], seed: int
) -> None:
    """Every answer reaches the client whose photo it is about, however other clients break off."""
    urls = [str(replica(routes=[{**ROUTE, "max_wait_ms": 30}]).base_url) for _ in range(2)]
    rng = random.Random(seed)
    answered = 0

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        nonlocal answered
        url = urls[number % 2]
        reply = await client.post(f"{url}/v1/detect", content=encoded(numbered(number)))
        assert number_answered(reply) == number
        answered += 1

    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=100)) as client:
        calls = [asyncio.create_task(ask(client, number)) for number in range(80)]
        for task in rng.sample(calls, 40):
            await asyncio.sleep(rng.uniform(0, 0.02))
            task.cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert not [error for error in results if isinstance(error, Exception)]
        assert answered >= 40
        await ask(client, 1000)


def test_a_job_is_served_at_any_replica(replica: Callable[..., httpx.Client]) -> None:
    """A job that is submitted at one replica is read, followed and listed at another."""
    first, second = replica(), replica()
    photos = [("photo", (f"{number}.png", encoded(numbered(number)))) for number in range(4)]
    reply = first.post("/v1/jobs", files=photos, data={"task": "objects"})
    assert reply.status_code == 202
    location = reply.headers["Location"]
    with second.stream("GET", f"{location}/events") as events:
        events_data = [line for line in events.iter_lines() if line.startswith("data:")]
    assert json.loads(events_data[-1].removeprefix("data:"))["state"] == "done"
    job = second.get(location).json()
    assert (job["state"], job["settled"], job["billed"]) == ("done", 4, 1)
    assert [entry["id"] for entry in second.get("/v1/jobs").json()["jobs"]] == [job["id"]]


def test_replicas_share_cached_answers(replica: Callable[..., httpx.Client]) -> None:
    """What one replica was answered the others need not ask about."""
    route = {**ROUTE, "stages": [{"shape": "1x1"}], "cache": {}}
    clients = [replica(routes=[route]) for _ in range(3)]
    bills = [
        client.post("/v1/detect", content=PHOTO).headers["x-imgrid-billed"] for client in clients
    ]
    assert bills == ["1", "0", "0"]
    usage = clients[0].get("/v1/usage").json()
    assert (usage["photos"], usage["answered"], usage["billed_images"]) == (3, 3, 1)


def test_simultaneous_equal_photos_of_replicas_are_asked_about_once(
    replica: Callable[..., httpx.Client],
) -> None:
    """Equal photos that come to different replicas at the same time are asked about once, and
    another pair of photos beside them too."""
    route = {**ROUTE, "stages": [{"shape": "2x1"}], "cache": {}}
    clients = [replica(routes=[route]), replica(routes=[route])]
    files = [encoded(numbered(number)) for number in (1, 2)]
    with ThreadPoolExecutor(8) as pool:
        calls = [
            pool.submit(clients[n % 2].post, "/v1/detect", content=files[n // 2 % 2])
            for n in range(8)
        ]
        answers = [call.result() for call in calls]
    assert [number_answered(answer) for answer in answers] == [1, 1, 2, 2] * 2
    assert clients[0].get("/v1/usage").json()["billed_images"] == 1


def test_a_killed_replicas_photo_keeps_nobody_waiting(
    tmp_path: Path, replica: Callable[..., httpx.Client]
) -> None:
    """An equal photo of another client is answered though the first client has gone."""
    route = {**ROUTE, "stages": [{"shape": "2x1"}], "cache": {}, "max_wait_ms": 30_000}
    clients = [replica(routes=[route]), replica(routes=[route])]
    with pytest.raises(httpx.ReadTimeout):
        clients[0].post("/v1/detect", content=PHOTO, timeout=1)
    with ThreadPoolExecutor(2) as pool:
        same = pool.submit(clients[1].post, "/v1/detect", content=PHOTO)
        other = pool.submit(clients[1].post, "/v1/detect", content=encoded(numbered(5)))
        assert len(same.result().json()["photos"][0]["detections"]) == 1
        assert number_answered(other.result()) == 5
