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
from typing import Any

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
    """`replica(**config)`: a client of one more gateway of this Redis. It waits for Redis as long
    as a test does; a `hasty` one as long as a gateway does."""
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


def numbers(answer: httpx.Response) -> int | None:
    """The number on the photo that was answered."""
    found = answer.json()["photos"][0]["detections"]
    return number_on(Detection(one["label"], one["score"], Box(**one["box"])) for one in found)


def test_one_canvas(replica: Callable[..., Any]) -> None:
    """Photos of clients of different replicas share a canvas, and each client has its own
    answer."""
    clients = [replica(), replica()]
    with ThreadPoolExecutor(4) as pool:
        asking = [
            pool.submit(clients[n % 2].post, "/v1/detect", content=encoded(numbered(n)))
            for n in range(4)
        ]
        answers = [asked.result() for asked in asking]
    assert [numbers(answer) for answer in answers] == [0, 1, 2, 3]
    assert len({answer.json()["photos"][0]["trail"][0]["canvas"] for answer in answers}) == 1
    for client in clients:
        usage = client.get("/v1/usage").json()
        assert (usage["photos"], usage["billed_images"]) == (4, 1)


def test_full_grids_only(replica: Callable[..., Any]) -> None:
    """However the photos are spread over four replicas, they fill as few canvases as at one."""
    clients = [replica() for _ in range(4)]
    with ThreadPoolExecutor(48) as pool:
        rng = random.Random(5)
        asking = [
            pool.submit(
                rng.choice(clients).post, "/v1/detect", content=encoded(numbered(number), "JPEG")
            )
            for number in range(48)
        ]
        assert [numbers(asked.result()) for asked in asking] == list(range(48))
    assert clients[0].get("/v1/usage").json()["billed_images"] == 12


DOUBT = {"kind": "imgrid", "area": {"mean": 3}}
"""Never content."""


def test_qualities(replica: Callable[..., Any]) -> None:
    """What a client asks for goes with its photo, whichever replica sees to it; all qualities share
    canvases."""
    route = {**ROUTE, "stages": [{"shape": "2x2", "rule": DOUBT}, {"shape": "1x1"}]}
    clients = [replica(routes=[route]), replica(routes=[route])]
    wanted = ["cheapest", "target", "cheapest", "target"]
    with ThreadPoolExecutor(4) as pool:
        asking = [
            pool.submit(clients[n % 2].post, f"/v1/detect?quality={quality}", content=PHOTO)
            for n, quality in enumerate(wanted)
        ]
        trails = [asked.result().json()["photos"][0]["trail"] for asked in asking]
    assert [[step["shape"] for step in trail] for trail in trails] == [["2x2"], ["2x2", "1x1"]] * 2
    assert len({trail[0]["canvas"] for trail in trails}) == 1


def test_watched(replica: Callable[..., Any]) -> None:
    """Photos are compared with a shared buffer too, and are on its ledger as what they cost and no
    more."""
    clients = [replica(routes=[{**ROUTE, "watch": {"share": 1}}]) for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        asking = [
            pool.submit(clients[n % 2].post, "/v1/detect", content=encoded(numbered(n)))
            for n in range(4)
        ]
        assert [numbers(asked.result()) for asked in asking] == [0, 1, 2, 3]

    def compared() -> float:
        told = [client.get("/v1/routes").json()["routes"][0]["agreement"] for client in clients]
        return sum(each["photos"] for each in told if each)

    block_until(lambda: compared() >= 4)
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
def test_redis_away(replica: Callable[..., Any], own_server: RedisServer, kind: str) -> None:
    """Without Redis every dialect has its own 5xx within two seconds, readiness tells, and all
    comes back by itself."""
    client = replica(hasty=True, routes=[{**ROUTE, "max_wait_ms": 20}])
    assert client.post("/v1/detect", content=PHOTO).status_code == 200
    assert client.get("/readyz").status_code == 200
    with outage(own_server, kind):
        for asked in (native, rekognition):
            with Stopwatch() as watch:
                asked(client)
            assert watch.elapsed_s < 2
        assert client.get("/healthz").status_code == 200
        reply = block_until(lambda: answered_with(client, 503))
        assert "buffer" in reply.json()["problems"]
        assert client.get("/metrics").status_code == 200
    block_until(lambda: answered_with(client, 200))
    assert client.post("/v1/detect", content=PHOTO).status_code == 200


def native(client: httpx.Client) -> None:
    reply = client.post("/v1/detect", content=PHOTO)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "buffer_unavailable")
    assert int(reply.headers["Retry-After"]) >= 1


def rekognition(client: httpx.Client) -> None:
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


def answered_with(client: httpx.Client, status: int) -> httpx.Response | None:
    """What `/readyz` answers, if that is the status."""
    reply = client.get("/readyz")
    return reply if reply.status_code == status else None


@pytest.mark.parametrize("kind", ["paused", "killed"])
def test_waiting_when_redis_goes(
    replica: Callable[..., Any], own_server: RedisServer, kind: str
) -> None:
    """A client whose photo waits when Redis goes away is told within two seconds of it."""
    client = replica(hasty=True)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(client.post, "/v1/detect", content=PHOTO)
        block_until(lambda: "imgrid_buffer_photos 1.0" in client.get("/metrics").text)
        with outage(own_server, kind):
            with Stopwatch() as watch:
                reply = asking.result(timeout=PATIENCE_S)
            assert (reply.status_code, reply.json()["error"]["code"]) == (503, "buffer_unavailable")
            assert watch.elapsed_s < 2.3  # the outage has to be noticed first


@pytest.mark.parametrize("seed", range(2))
async def test_clients_that_leave(replica: Callable[..., Any], seed: int) -> None:
    """However clients break off, every answer reaches the client whose photo it is about."""
    urls = [str(replica(routes=[{**ROUTE, "max_wait_ms": 30}]).base_url) for _ in range(2)]
    rng = random.Random(seed)
    answered = 0

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        nonlocal answered
        url = urls[number % 2]
        reply = await client.post(f"{url}/v1/detect", content=encoded(numbered(number)))
        assert numbers(reply) == number
        answered += 1

    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=100)) as client:
        asking = [asyncio.create_task(ask(client, number)) for number in range(80)]
        for task in rng.sample(asking, 40):
            await asyncio.sleep(rng.uniform(0, 0.02))
            task.cancel()
        ended = await asyncio.gather(*asking, return_exceptions=True)
        assert not [error for error in ended if isinstance(error, Exception)]
        assert answered >= 40
        await ask(client, 1000)


def test_job_anywhere(replica: Callable[..., Any]) -> None:
    """A job that is handed in at one replica is read, followed and found in the list at another."""
    one, two = replica(), replica()
    photos = [("photo", (f"{number}.png", encoded(numbered(number)))) for number in range(4)]
    handed = one.post("/v1/jobs", files=photos, data={"task": "objects"})
    assert handed.status_code == 202
    place = handed.headers["Location"]
    with two.stream("GET", f"{place}/events") as events:
        told = [line for line in events.iter_lines() if line.startswith("data:")]
    assert json.loads(told[-1].removeprefix("data:"))["state"] == "done"
    job = two.get(place).json()
    assert (job["state"], job["settled"], job["billed"]) == ("done", 4, 1)
    assert [each["id"] for each in two.get("/v1/jobs").json()["jobs"]] == [job["id"]]
