"""The native API behaves as its OpenAPI document says, for any request."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.testing.gateway import parts_of, serving

KEY = "key-shop"
NATIVE = r"^/(v1/(detect|jobs|routes|usage)|healthz|readyz|metrics)"
CONFIG = """
[generation]
deterministic = true
max-examples = 15

[phases.coverage]
enabled = true

[checks]
# No schema says whether bytes are a picture, or whose job it is.
positive_data_acceptance.enabled = false
# Clients may ask for an answer within no time.
not_a_server_error.expected-statuses = ["2XX", "3XX", "4XX", "504"]
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway that finds coloured shapes for one tenant."""
    content = {
        "providers": {"eye": {"kind": "shapes", "canvas": "640x640"}},
        "routes": [
            {"task": "objects", "provider": "eye", "stages": [{"shape": "2x2"}], "max_wait_ms": 5}
        ],
        "tenants": [{"name": "shop", "keys": [{"dialect": "native", "key": KEY}]}],
        "fetch": {"timeout_ms": 300},
    }
    with serving(parts_of(tmp_path_factory.mktemp("gateway"), content)) as address:
        yield address


@pytest.mark.slow
def test_the_native_api_answers_as_documented(address: str, tmp_path: Path) -> None:
    """Any request, as described or not, is answered with a status, a content type and a body that
    the document has, and never with a failure of the gateway; a request that is not as described,
    or has no key, is refused."""
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        "schemathesis.toml",
        "run",
        f"{address}/openapi.json",
        "--include-path-regex",
        NATIVE,
        "--phases",
        "coverage,fuzzing",
        "--suppress-health-check",
        "all",
        "--header",
        f"Authorization: Bearer {KEY}",
        "--no-color",
    ]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout[-20_000:]
    assert "11 selected" in process.stdout


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allow"),
    [
        ("GET", "/v1/detect", 405, "wrong_method", "POST"),
        ("PUT", "/v1/jobs", 405, "wrong_method", "GET, HEAD, POST"),
        ("POST", "/healthz", 405, "wrong_method", "GET, HEAD"),
        ("POST", "/v2/detect", 404, "not_found", None),
    ],
)
def test_an_unknown_path_or_method_is_refused_natively(
    address: str, method: str, path: str, status: int, code: str, allow: str | None
) -> None:
    """An unknown path and a wrong method are refused in the native form, with the methods that
    exist."""
    reply = httpx.request(method, address + path)
    assert (reply.status_code, reply.json()["error"]["code"], reply.headers.get("Allow")) == (
        status,
        code,
        allow,
    )
