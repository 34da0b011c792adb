"""Photos in Cloud Storage are read with the gateway's rights; a small server of these tests is the
store, and Google's library calls it."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from google.auth.transport.requests import AuthorizedSession
from google.oauth2.credentials import Credentials
from requests import Response

from gateway.config.sections import GsSettings
from gateway.core.errors import NotFetched, SourceAway, SourceMissing, SourceTooLarge
from gateway.intake.object_stores import GsReader, open_gs
from gateway.intake.sources import Sources
from providers.errors import Misconfigured
from tests.support.sources import (
    GS_PATH,
    MAX_BYTES,
    ODD_NAME,
    PHOTO,
    SHOP,
    StandInServer,
    http_reply,
    open_sources,
)


@pytest.fixture
async def sources(http_server: StandInServer) -> AsyncIterator[Sources]:
    """Sources that are open to every tenant: the bucket `shop` of the stand-in."""
    opened = open_sources(
        "gs", open_gs(GsSettings(endpoint=http_server.url + "/"), 20), "gs://shop/"
    )
    yield opened
    await opened.close()


@pytest.mark.parametrize("name", ["a.jpg", "photos/a.jpg", ODD_NAME])
async def test_an_object_is_requested_by_its_quoted_name(
    sources: Sources, http_server: StandInServer, name: str
) -> None:
    """An object's name is one quoted segment of the requested path; a stand-in gets no credentials,
    and the photo comes uncompressed."""
    http_server.replies = {
        path: http_reply() for path in (GS_PATH, "/storage/v1/b/shop/o/photos%2Fa.jpg?alt=media")
    }
    http_server.replies[
        "/storage/v1/b/shop/o/an%20odd%2Fphoto%20%3F%23%2520%2B%C3%A9%26.jpg?alt=media"
    ] = http_reply()
    assert await sources.fetch(f"gs://shop/{name}", SHOP, MAX_BYTES) == PHOTO
    ((path, headers),) = http_server.requests
    assert unquote(path).startswith(f"/storage/v1/b/shop/o/{name}?")
    assert "Authorization" not in headers
    assert headers["Accept-Encoding"] == "identity"


async def test_a_compressed_object_is_inflated(
    sources: Sources, http_server: StandInServer
) -> None:
    """An object that is stored compressed, and says so, is inflated within the limit."""
    headers = {"Content-Encoding": "gzip"}
    http_server.replies[GS_PATH] = 200, headers, gzip.compress(PHOTO)
    assert await sources.fetch("gs://shop/a.jpg", SHOP, MAX_BYTES) == PHOTO
    http_server.replies[GS_PATH] = 200, headers, gzip.compress(bytes(MAX_BYTES + 1))
    with pytest.raises(SourceTooLarge):
        await sources.fetch("gs://shop/a.jpg", SHOP, MAX_BYTES)
    http_server.replies[GS_PATH] = 200, {"Content-Encoding": "br"}, PHOTO
    with pytest.raises(NotFetched, match="'br'"):
        await sources.fetch("gs://shop/a.jpg", SHOP, MAX_BYTES)


async def test_a_call_has_the_credentials_token(http_server: StandInServer) -> None:
    """With credentials the call has their token."""
    session = AuthorizedSession(Credentials("token-of-the-gateway"))
    http_server.replies[GS_PATH] = http_reply()
    sources = open_sources("gs", GsReader(session, http_server.url, (5, 5)), "gs://shop/")
    assert await sources.fetch("gs://shop/a.jpg", SHOP, MAX_BYTES) == PHOTO
    assert http_server.requests[0][1]["Authorization"] == "Bearer token-of-the-gateway"
    await sources.close()


async def test_expired_credentials_are_a_matter_of_the_log(http_server: StandInServer) -> None:
    """If credentials cannot be renewed, the error refers to the operator's log and says no more,
    and the answer that refused them is closed."""
    answers: list[Response] = []

    class RecordingSession(AuthorizedSession):
        """Google's session, which notes its answers."""

        def send(self, request: Any, **options: Any) -> Response:
            answers.append(super().send(request, **options))
            return answers[-1]

    http_server.replies[GS_PATH] = http_reply(b"no", 401)
    session = RecordingSession(Credentials("old"))
    sources = open_sources("gs", GsReader(session, http_server.url, (5, 5)), "gs://shop/")
    with pytest.raises(SourceAway, match="operator's log"):
        await sources.fetch("gs://shop/a.jpg", SHOP, MAX_BYTES)
    assert [(answer.status_code, answer.raw.isclosed()) for answer in answers] == [(401, True)]
    await sources.close()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, SourceMissing),
        (401, SourceMissing),
        (403, SourceMissing),
        (404, SourceMissing),
        (408, SourceAway),
        (429, SourceAway),
        (500, SourceAway),
        (503, SourceAway),
    ],
)
async def test_a_missing_object_differs_from_a_store_away(
    sources: Sources, http_server: StandInServer, status: int, kind: type
) -> None:
    """A status that refuses the object makes it missing, and a status of an outage makes the store
    away; the error does not contain the body."""
    http_server.replies[GS_PATH] = http_reply(b"why: internals", status)
    with pytest.raises(kind) as caught:
        await sources.fetch("gs://shop/a.jpg", SHOP, MAX_BYTES)
    assert type(caught.value) is kind
    assert "internals" not in str(caught.value)


async def test_a_redirect_is_not_followed(sources: Sources, http_server: StandInServer) -> None:
    """A redirect is not followed, because it would lead past the folders."""
    http_server.replies = {
        GS_PATH: http_reply(b"", 302, Location="/elsewhere"),
        "/elsewhere": http_reply(),
    }
    with pytest.raises(SourceAway):
        await sources.fetch("gs://shop/a.jpg", SHOP, MAX_BYTES)
    assert [path for path, _ in http_server.requests] == [GS_PATH]


@pytest.mark.parametrize("length", [{}, {"Content-Length": str(MAX_BYTES + 1)}])
async def test_an_object_over_the_limit_is_refused(
    sources: Sources, http_server: StandInServer, length: dict[str, str]
) -> None:
    """An object over the limit is refused, with and without a stated length."""
    http_server.replies[GS_PATH] = 200, length, bytes(MAX_BYTES + 1)
    with pytest.raises(SourceTooLarge):
        await sources.fetch("gs://shop/a.jpg", SHOP, MAX_BYTES)


async def test_a_photo_cut_short_is_not_accepted(
    sources: Sources, http_server: StandInServer
) -> None:
    """A photo that ends before its stated length is not accepted."""
    http_server.replies[GS_PATH] = 200, {"Content-Length": "2000"}, PHOTO
    with pytest.raises(SourceAway):
        await sources.fetch("gs://shop/a.jpg", SHOP, MAX_BYTES)


async def test_missing_credentials_stop_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without credentials for Google's own address the start fails, and the error names the setting
    that needs none."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(Misconfigured, match="anonymous: true"):
        open_gs(GsSettings(), 1)
    await open_gs(GsSettings(anonymous=True), 1).close()
