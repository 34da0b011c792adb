"""Every path that a gateway serves asks for a key, except a short list that is open on purpose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Mount, Route

from gateway.api.resources.not_found import AwsPathRoute
from gateway.app import create_app
from gateway.testing.gateway import parts_of
from tests.support.configs import SHAPES

OPEN = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/docs",
    "/docs/oauth2-redirect",
    "/docs/static/favicon.png",
    "/docs/static/swagger-ui-bundle.js",
    "/docs/static/swagger-ui.css",
    "/openapi.json",
    "/ui",
    "/ui/dashboard.css",
    "/ui/dashboard.js",
    "/v2/health/live",
    "/v2/health/ready",
}
"""Paths that orchestrators, scrapers and readers of the API's description ask without a key, and
the dashboard's page, which holds no data: see docs/operations.md."""
OPERATORS = {"/v1/dashboard"}
"""Paths that only an operator's key opens."""

KEYS = {
    "native": "key-native",
    "azure": "key-azure",
    "google": "key-google",
    "rekognition": ("AKSHOP", "sk-shop"),
}
CONFIG = {
    **SHAPES,
}
TENANT = {
    "name": "shop",
    "keys": [
        *(
            {"dialect": dialect, "key": key}
            for dialect, key in KEYS.items()
            if isinstance(key, str)
        ),
        {"dialect": "rekognition", "access_key": "AKSHOP", "secret_key": "sk-shop"},
    ],
}
AWS_CODES = {
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
}
URL = "http://gateway:8080"
BODY = b"{}"


def endpoints(app: Starlette) -> list[tuple[str, str]]:
    """Method and path of every route, those of mounted apps too. An unknown kind of route fails, so
    that a person looks at it."""
    return [endpoint for route in app.routes for endpoint in endpoints_of(route)]


def endpoints_of(route: BaseRoute, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(route, Mount):
        assert route.routes, (
            f"{prefix}{route.path} is an app of its own, which these tests do not look into"
        )
        for inner in route.routes:
            yield from endpoints_of(inner, prefix + route.path)
    elif not isinstance(route, AwsPathRoute):  # which finds nothing
        assert isinstance(route, Route), f"{route} is a kind of route that these tests do not know"
        for method in sorted(route.methods):
            yield method, prefix + route.path


def test_an_unknown_kind_of_mount_fails() -> None:
    """The routes of a mounted app are listed; an unknown kind of mount fails."""

    async def endpoint(request: Request) -> None: ...

    inner = Mount("/a", routes=[Mount("/b", routes=[Route("/c", endpoint, methods=["POST"])])])
    assert list(endpoints_of(inner)) == [("POST", "/a/b/c")]
    with pytest.raises(AssertionError, match="/a"):
        list(endpoints_of(Mount("/a", app=endpoint)))


def filled(path: str) -> str:
    """A path with a value for each of its parameters."""
    return re.sub(r"\{\w+(:\w+)?\}", "job_x", path)


def signed(access_key: str, secret: str) -> dict[str, str]:
    """Headers as an AWS SDK would send them."""
    head = {"X-Amz-Target": "RekognitionService.DetectLabels", "Host": "gateway:8080"}
    request = AWSRequest("POST", f"{URL}/", headers=head, data=BODY)
    SigV4Auth(Credentials(access_key, secret), "rekognition", "us-east-1").add_auth(request)
    return dict(request.headers.items())


PLAIN = {"native": "X-Api-Key", "azure": "Ocp-Apim-Subscription-Key", "google": "x-goog-api-key"}
WRONG = {
    "none": {},
    **{f"wrong {dialect}": {header: "wrong"} for dialect, header in PLAIN.items()},
    "wrong bearer": {"Authorization": "Bearer wrong"},
    "empty bearer": {"Authorization": "Bearer "},
    "basic": {"Authorization": "Basic a2V5OmtleQ=="},
    "unknown access key": ("AKNOBODY", "sk-shop"),
    "wrong secret": ("AKSHOP", "wrong"),
    **{f"{a}'s key as {b}'s": {PLAIN[b]: KEYS[a]} for a in PLAIN for b in PLAIN if a != b},
    "a secret as a key": dict.fromkeys(PLAIN.values(), "sk-shop"),
    "a digest as a key": dict.fromkeys(
        PLAIN.values(), "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"
    ),
}


def refused(reply: httpx.Response) -> bool:
    """Whether a reply says, in any dialect, that the key is missing or wrong."""
    if reply.status_code == 401:
        return True
    if reply.status_code not in (400, 403) or not reply.content:
        return False
    document = reply.json()
    error = document.get("error")
    details = error.get("details", []) if isinstance(error, dict) else []
    reasons = [detail.get("reason") for detail in details]
    return document.get("__type") in AWS_CODES or "API_KEY_INVALID" in reasons


def gateway(folder: Path, **config: Any) -> Starlette:
    return create_app(parts_of(folder, {**CONFIG, **config}))


async def open_endpoints(
    app: Starlette, headers: Mapping[str, str], **options: Any
) -> list[tuple[str, str]]:
    """The endpoints that do not refuse such a request from another machine."""
    transport = httpx.ASGITransport(app, client=("10.0.0.9", 1))
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        return [
            (method, path)
            for method, path in locked_endpoints(app)
            if not refused(
                await client.request(
                    method, filled(path), content=BODY, headers=at_path(path, headers), **options
                )
            )
        ]


def at_path(path: str, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers for that path: AWS' clients find only `/`, so elsewhere nothing says that the
    request is one of theirs."""
    aws_only = set() if path == "/" else {"x-amz-target"}
    return {name: value for name, value in headers.items() if name.lower() not in aws_only}


def locked_endpoints(app: Starlette) -> list[tuple[str, str]]:
    """The endpoints that must ask for a key."""
    return [(method, path) for method, path in endpoints(app) if path not in OPEN]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Starlette:
    """A gateway of one tenant, with keys of every dialect."""
    return gateway(tmp_path_factory.mktemp("gateway"), tenants=[TENANT])


@pytest.mark.parametrize("case", WRONG)
async def test_no_path_answers_without_the_right_key(app: Starlette, case: str) -> None:
    """No path answers a request without a key, with a wrong one, or with a key of another
    dialect."""
    key = WRONG[case]
    assert await open_endpoints(app, signed(*key) if isinstance(key, tuple) else key) == []


async def test_a_wrong_key_in_the_query_opens_nothing(app: Starlette) -> None:
    """A wrong key in the query, where Google's clients may send it, opens no path."""
    assert await open_endpoints(app, {}, params={"key": KEYS["native"]}) == []


async def test_a_route_that_forgets_the_key_is_detected(tmp_path: Path) -> None:
    """The check detects a route that forgets to ask for a key."""
    app = gateway(tmp_path, tenants=[TENANT])
    secrets = Route("/v1/secrets", lambda _: JSONResponse({"error": {"code": "none"}}))
    secrets.methods = {"GET"}
    app.routes.append(secrets)
    assert await open_endpoints(app, {}) == [("GET", "/v1/secrets")]


async def test_the_right_keys_open_every_path(app: Starlette) -> None:
    """The right keys open every path, so only the missing key closes them. Those of operators stay
    closed to tenants."""
    headers = {
        **signed(*KEYS["rekognition"]),
        **{PLAIN[dialect]: KEYS[dialect] for dialect in PLAIN},
    }
    assert await open_endpoints(app, headers) == [
        (method, path) for method, path in locked_endpoints(app) if path not in OPERATORS
    ]


async def test_an_operators_key_opens_the_paths_for_operators(tmp_path: Path) -> None:
    """Beside them it opens only those where an operator sees what a tenant sees, of all."""
    app = gateway(tmp_path, tenants=[TENANT], operator_keys=[{"key": "operator"}])
    opened = await open_endpoints(app, {"X-Api-Key": "operator"})
    assert opened == [("GET", "/v1/usage"), ("GET", "/v1/dashboard")]


def test_every_listed_open_path_exists(app: Starlette) -> None:
    """Every path on the list of open ones exists."""
    assert {path for _, path in endpoints(app)} >= OPEN


async def test_an_open_gateway_answers_no_pages_in_a_browser(tmp_path: Path) -> None:
    """A gateway open to this machine asks for no key, and does not answer pages open in a browser
    here."""
    app = gateway(tmp_path)
    assert (
        await open_endpoints(app, {"Host": "127.0.0.1:8080", "Origin": "https://evil.example"})
        == []
    )
    assert await open_endpoints(app, {"Host": "127.0.0.1:8080"}) == locked_endpoints(app)
