"""Load balancers that ask by HEAD, scripts of web pages, and slashes at the end of a path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.config.errors import ConfigError
from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded
from tests.support.configs import SHAPES

PHOTO = encoded(drawn((200, 200), Block("red", 40, 40, 160, 160)))
CONFIG = {
    **SHAPES,
    "tenants": [{"name": "shop", "keys": [{"dialect": "native", "key": "key-shop"}]}],
}
PAGE = "https://app.example"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., httpx.Client]]:
    """`serve(**config)`: a client of a gateway with one tenant."""
    with ExitStack() as stack:

        def start(**config: Any) -> httpx.Client:
            address = stack.enter_context(serving(parts_of(tmp_path, {**CONFIG, **config})))
            return stack.enter_context(httpx.Client(base_url=address, timeout=30))

        yield start


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_told_by_head(serve: Callable[..., httpx.Client], path: str) -> None:
    """HEAD gives the status and no body."""
    reply = serve().head(path)
    assert (reply.status_code, reply.content) == (200, b"")


def test_a_slash_too_many_is_named_and_not_redirected(
    serve: Callable[..., httpx.Client],
) -> None:
    """A path with a slash at its end is 404, and the message names the path without it: SDKs lose
    a body or a key on a redirect."""
    reply = serve().post("/v1/detect/", content=PHOTO)
    assert reply.status_code == 404
    assert "There is at /v1/detect, which differs by a slash." in reply.json()["error"]["message"]


def preflight(client: httpx.Client, origin: str) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-api-key",
    }
    return client.options("/v1/detect", headers=headers)


@pytest.mark.parametrize("origins", [[PAGE], ["*"]])
def test_scripts_of_named_origins_may_ask(
    serve: Callable[..., httpx.Client], origins: list[str]
) -> None:
    """A preflight request is answered without a key, and answers may be read, errors too."""
    client = serve(cors_origins=origins)
    reply = preflight(client, PAGE)
    assert reply.status_code == 200
    assert reply.headers["Access-Control-Allow-Origin"] in (PAGE, "*")
    assert "POST" in reply.headers["Access-Control-Allow-Methods"]
    assert "x-api-key" in reply.headers["Access-Control-Allow-Headers"].lower()
    for key, status in (("key-shop", 200), ("wrong", 401)):
        headers = {"Origin": PAGE, "X-Api-Key": key}
        reply = client.post("/v1/detect", content=PHOTO, headers=headers)
        assert reply.status_code == status
        assert reply.headers["Access-Control-Allow-Origin"] in (PAGE, "*")
        assert "Retry-After" in reply.headers["Access-Control-Expose-Headers"]


def test_scripts_of_other_origins_may_not(serve: Callable[..., httpx.Client]) -> None:
    """Other origins are told nothing that lets a browser go on."""
    client = serve(cors_origins=[PAGE])
    assert "Access-Control-Allow-Origin" not in preflight(client, "https://evil.example").headers
    assert preflight(serve(), PAGE).status_code == 405


@pytest.mark.parametrize("origin", ["app.example", "https://app.example/", "ftp://app.example"])
def test_an_origin_that_no_browser_sends_is_refused(tmp_path: Path, origin: str) -> None:
    """An origin that could never match is an error of the configuration."""
    with pytest.raises(ConfigError, match=r"cors_origins\[0\]: write an origin"):
        parts_of(tmp_path, {**CONFIG, "cors_origins": [origin]})
