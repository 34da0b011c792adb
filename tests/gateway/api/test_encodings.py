"""Requests with compressed bodies, in every dialect and for jobs."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.testing.gateway import parts_of, serving
from tests.gateway.api.test_upgrades import CALLS
from tests.support.configs import SHAPES

KEYS = {
    "native": {"X-Api-Key": "key-shop"},
    "azure": {"Ocp-Apim-Subscription-Key": "az-shop"},
    "google": {"X-Goog-Api-Key": "g-shop"},
    "rekognition": {},
}
COMPRESS = {"gzip": gzip.compress, "deflate": zlib.compress}
TENANT = {
    "name": "shop",
    "keys": [
        {"dialect": "rekognition", "access_key": "AKSHOP", "secret_key": "sk-shop"},
        {"dialect": "native", "key": "key-shop"},
        {"dialect": "azure", "key": "az-shop"},
        {"dialect": "google", "key": "g-shop"},
    ],
}
LIMIT = 100_000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway with one tenant, whose requests may have so many bytes."""
    config = {
        **SHAPES,
        "tenants": [TENANT],
        "limits": {"max_request_bytes": LIMIT},
        "jobs": {"max_request_bytes": LIMIT},
    }
    with serving(parts_of(tmp_path_factory.mktemp("gateway"), config)) as address:
        yield address


def post(address: str, dialect: str, body: bytes, encoding: str) -> httpx.Response:
    """The reply to a call, which is signed as it is sent."""
    call = CALLS[dialect]
    headers = {**call.headers, **KEYS[dialect], "Content-Encoding": encoding}
    url = address + call.path
    if dialect == "rekognition":
        request = AWSRequest("POST", url, headers, body)
        SigV4Auth(Credentials("AKSHOP", "sk-shop"), "rekognition", "eu-west-1").add_auth(request)
        headers = dict(request.headers)
    return httpx.post(url, content=body, headers=headers, timeout=30)


@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize("dialect", CALLS)
def test_a_compressed_body_is_read(gateway: str, dialect: str, encoding: str) -> None:
    """gzip and deflate are read in every dialect; a signature is of the body as it was sent."""
    call = CALLS[dialect]
    reply = post(gateway, dialect, COMPRESS[encoding](call.body), encoding)
    assert reply.status_code == 200, reply.text
    assert call.label(reply.json()) == "red"


@pytest.mark.parametrize("dialect", CALLS)
def test_another_encoding_is_refused_by_name(gateway: str, dialect: str) -> None:
    """Any other coding is refused in the dialect's form, with its name and those that are read."""
    reply = post(gateway, dialect, CALLS[dialect].body, "br")
    assert reply.status_code == (415 if dialect == "native" else 400)
    assert "'br'" in reply.text
    assert "gzip, deflate" in reply.text


@pytest.mark.parametrize("dialect", CALLS)
def test_a_body_that_inflates_too_far_is_refused(gateway: str, dialect: str) -> None:
    """The limit is for what a body inflates to."""
    reply = post(gateway, dialect, gzip.compress(bytes(LIMIT + 1)), "gzip")
    assert reply.status_code == (413 if dialect == "native" else 400)
    assert "max_request_bytes" in reply.text or dialect == "azure"


def test_a_broken_body_is_an_invalid_request(gateway: str) -> None:
    """A body that is not what its coding says is the client's error."""
    reply = post(gateway, "native", CALLS["native"].body, "gzip")
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request")
    assert "gzip" in reply.json()["error"]["message"]


def test_a_jobs_compressed_body_is_read(gateway: str) -> None:
    """A job's body may be compressed too, within its own limit."""

    def submit(content: dict[str, Any]) -> httpx.Response:
        headers = {
            **KEYS["native"],
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
        }
        body = gzip.compress(json.dumps(content).encode())
        return httpx.post(f"{gateway}/v1/jobs", content=body, headers=headers)

    photo = {"url": "https://photos.example/1.jpg"}
    assert submit({"photos": [photo]}).status_code == 202
    assert submit({"photos": [photo], "metadata": {"x": "y" * LIMIT}}).status_code == 413
