"""boto3 before and after the default retries of 1.44 comes back when the gateway says.

AWS, "Updated default retry behaviour for AWS SDKs and tools" (2026-11-10): three attempts, and
`x-amz-retry-after` in milliseconds is obeyed.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from gateway.core.errors import Busy
from gateway.core.exchange import Reply
from gateway.dialects.rekognition.dialect import DIALECT
from tests.support.environments import environment, install

pytestmark = [pytest.mark.slow, pytest.mark.sdk]

WAIT_S = 1.5
CLIENT = """
import boto3, json, sys
client = boto3.client("rekognition", endpoint_url=sys.argv[1], region_name="eu-west-1",
                      aws_access_key_id="AK", aws_secret_access_key="SK")
answer = client.detect_labels(Image={"Bytes": b"photo"})
print(json.dumps({"version": boto3.__version__, "labels": len(answer["Labels"]),
                  "retries": answer["ResponseMetadata"]["RetryAttempts"]}))
"""
ANSWER = Reply(200, b'{"Labels": []}', {"Content-Type": "application/x-amz-json-1.1"})


class BusyOnce:
    """A server that is busy for the first call, in the gateway's own words, and answers the others.
    Holds the times of all calls."""

    def __init__(self) -> None:
        calls = self.calls = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                calls.append(time.monotonic())
                is_busy = len(calls) == 1
                reply = DIALECT.render_error(Busy("full", WAIT_S)) if is_busy else ANSWER
                self.send_response(reply.status)
                for name, value in {**reply.headers, "Content-Length": len(reply.body)}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def busy_once() -> Iterator[BusyOnce]:
    busy = BusyOnce()
    Thread(target=busy.server.serve_forever, daemon=True).start()
    yield busy
    busy.server.shutdown()
    busy.server.server_close()


@pytest.fixture(scope="module", params=["1.43.0", "1.44.8"])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has this version of boto3 and nothing else."""
    python = environment(tmp_path_factory.mktemp("boto3"))
    install(python, f"boto3=={request.param}")
    return python


@pytest.fixture
def ask(python: Path) -> Callable[[str], dict[str, object]]:
    """`ask(url)`: what a client of that version says of its call."""

    def run(url: str) -> dict[str, object]:
        command = [python, "-c", CLIENT, url]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        result: dict[str, object] = json.loads(done.stdout)
        return result

    return run


def test_a_busy_gateway_is_asked_again_and_answers(
    ask: Callable[[str], dict[str, object]], busy_once: BusyOnce
) -> None:
    """A client of either version repeats a call that the gateway was too busy for, and versions
    that read `x-amz-retry-after` not before that."""
    result = ask(busy_once.url)
    assert (result["labels"], result["retries"]) == (0, 1)
    first, second = busy_once.calls
    if result["version"] >= "1.44":
        assert second - first >= WAIT_S
