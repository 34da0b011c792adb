"""A job runs from its request to its signed webhook through a whole gateway without Redis."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from standardwebhooks import Webhook

from gateway.jobs.webhooks.signing import new_secret
from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import encoded, number_on, numbered
from gateway.testing.redis_server import free_port
from providers.detection import Box, Detection
from tests.support.waiting import block_until

SECRET = new_secret()
CONFIG = {
    "providers": {"eye": {"kind": "shapes"}},
    "routes": [{"task": "objects", "provider": "eye", "stages": [{"shape": "2x2"}]}],
    "jobs": {"max_wait_ms": 50},
    "webhooks": {"secrets": [SECRET]},
    "fetch": {"allow": ["127.0.0.0/8"]},
}


class Client(ThreadingHTTPServer):
    """A client's own server, which has a photo to be fetched and takes webhooks. Holds the
    webhooks."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.webhooks: list[tuple[dict[str, str], bytes]] = []
        self.webhook_came = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Client

    def do_GET(self) -> None:
        data = encoded(numbered(77)) if self.path == "/77.png" else b""
        self.send_response(200 if data else 404)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.webhooks.append((dict(self.headers), body))
        self.send_response(204)
        self.end_headers()
        self.server.webhook_came.set()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Client]:
    with Client() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def number_of(result: dict[str, Any]) -> int | None:
    """The number that was read from the photo of a result."""
    return number_on(
        Detection(each["label"], each["score"], Box(**each["box"])) for each in result["detections"]
    )


def test_a_job_runs_from_request_to_signed_webhook(tmp_path: Path, receiver: Client) -> None:
    """Sent and fetched photos each get their own answer, and a signed webhook reports the end."""
    names = ["77.png", "78.png"]
    with (
        serving(parts_of(tmp_path, CONFIG)) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        files = [("photo", (f"{number}.png", encoded(numbered(number)))) for number in (5, 6)]
        fields = {"url": [f"{receiver.url}/{name}" for name in names], "webhook": receiver.url}
        reply = client.post("/v1/jobs", files=files, data=fields)
        assert reply.status_code == 202, reply.text
        assert receiver.webhook_came.wait(20)
        job = client.get(reply.headers["Location"]).json()
    assert (job["state"], job["photos"], job["settled"], job["failed"]) == ("done", 4, 4, 1)
    results = {result["index"]: result for result in job["results"]}
    by_content = {number_of(result) for result in results.values() if "error" not in result}
    assert by_content == {5, 6, 77}
    (error,) = [result["error"]["code"] for result in results.values() if "error" in result]
    assert error == "source_missing"
    headers, body = receiver.webhooks[0]
    message = Webhook(SECRET).verify(
        body.decode(), {name.lower(): value for name, value in headers.items()}
    )
    assert (message["type"], message["data"]["id"]) == ("job.done", job["id"])


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:10.0.0.1]/",
        "http://localhost.:1/",
    ],
)
def test_no_photo_is_fetched_from_a_forbidden_address(tmp_path: Path, target: str) -> None:
    """No photo is fetched from a forbidden address, whatever its spelling."""
    config = {**CONFIG, "fetch": {}}
    with (
        serving(parts_of(tmp_path, config)) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        reply = client.post("/v1/jobs", json={"photos": [{"url": target}]})
        if reply.status_code == 202:
            path = reply.headers["Location"]
            block_until(lambda: client.get(path).json()["state"] == "done")
            (result,) = client.get(path).json()["results"]
            unresolved = (
                target.startswith("http://localhost.")
                and "no address" in result["error"]["message"]
            )
            assert result["error"]["code"] == (
                "not_fetched" if unresolved else "source_not_allowed"
            )
        else:
            assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request")


@pytest.mark.slow
def test_a_restarted_gateway_finishes_its_job(tmp_path: Path, receiver: Client) -> None:
    """A gateway that is killed with a job half done finishes it after a restart."""
    port = free_port()
    slow = {"kind": "shapes", "latency_ms": 300, "concurrency": 1}
    config = {**CONFIG, "listen": f"127.0.0.1:{port}", "providers": {"eye": slow}}
    file = tmp_path / "imgrid.yaml"
    file.write_text(yaml.safe_dump(config))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        process = start_gateway(file, client)
        files = [("photo", (f"{number}.png", encoded(numbered(number)))) for number in range(24)]
        path = client.post("/v1/jobs", files=files, data={"webhook": receiver.url}).headers[
            "Location"
        ]
        block_until(lambda: client.get(path).json()["settled"] >= 4)
        process.kill()
        process.wait()
        process = start_gateway(file, client)
        try:
            block_until(lambda: client.get(path).json()["state"] == "done")
            job = client.get(path).json()
            assert receiver.webhook_came.wait(20)
        finally:
            process.kill()
            process.wait()
    assert sorted(number_of(result) for result in job["results"]) == list(range(24))
    assert [json.loads(body)["type"] for _, body in receiver.webhooks] == ["job.done"]


def start_gateway(file: Path, client: httpx.Client) -> subprocess.Popen[bytes]:
    """The process of a gateway, once it is ready."""
    command = Path(sys.executable).parent / "imgrid"
    process = subprocess.Popen(
        [command, "serve", "-c", file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def answers() -> bool:
        try:
            return client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    block_until(answers)
    return process
