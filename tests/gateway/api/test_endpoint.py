"""The gateway as a server: limits, clients that leave, open paths, the operator's view, and the
stop."""

from __future__ import annotations

import asyncio
import base64
import gc
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.types import Message

from gateway.api.intake import ClientLeft, Intake
from gateway.api.resources import dashboard, documentation
from gateway.api.resources.health import ReadinessProbe
from gateway.api.resources.not_found import AwsPathRoute
from gateway.app import create_app
from gateway.core.errors import Busy, TooSlow
from gateway.core.exchange import Incoming
from gateway.store.buffer import Capacity
from gateway.store.memory.buffer import MemoryBuffer
from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider, about
from providers.base import Provider
from providers.call_limits import BreakerOptions, CallLimits
from providers.errors import Misconfigured, Unavailable
from tests.support.waiting import block_until, wait_until

PHOTO = encoded(drawn((200, 200), Block("red", 40, 40, 160, 160)))
ROUTE = {"task": "objects", "provider": "eye", "stages": [{"shape": "1x1"}]}
PATIENT = {**ROUTE, "stages": [{"shape": "2x2"}], "max_wait_ms": 60_000, "deadline_ms": 120_000}
TENANTS = [
    {"name": "shop", "keys": [{"dialect": "native", "key": "key-shop"}]},
    {"name": "press", "keys": [{"dialect": "native", "key": "key-press"}]},
]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., httpx.Client]]:
    """`serve(fake, eye=settings, **config)`: a client of a gateway with one provider, a fake or a
    configured one."""
    with ExitStack() as stack:

        def start(
            fake: Provider | None = None, eye: dict[str, Any] | None = None, **config: Any
        ) -> httpx.Client:
            content = {"providers": {"eye": eye or {"kind": "shapes"}}, "routes": [ROUTE], **config}
            address = stack.enter_context(
                serving(parts_of(tmp_path, content, {"eye": fake} if fake else None))
            )
            return stack.enter_context(httpx.Client(base_url=address, timeout=30))

        yield start


def metrics(client: httpx.Client) -> dict[tuple[Any, ...], float]:
    """The samples of the metrics, by name and labels."""
    reply = client.get("/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def only_route(client: httpx.Client, headers: dict[str, str]) -> dict[str, Any]:
    (route,) = client.get("/v1/routes", headers=headers).json()["routes"]
    return route


def wait_until_held(client: httpx.Client, photos: int) -> None:
    """Returns once the gateway holds so many photos."""
    block_until(lambda: metrics(client)[("imgrid_buffer_photos",)] == photos)


class TestLimits:
    @pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
    def test_a_too_large_body_is_413_natively(
        self, serve: Callable[..., httpx.Client], chunked: bool
    ) -> None:
        """A body over the limit is refused in the dialect's form, whether or not its length was
        declared."""
        client = serve(limits={"max_request_bytes": 1000})
        body = bytes(1001)
        reply = client.post("/v1/detect", content=iter([body]) if chunked else body)
        assert reply.status_code == 413
        assert reply.json()["error"]["code"] == "photo_too_large"
        assert "max_request_bytes" in reply.json()["error"]["message"]

    @pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
    def test_a_too_large_body_is_an_image_too_large_exception(
        self, serve: Callable[..., httpx.Client], chunked: bool
    ) -> None:
        """For an AWS SDK a body over the limit is its ImageTooLargeException."""
        client = serve(limits={"max_request_bytes": 1000})
        body = bytes(1001)
        reply = client.post("/", content=iter([body]) if chunked else body)
        assert (reply.status_code, reply.json()["__type"]) == (400, "ImageTooLargeException")

    @pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
    def test_a_too_large_body_is_an_azure_invalid_request(
        self, serve: Callable[..., httpx.Client], chunked: bool
    ) -> None:
        """For an Azure SDK a body over the limit is an InvalidRequest, whose JSON it can read."""
        client = serve(limits={"max_request_bytes": 1000})
        body = bytes(1001)
        reply = client.post(
            "/computervision/imageanalysis:analyze", content=iter([body]) if chunked else body
        )
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "InvalidRequest")
        assert reply.headers["Content-Type"].startswith("application/json")

    def test_a_body_of_just_the_limit_is_accepted(self, serve: Callable[..., httpx.Client]) -> None:
        """A body of just the limit is accepted."""
        assert (
            serve(limits={"max_request_bytes": len(PHOTO)})
            .post("/v1/detect", content=PHOTO)
            .status_code
            == 200
        )

    def test_a_photo_over_the_gateways_own_limits_is_refused(
        self, serve: Callable[..., httpx.Client]
    ) -> None:
        """A photo over this gateway's own limits is refused, though the request is not."""
        client = serve(limits={"max_photo_pixels": 39_999})
        reply = client.post("/v1/detect", content=PHOTO)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_dimensions")
        reply = serve(limits={"max_photo_bytes": 10}).post("/v1/detect", content=PHOTO)
        assert (reply.status_code, reply.json()["error"]["code"]) == (413, "photo_too_large")


@pytest.mark.parametrize(
    "headers", [{}, {"Idempotency-Key": "one"}], ids=["once", "may come again"]
)
def test_bodies_are_not_held_while_photos_wait(
    serve: Callable[..., httpx.Client], headers: dict[str, str]
) -> None:
    """While its photos wait, a request's body is not held beside them."""
    client = serve(routes=[{**PATIENT, "max_wait_ms": 500}])
    content = base64.b64encode(PHOTO)
    body = {"photos": [{"content": content.decode()}]}
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(client.post, "/v1/detect", json=body, headers=headers)
        wait_until_held(client, 1)
        requests = [each for each in gc.get_objects() if isinstance(each, Incoming)]
        assert not [each for each in requests if content in (each.body or b"")]
        assert answer.result().status_code == 200


class TestLeaving:
    def test_a_waiting_client_that_leaves_frees_its_place(
        self, serve: Callable[..., httpx.Client]
    ) -> None:
        """A client that disconnects while its photo waits frees its place at once."""
        client = serve(routes=[PATIENT])
        url = urlsplit(str(client.base_url))
        with socket.create_connection((url.hostname, url.port)) as raw:
            length = f"Content-Length: {len(PHOTO)}"
            head = f"POST /v1/detect HTTP/1.1\r\nHost: 127.0.0.1\r\n{length}\r\n\r\n"
            raw.sendall(head.encode() + PHOTO)
            wait_until_held(client, 1)
        wait_until_held(client, 0)
        samples = metrics(client)
        assert samples[("imgrid_clients_left_total",)] == 1
        assert samples[("imgrid_buffer_bytes",)] == 0

    async def test_a_client_that_leaves_within_its_body_is_no_failure(self) -> None:
        """A client that disconnects before the end of its request has left; that is not a failure
        of the gateway."""
        messages = iter(
            [
                {"type": "http.request", "body": b"half", "more_body": True},
                {"type": "http.disconnect"},
            ]
        )

        async def receive() -> Message:
            return next(messages)

        intake = Intake(100, 100, 60)
        with pytest.raises(ClientLeft):
            await intake.read(Request({"type": "http", "headers": []}, receive))
        assert intake.quota.used_bytes == 0


class TestIntake:
    @staticmethod
    def request(*parts: bytes, is_endless: bool = False) -> Request:
        """A request whose body comes in these parts; an endless one never ends."""
        part_messages = [
            {"type": "http.request", "body": part, "more_body": True} for part in parts
        ]
        end = [] if is_endless else [{"type": "http.request", "body": b"", "more_body": False}]
        messages = iter([*part_messages, *end])

        async def receive() -> Message:
            message = next(messages, None)
            return message or await asyncio.Event().wait()

        return Request({"type": "http", "headers": []}, receive)

    async def test_a_body_is_joined_from_its_parts(self) -> None:
        """A body is joined from its parts."""
        assert await Intake(10, 10, 60).read(self.request(b"ab", b"cd")) == b"abcd"

    async def test_a_body_that_does_not_end_in_time_is_refused(self) -> None:
        """A body that does not end in time is refused."""
        intake = Intake(10, 10, 0.01)
        with pytest.raises(TooSlow):
            await intake.read(self.request(b"ab", is_endless=True))
        assert intake.quota.used_bytes == 0

    async def test_bodies_share_a_quota_of_bytes(self) -> None:
        """Bodies share a quota: one that would exceed it is refused until another is done."""
        intake = Intake(10, 10, 60)
        slow = asyncio.create_task(intake.read(self.request(b"123456", is_endless=True)))
        await wait_until(lambda: intake.quota.used_bytes == 6)
        with pytest.raises(Busy):
            await intake.read(self.request(b"12345"))
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        assert await intake.read(self.request(b"12345")) == b"12345"

    def test_a_missing_key_is_refused_before_the_body(
        self, serve: Callable[..., httpx.Client]
    ) -> None:
        """A client without a key is refused before the body is read."""
        client = serve(tenants=TENANTS)
        url = urlsplit(str(client.base_url))
        with socket.create_connection((url.hostname, url.port), timeout=10) as raw:
            raw.sendall(b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
            assert raw.recv(12) == b"HTTP/1.1 401"


class TestOpenness:
    @pytest.mark.parametrize(
        ("headers", "is_accepted"),
        [
            ({}, True),
            ({"Host": "localhost:8080"}, True),
            ({"Host": "[::1]:8080"}, True),
            ({"Origin": "http://127.0.0.1:3000"}, True),
            ({"Host": "evil.example"}, False),
            ({"Origin": "https://evil.example"}, False),
            ({"Origin": "null"}, False),
            ({"Host": "127.0.0.1.evil.example"}, False),
        ],
        ids=[
            "no header",
            "localhost",
            "IPv6",
            "local origin",
            "foreign host",
            "foreign origin",
            "null origin",
            "local prefix",
        ],
    )
    def test_an_open_gateway_refuses_foreign_web_pages(
        self, serve: Callable[..., httpx.Client], headers: dict[str, str], is_accepted: bool
    ) -> None:
        """An open gateway accepts nothing from foreign web pages, nor under a foreign name that
        points here."""
        reply = serve().post("/v1/detect", content=PHOTO, headers=headers)
        assert reply.status_code == (200 if is_accepted else 401)

    OPEN = {
        *("/healthz", "/readyz", "/metrics"),
        *("/v2/health/live", "/v2/health/ready"),
        *documentation.PATHS,
        *dashboard.STATIC,
    }

    def test_every_closed_route_needs_a_key(
        self, serve: Callable[..., httpx.Client], tmp_path: Path
    ) -> None:
        """With tenants, only health, metrics and pages without data answer without a key."""
        client = serve(tenants=TENANTS)
        config = {"providers": {"eye": {"kind": "shapes"}}, "routes": [ROUTE], "tenants": TENANTS}
        routes = create_app(parts_of(tmp_path, config)).routes
        paths = [route for route in routes if not isinstance(route, AwsPathRoute)]
        closed = [route for route in paths if route.path not in self.OPEN]
        assert {route.path for route in closed} >= {"/", "/v1/detect", "/v1/usage", "/v1/routes"}
        for route in closed:
            for method in route.methods - {"HEAD"}:
                for request in (
                    {},
                    {"content": PHOTO},
                    {"headers": {"Authorization": "Bearer nobody"}},
                ):
                    reply = client.request(method, route.path, **request)
                    body = reply.json()
                    error = body.get("error", {})
                    kind = body.get("__type") or (
                        error["code"] if isinstance(error, dict) else reply.status_code
                    )
                    assert reply.status_code in (400, 401, 403, 413), (method, route.path)
                    assert kind in (
                        "unauthenticated",
                        "MissingAuthenticationTokenException",
                        "IncompleteSignatureException",
                        "401",  # Azure's
                        400,  # Google's
                        403,
                        401,  # the Open Inference Protocol's, whose errors are text alone
                        "photo_too_large",  # /v1/usage and /v1/routes take no body
                    )

    def test_health_metrics_and_documents_stay_open(
        self, serve: Callable[..., httpx.Client]
    ) -> None:
        """Open paths answer, with tenants too."""
        client = serve(tenants=TENANTS)
        assert [
            client.get(path).status_code for path in ("/healthz", "/readyz", "/metrics", "/docs")
        ] == [200] * 4

    def test_an_unknown_path_is_404_and_a_wrong_method_405(
        self, serve: Callable[..., httpx.Client]
    ) -> None:
        """An unknown path is 404, and a wrong method 405."""
        client = serve()
        assert client.get("/v2/detect").status_code == 404
        assert client.get("/v1/detect").status_code == 405


class TestOperations:
    def test_an_unreachable_provider_makes_the_gateway_unready(
        self, serve: Callable[..., httpx.Client]
    ) -> None:
        """If the provider cannot be reached, the gateway is not ready and gives the reason; its
        process is alive all the same."""
        with socket.socket() as placeholder:
            placeholder.bind(("127.0.0.1", 0))
            port = placeholder.getsockname()[1]
        eye = {
            "kind": "rekognition",
            "endpoint": f"http://127.0.0.1:{port}",
            "access_key": "a",
            "secret_key": "b",
        }
        client = serve(eye=eye)
        reply = client.get("/readyz")
        assert reply.status_code == 503
        assert reply.json()["ready"] is False
        assert str(port) in reply.json()["problems"]["eye"]
        assert client.get("/healthz").status_code == 200

    def test_one_ready_provider_is_enough(self, tmp_path: Path) -> None:
        """The gateway is ready as long as any provider can be asked."""
        config = {
            "providers": {"eye": {"kind": "shapes"}, "nose": {"kind": "shapes"}},
            "routes": [ROUTE],
        }
        nose = ScriptedProvider(problem=Unavailable("blocked"))
        with serving(parts_of(tmp_path, config, {"nose": nose})) as address:
            reply = httpx.get(f"{address}/readyz")
        assert (reply.status_code, reply.json()["ready"]) == (200, True)
        assert reply.json()["problems"] == {"nose": "Unavailable: blocked"}
        assert nose.closed

    def test_an_open_circuit_breaker_makes_the_gateway_unready(
        self, serve: Callable[..., httpx.Client]
    ) -> None:
        """The gateway is not ready, and gives the reason, while the circuit breaker of its only
        provider is open."""
        breaker = BreakerOptions(failures=1, calls=1, open_ms=60_000)
        introduced = about("eye", calls=CallLimits(breaker=breaker))
        client = serve(ScriptedProvider(about=introduced, errors=[Misconfigured("no key")]))
        assert client.post("/v1/detect", content=PHOTO).status_code == 502
        reply = client.get("/readyz")
        assert reply.status_code == 503
        assert "too many of its last calls failed" in reply.json()["problems"]["eye"]
        reply = client.post("/v1/detect", content=PHOTO)
        assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_failed")
        assert 50 < int(reply.headers["Retry-After"]) <= 60
        assert 'imgrid_breaker_open{provider="eye"} 1.0' in client.get("/metrics").text

    async def test_probes_at_the_same_time_ask_each_provider_once(self) -> None:
        """Probes at the same time share one result: each provider is asked once."""

        class Slow(ScriptedProvider):
            looks = 0

            async def ready(self) -> None:
                self.looks += 1
                await asyncio.sleep(0)

        provider = Slow()
        looking = ReadinessProbe({"eye": provider}, MemoryBuffer(Capacity(1, 1, 1)), dict)
        assert await asyncio.gather(*(looking.probe() for _ in range(3))) == [(True, {})] * 3
        assert provider.looks == 1

    def test_metrics_count_photos_canvases_failures_and_refusals(
        self, serve: Callable[..., httpx.Client]
    ) -> None:
        """Metrics can be read by Prometheus, and count photos, canvases, failures and refusals."""
        fake = ScriptedProvider(errors=[Unavailable("once")])
        client = serve(fake, routes=[{**PATIENT, "max_wait_ms": 20}])
        files = [("photo", (str(n), PHOTO)) for n in range(4)]
        assert client.post("/v1/detect", files=files).status_code == 200
        client.post("/v1/detect", content=b"no picture")
        client.post("/v1/detect?task=text", content=PHOTO)
        samples = metrics(client)
        where = ("provider", "eye"), ("shape", "2x2"), ("task", "objects")
        assert samples[("imgrid_billed_images_total", *where)] == 1
        assert samples[("imgrid_canvas_photos_total", *where)] == 4
        assert (
            samples[
                ("imgrid_photos_total", ("outcome", "ok"), ("task", "objects"), ("tenant", "open"))
            ]
            == 4
        )
        assert samples[("imgrid_saved_images", ("tenant", "open"))] == 3
        assert (
            samples[
                ("imgrid_upstream_failures_total", ("provider", "eye"), ("reason", "Unavailable"))
            ]
            == 1
        )
        assert (
            samples[("imgrid_refusals_total", ("code", "invalid_format"), ("dialect", "native"))]
            == 1
        )
        assert (
            samples[("imgrid_refusals_total", ("code", "not_served"), ("dialect", "native"))] == 1
        )
        assert samples[("imgrid_buffer_photos",)] == 0

    def test_a_tenant_sees_its_routes_and_their_agreement(
        self, serve: Callable[..., httpx.Client]
    ) -> None:
        """Every tenant sees the routes that serve it, their current stages, and how well their
        answers agree with photos alone."""
        stages = [
            {"shape": "2x2", "rule": {"kind": "imgrid", "area": {"mean": 0}}},
            {"shape": "1x1"},
        ]
        shared_route = {
            **ROUTE,
            "stages": stages,
            "max_wait_ms": 20,
            "watch": {"share": 1, "agreement": 0.5},
        }
        press_route = {**ROUTE, "name": "own", "tenants": ["press"]}
        client = serve(routes=[press_route, {**shared_route, "name": "all"}], tenants=TENANTS)
        shop, press = ({"Authorization": f"Bearer key-{name}"} for name in ("shop", "press"))
        before = only_route(client, shop)
        assert (before["agreement"], before["labels"], before["level"]) == (None, {}, "target")
        files = [("photo", (str(n), PHOTO)) for n in range(4)]
        assert client.post("/v1/detect", files=files, headers=shop).status_code == 200
        end = time.monotonic() + 20
        while ((route := only_route(client, shop))["agreement"] or {"photos": 0})["photos"] < 4:
            assert time.monotonic() < end
            time.sleep(0.01)
        since, agreement, labels = route.pop("since"), route.pop("agreement"), route.pop("labels")
        assert route == {
            "name": "all",
            "task": "objects",
            "provider": "eye",
            "companion": None,
            "level": "target",
            "stages": [
                {"provider": "eye", "shape": "2x2", "rule": "imgrid"},
                {"provider": "eye", "shape": "1x1", "rule": "always"},
            ],
            "promise": None,
            "promised": 0.5,
            "group": None,
            "mismatches": [],
            "lesson": None,
            "cause": None,
        }
        assert abs(since - time.time()) < 60
        assert (agreement["photos"], agreement["mean"], labels["red"]["photos"]) == (4, 1, 4)
        assert 0 <= agreement["low"] < 1 == agreement["high"]
        assert only_route(client, press)["name"] == "own"
        assert (
            metrics(client)[
                ("imgrid_agreement", ("bound", "mean"), ("label", ""), ("route", "all"))
            ]
            == 1
        )
        assert client.get("/v1/usage", headers=shop).json()["photos"] == 4

    def test_a_tenant_sees_only_its_own_usage(self, serve: Callable[..., httpx.Client]) -> None:
        """Every tenant sees what was answered, paid and saved for it, and for no other tenant."""
        eye = {"kind": "shapes", "usd_per_image": 0.001}
        client = serve(eye=eye, routes=[{**PATIENT, "max_wait_ms": 20}], tenants=TENANTS)
        shop, press = ({"Authorization": f"Bearer key-{name}"} for name in ("shop", "press"))
        files = [("photo", (str(n), PHOTO)) for n in range(4)]
        assert client.post("/v1/detect", files=files, headers=shop).status_code == 200
        assert client.get("/v1/usage", headers=shop).json() == {
            "photos": 4,
            "answered": 4,
            "cached": 0,
            "billed_images": 1.0,
            "maybe_billed_images": 0.0,
            "learning_images": 0.0,
            "watching_images": 0.0,
            "saved": 0.75,
            "paid_usd": 0.001,
            "alone_usd": 0.004,
            "saved_usd": 0.003,
        }
        assert client.get("/v1/usage", headers=press).json()["photos"] == 0
        assert client.get("/v1/usage").status_code == 401


@pytest.mark.slow
def test_a_stopping_server_answers_accepted_photos(tmp_path: Path) -> None:
    """A stopping `imgrid serve` answers the photos that it has accepted, accepts no more, and ends
    with status 0."""
    file = tmp_path / "imgrid.yaml"
    config = {"listen": "127.0.0.1:0", "providers": {"eye": {"kind": "shapes"}}}
    file.write_text(yaml.safe_dump({**config, "routes": [{**PATIENT, "max_wait_ms": 1500}]}))
    program = str(Path(sys.executable).with_name("imgrid"))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("IMGRID_")}
    with (
        subprocess.Popen(
            [program, "serve", "-c", str(file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean,
        ) as process,
        ThreadPoolExecutor() as pool,
    ):
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
            with httpx.Client(base_url=address, timeout=30) as client:
                waiting = [
                    pool.submit(httpx.post, f"{address}/v1/detect", content=PHOTO, timeout=30)
                    for _ in range(2)
                ]
                wait_until_held(client, 2)
                process.send_signal(signal.SIGTERM)
                for reply in waiting:
                    (photo,) = reply.result().json()["photos"]
                    assert [detection["label"] for detection in photo["detections"]] == ["red"]
            assert process.wait(20) == 0
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()
