"""`imgrid webhooks test` shows what a receiver answers to a signed message."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks

from tests.support.command import RunCommand, command_in
from tests.support.webhooks import SECRET

pytestmark = pytest.mark.slow  # each starts a process

LOOPBACK: dict[str, Any] = {"fetch": {"allow": ["127.0.0.0/8"]}}
SIGNED: dict[str, Any] = {**LOOPBACK, "webhooks": {"secrets": [SECRET]}}


@pytest.fixture
def imgrid(tmp_path: Path) -> RunCommand:
    """`imgrid(*words, **config)`: the command in a process of its own."""
    return command_in(tmp_path)


@contextmanager
def receiver(status: int) -> Iterator[tuple[str, list[Any]]]:
    """The URL of a receiver that verifies what it takes, and the messages it took."""
    messages: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            messages.append(standardwebhooks.Webhook(SECRET).verify(body, dict(self.headers)))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook", messages
        finally:
            server.shutdown()


def test_a_receiver_takes_a_signed_message(imgrid: RunCommand) -> None:
    """The message has a signature that the receivers' package accepts."""
    with receiver(204) as (url, messages):
        shown = imgrid("webhooks", "test", url, **SIGNED)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("204 after ")
    assert messages == [{"type": "webhook.test"}]


def test_a_receiver_that_refuses_ends_with_1(imgrid: RunCommand) -> None:
    """A script notices."""
    with receiver(500) as (url, _):
        shown = imgrid("webhooks", "test", url, **SIGNED)
    assert shown.returncode == 1
    assert shown.stdout.startswith("500 after ")


@pytest.mark.parametrize(
    ("words", "config", "text"),
    [
        (("http://127.0.0.1:9/",), LOOPBACK, "there are no secrets to sign with"),
        (("http://127.0.0.1:9/",), SIGNED, "http://127.0.0.1:9/"),
        (
            ("http://127.0.0.1:9/",),
            {"webhooks": {"secrets": [SECRET]}},
            "has to be in fetch.allow",
        ),
        (("https://shop.example/", "--tenant", "nobody"), SIGNED, "--tenant nobody"),
    ],
    ids=["no secret", "nobody listens", "not allowed", "no such tenant"],
)
def test_what_cannot_be_sent_says_why(
    imgrid: RunCommand, words: tuple[str, ...], config: dict[str, Any], text: str
) -> None:
    """The error names the receiver, the key or the option, and the way out."""
    refused = imgrid("webhooks", "test", *words, **config)
    assert refused.returncode not in (0, 1)
    assert text in " ".join(refused.stderr.split())
