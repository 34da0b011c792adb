"""The native API behaves as its OpenAPI document says, for any request."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded
from tests.support.waiting import block_until

KEY = "key-shop"
PHOTO = encoded(
    drawn((200, 200), Block("red", 20, 20, 100, 100), Block("blue", 120, 120, 180, 180))
)
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
        ("POST", "/v3/detect", 404, "not_found", None),
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


def test_every_operation_has_a_name_of_its_own_and_the_document_its_server(address: str) -> None:
    """Generators name functions by operation ids, and send them to the first server."""
    document = httpx.get(f"{address}/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len({*ids}) == len(ids) >= 14
    assert all(re.fullmatch("[a-z][A-Za-z]+", name) for name in ids), ids
    assert all(operation["responses"] for operation in operations)
    assert httpx.URL(address).join(document["servers"][0]["url"]) == f"{address}/"


@pytest.fixture(scope="module")
def client_package(
    address: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Any]]:
    """`client_package(module)`: a module of the client that openapi-python-client generates from
    the document of the running gateway."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "config.yml").write_text("post_hooks: []\n")
    command = [
        sys.executable,
        "-m",
        "openapi_python_client",
        "generate",
        "--url",
        f"{address}/openapi.json",
        "--meta",
        "none",
        "--config",
        "config.yml",
        "--output-path",
        "imgrid_client",
    ]
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    sys.path.insert(0, str(folder))
    yield lambda module: importlib.import_module(f"imgrid_client.{module}".rstrip("."))
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.split(".")[0] == "imgrid_client"]:
        del sys.modules[name]


@pytest.fixture
def client(address: str, client_package: Callable[[str], Any]) -> Iterator[Any]:
    """A generated client with a key."""
    with client_package("client").AuthenticatedClient(base_url=address, token=KEY) as client:
        yield client


@pytest.mark.slow
class TestGeneratedClient:
    def test_it_asks_about_photos(self, client: Any, client_package: Callable[[str], Any]) -> None:
        """A generated client sends a photo, reads the detections, and picks labels."""
        detect, types = client_package("api.native.detect"), client_package("types")
        answer = detect.sync(client=client, body=types.File(BytesIO(PHOTO)))
        assert {found.label for found in answer.photos[0].detections} == {"red", "blue"}
        for labels in (["blue"], ["red", "blue"]):
            answer = detect.sync(client=client, body=types.File(BytesIO(PHOTO)), labels=labels)
            (photo,) = answer.photos
            assert {found.label for found in photo.detections} == {*labels}
            assert 0 < photo.detections[0].box.x0 < photo.detections[0].box.x1 < 1

    def test_it_sends_several_photos_as_a_form(
        self, client: Any, client_package: Callable[[str], Any]
    ) -> None:
        """A generated client sends a form of photos, each answered in its place."""
        types = client_package("types")
        form = client_package("models").DetectFilesBody(
            photo=[types.File(BytesIO(PHOTO), name) for name in ("a.png", "b.png")]
        )
        answer = client_package("api.native.detect").sync(client=client, body=form)
        assert [photo.name for photo in answer.photos] == ["a.png", "b.png"]

    def test_it_reads_errors_and_headers(
        self, address: str, client: Any, client_package: Callable[[str], Any]
    ) -> None:
        """A generated client reads the refusal of a stranger, and the headers of an answer."""
        detect, types = client_package("api.native.detect"), client_package("types")
        with client_package("client").Client(base_url=address) as stranger:
            refusal = detect.sync(client=stranger, body=types.File(BytesIO(PHOTO)))
        assert refusal.error.code == "unauthenticated"
        reply = detect.sync_detailed(client=client, body=types.File(BytesIO(PHOTO)))
        assert reply.headers["x-imgrid-billed"] == "1"

    def test_it_hands_in_a_job_and_reads_its_end(
        self, client: Any, client_package: Callable[[str], Any]
    ) -> None:
        """A generated client submits a job and polls for its results."""
        photo = client_package("types").File(BytesIO(PHOTO))
        job = client_package("api.jobs.submit_job").sync(client=client, body=photo)
        read = client_package("api.jobs.read_job")
        block_until(lambda: read.sync(job.id, client=client).state == "done")
        (result,) = read.sync(job.id, client=client).results
        assert {found.label for found in result.detections} == {"red", "blue"}

    def test_it_reads_what_operators_read(
        self, client: Any, client_package: Callable[[str], Any]
    ) -> None:
        """A generated client reads readiness and usage."""
        assert client_package("api.operations.readiness").sync(client=client).ready is True
        assert client_package("api.native.usage").sync(client=client).photos >= 0


class TestPage:
    def test_the_page_works_offline(self, address: str) -> None:
        """The page /docs loads nothing from another host: its script, its style and its icon come
        from the gateway."""
        page = httpx.get(f"{address}/docs").text
        references = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page)
        assert len(references) == 3
        for reference in references:
            assert reference.startswith("/docs/static/")
            reply = httpx.get(address + reference)
            assert (reply.status_code, len(reply.content) > 1000) == (200, True)
        elsewhere = re.findall(r"https?://[^\"'\s<]+", page)
        assert elsewhere == []
        assert "https://" not in httpx.get(f"{address}/docs/oauth2-redirect").text

    def test_the_script_reads_openapi_3_1(self, address: str) -> None:
        """Swagger UI reads OpenAPI 3.1 since its version 5."""
        assert httpx.get(f"{address}/openapi.json").json()["openapi"].startswith("3.1")
        script = httpx.get(f"{address}/docs/static/swagger-ui-bundle.js").text
        assert "OpenAPI 3.1" in script or "openapi31" in script.lower()

    def test_nothing_else_is_served_beside_it(self, address: str) -> None:
        """Paths beside the page's files lead nowhere."""
        for path in ("/docs/static/", "/docs/static/../core.py", "/docs/static/%2e%2e/core.py"):
            assert httpx.get(address + path).status_code in (404, 405)
