"""Object stores: the gateway reads photos from S3 and Cloud Storage with its own rights.

S3 is moto's server, Cloud Storage a small server of the tests; the vendors' own libraries call both
over loopback.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import pytest
from google.auth.transport.requests import AuthorizedSession
from google.oauth2.credentials import Credentials

from gateway.config.sections import GsSettings, S3Settings
from gateway.core.errors import (
    NotFetched,
    SourceAway,
    SourceMissing,
    SourceTooLarge,
    TooManyBytes,
)
from gateway.core.locations import folder_of, s3_url
from gateway.intake.object_stores import GsReader, open_gs, open_s3, read_all
from gateway.intake.sources import Sources
from gateway.testing.redis_server import free_port
from providers.errors import Misconfigured
from tests.support.object_stores import (
    MOST,
    ODD,
    PHOTO,
    SHOP,
    A,
    Answers,
    own_credentials,
    reply_with,
    settings_of,
)


@pytest.fixture
async def s3_sources(s3: Any, s3_endpoint: str) -> AsyncIterator[Sources]:
    """A tenant whose folder is the bucket `shop`, before moto's S3."""
    s3_sources = Sources(
        {"s3": open_s3(settings_of(s3_endpoint), 20)},
        tenant_folders={"shop": [folder_of("s3://shop/")]},
        timeout_s=20,
    )
    yield s3_sources
    await s3_sources.close()


class TestS3:
    @pytest.mark.parametrize("key", ["a.jpg", "photos/a.jpg", ODD])
    async def test_an_object_is_read_byte_for_byte(self, s3_sources: Sources, key: str) -> None:
        """An object is read byte for byte, whatever its key."""
        assert await s3_sources.fetch(s3_url("shop", key), SHOP, MOST) == PHOTO

    @pytest.mark.parametrize(("key", "size"), [("just.jpg", MOST), ("empty.jpg", 0)])
    async def test_an_object_of_the_limit_is_read(
        self, s3_sources: Sources, key: str, size: int
    ) -> None:
        """An object of the limit is read, and so is an empty one, which admission refuses."""
        assert len(await s3_sources.fetch(s3_url("shop", key), SHOP, MOST)) == size

    async def test_a_named_version_is_read(self, s3_sources: Sources, s3: Any) -> None:
        """The named version is the one that is read."""
        s3.put_bucket_versioning(Bucket="shop", VersioningConfiguration={"Status": "Enabled"})
        old, new = (
            s3.put_object(Bucket="shop", Key="v.jpg", Body=body)["VersionId"]
            for body in (b"old", b"new")
        )
        deleted = s3.delete_object(Bucket="shop", Key="v.jpg")["VersionId"]
        assert await s3_sources.fetch(s3_url("shop", "v.jpg", old), SHOP, MOST) == b"old"
        assert await s3_sources.fetch(s3_url("shop", "v.jpg", new), SHOP, MOST) == b"new"
        for gone in ("", deleted, "no-such-version"):
            with pytest.raises(SourceMissing):
                await s3_sources.fetch(s3_url("shop", "v.jpg", gone), SHOP, MOST)

    async def test_too_large_an_object_is_refused_like_an_upload(self, s3_sources: Sources) -> None:
        """An object that is too large is refused as an uploaded photo would be."""
        with pytest.raises(SourceTooLarge, match="larger than 4096 bytes") as caught:
            await s3_sources.fetch(s3_url("shop", "large.jpg"), SHOP, MOST)
        assert isinstance(caught.value, TooManyBytes)
        assert isinstance(caught.value, NotFetched)

    async def test_a_missing_object_is_reported(self, s3_sources: Sources) -> None:
        """A missing object is reported as missing."""
        with pytest.raises(SourceMissing, match="no such object"):
            await s3_sources.fetch("s3://shop/none.jpg", SHOP, MOST)

    async def test_a_missing_bucket_is_a_missing_object(self, s3_endpoint: str) -> None:
        """A bucket that does not exist is reported like a missing object."""
        s3_sources = Sources(
            {"s3": open_s3(settings_of(s3_endpoint), 20)},
            [folder_of("s3://nobodys/")],
            timeout_s=20,
        )
        with pytest.raises(SourceMissing):
            await s3_sources.fetch("s3://nobodys/a.jpg", SHOP, MOST)
        await s3_sources.close()

    async def test_an_object_without_rights_is_missing(
        self, s3: Any, s3_endpoint: str, enforcing: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        """An object that the gateway may not read is reported as missing; an invalid key of the
        gateway is logged."""
        denied = await self._refusal(s3_endpoint, enforcing)
        unknown = await self._refusal(
            s3_endpoint, {"access_key": "AKIAUNKNOWN", "secret_key": "SK"}
        )
        assert type(denied) is SourceMissing
        assert type(unknown) is SourceAway
        assert "operator's log" in str(unknown)
        assert "InvalidAccessKeyId" in caplog.text

    async def _refusal(self, endpoint: str, pair: dict[str, str]) -> NotFetched:
        given = S3Settings(region="us-east-1", endpoint=endpoint, **pair)
        s3_sources = Sources({"s3": open_s3(given, 20)}, [folder_of("s3://shop/")], timeout_s=20)
        with pytest.raises(NotFetched) as caught:
            await s3_sources.fetch("s3://shop/a.jpg", SHOP, MOST)
        await s3_sources.close()
        return caught.value

    async def test_a_store_without_an_answer_is_away(self) -> None:
        """A store that does not answer is away, and a retry may help."""
        endpoint = f"http://127.0.0.1:{free_port()}"
        s3_sources = Sources(
            {"s3": open_s3(settings_of(endpoint), 20)}, [folder_of("s3://shop/")], timeout_s=20
        )
        with pytest.raises(SourceAway) as caught:
            await s3_sources.fetch("s3://shop/a.jpg", SHOP, MOST)
        assert "127.0.0.1" not in str(caught.value)
        await s3_sources.close()

    def test_a_key_without_its_secret_is_refused(self) -> None:
        """A key without its secret is no credential."""
        with pytest.raises(ValueError, match="go together"):
            S3Settings(access_key="AK")

    def test_an_endpoint_that_is_no_address_stops_the_start(self) -> None:
        """An endpoint that is no address stops the start."""
        with pytest.raises(Misconfigured, match="endpoint"):
            open_s3(settings_of("nowhere"), 1)


@pytest.fixture
def enforcing(s3_endpoint: str) -> Iterator[dict[str, str]]:
    """moto asks for rights now; the key of a user that has none."""
    iam = boto3.client("iam", **own_credentials(s3_endpoint))
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    address = urlsplit(s3_endpoint)

    def ask(count: str) -> None:
        import http.client

        connection = http.client.HTTPConnection(address.hostname, address.port)
        connection.request("POST", "/moto-api/reset-auth", count)
        connection.getresponse().read()
        connection.close()

    ask("0")
    yield {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}
    ask("inf")
    iam.close()


@pytest.fixture
async def gs_sources(answers: Answers) -> AsyncIterator[Sources]:
    """Everybody's folder is the bucket `shop`, before the stand-in for Cloud Storage."""
    gs_sources = Sources(
        {"gs": open_gs(GsSettings(endpoint=answers.url + "/"), 20)},
        [folder_of("gs://shop/")],
        timeout_s=20,
    )
    yield gs_sources
    await gs_sources.close()


class TestGs:
    @pytest.mark.parametrize("name", ["a.jpg", "photos/a.jpg", ODD])
    async def test_an_object_is_named_in_one_path_segment(
        self, gs_sources: Sources, answers: Answers, name: str
    ) -> None:
        """An object is requested by its name in one segment of the path, and without credentials at
        a stand-in."""
        answers.answers = {
            path: reply_with() for path in (A, "/storage/v1/b/shop/o/photos%2Fa.jpg?alt=media")
        }
        answers.answers[
            "/storage/v1/b/shop/o/an%20odd%2Fphoto%20%3F%23%2520%2B%C3%A9%26.jpg?alt=media"
        ] = reply_with()
        assert await gs_sources.fetch(f"gs://shop/{name}", SHOP, MOST) == PHOTO
        ((path, headers),) = answers.requests
        assert unquote(path).startswith(f"/storage/v1/b/shop/o/{name}?")
        assert "Authorization" not in headers
        assert headers["Accept-Encoding"] == "identity"

    async def test_credentials_give_the_call_their_token(self, answers: Answers) -> None:
        """With credentials the call has their token."""
        session = AuthorizedSession(Credentials("token-of-the-gateway"))
        answers.answers[A] = reply_with()
        gs_sources = Sources(
            {"gs": GsReader(session, answers.url, (5, 5))}, [folder_of("gs://shop/")], timeout_s=20
        )
        assert await gs_sources.fetch("gs://shop/a.jpg", SHOP, MOST) == PHOTO
        assert answers.requests[0][1]["Authorization"] == "Bearer token-of-the-gateway"
        await gs_sources.close()

    async def test_void_credentials_are_left_to_the_operator(self, answers: Answers) -> None:
        """Credentials that cannot be renewed are a problem for the operator's log, and the client
        gets no details."""
        answers.answers[A] = reply_with(b"", 401)
        session = AuthorizedSession(Credentials("old"))
        gs_sources = Sources(
            {"gs": GsReader(session, answers.url, (5, 5))}, [folder_of("gs://shop/")], timeout_s=20
        )
        with pytest.raises(SourceAway, match="operator's log"):
            await gs_sources.fetch("gs://shop/a.jpg", SHOP, MOST)
        await gs_sources.close()

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
    async def test_a_missing_object_differs_from_a_silent_store(
        self, gs_sources: Sources, answers: Answers, status: int, kind: type[NotFetched]
    ) -> None:
        """An object that is missing or forbidden differs from a store that does not answer."""
        answers.answers[A] = reply_with(b"why: internals", status)
        with pytest.raises(kind) as caught:
            await gs_sources.fetch("gs://shop/a.jpg", SHOP, MOST)
        assert type(caught.value) is kind
        assert "internals" not in str(caught.value)

    async def test_a_redirect_is_not_followed(self, gs_sources: Sources, answers: Answers) -> None:
        """A redirect is not followed, because it leads past the folders."""
        answers.answers = {
            A: reply_with(b"", 302, Location="/elsewhere"),
            "/elsewhere": reply_with(),
        }
        with pytest.raises(SourceAway):
            await gs_sources.fetch("gs://shop/a.jpg", SHOP, MOST)
        assert [path for path, _ in answers.requests] == [A]

    @pytest.mark.parametrize("length", [{}, {"Content-Length": str(MOST + 1)}])
    async def test_too_large_an_object_is_not_read(
        self, gs_sources: Sources, answers: Answers, length: dict[str, str]
    ) -> None:
        """An object that is too large is not read, with or without its length."""
        answers.answers[A] = 200, length, bytes(MOST + 1)
        with pytest.raises(SourceTooLarge):
            await gs_sources.fetch("gs://shop/a.jpg", SHOP, MOST)

    async def test_a_photo_that_ends_early_is_refused(
        self, gs_sources: Sources, answers: Answers
    ) -> None:
        """A photo that ends before its length is refused."""
        answers.answers[A] = 200, {"Content-Length": "2000"}, PHOTO
        with pytest.raises(SourceAway):
            await gs_sources.fetch("gs://shop/a.jpg", SHOP, MOST)

    async def test_missing_credentials_stop_the_start(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Google's own address needs credentials; without any the start fails, with the remedy."""
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
        with pytest.raises(Misconfigured, match="anonymous: true"):
            open_gs(GsSettings(), 1)
        await open_gs(GsSettings(anonymous=True), 1).close()


class TestGather:
    @pytest.mark.parametrize("length", [None, 10])
    def test_parts_are_joined_until_the_last(self, length: int | None) -> None:
        """Parts are joined until there are no more."""
        parts = iter([b"01234", b"56789", b""])
        assert read_all(lambda most: next(parts), length, 10, lambda: False) == b"0123456789"

    def test_endless_parts_are_read_to_one_byte_too_many(self) -> None:
        """An endless object is read to one byte more than the limit."""
        read = []
        with pytest.raises(SourceTooLarge):
            read_all(lambda most: read.append(bytes(most)) or read[-1], None, 10, lambda: False)
        assert sum(map(len, read)) == 11

    def test_too_large_a_length_is_refused_unread(self) -> None:
        """An object whose length is too large is not read."""
        with pytest.raises(SourceTooLarge):
            read_all(lambda most: pytest.fail("it was read"), 11, 10, lambda: False)

    def test_an_abandoned_read_is_no_photo(self) -> None:
        """A read without a waiting client is no photo, however much of it is there."""
        with pytest.raises(SourceAway):
            read_all(lambda most: b"", None, 10, lambda: True)
