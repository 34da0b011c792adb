"""Photos in S3 are read with the gateway's rights; moto's server is S3, and boto3 calls it."""

from __future__ import annotations

import gzip
import http.client
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from gateway.config.sections import S3Settings
from gateway.core.errors import (
    NotFetched,
    SourceAway,
    SourceMissing,
    SourceTooLarge,
    TooManyBytes,
)
from gateway.core.locations import folder_of, s3_url
from gateway.intake.object_stores import open_s3
from gateway.intake.sources import Sources
from gateway.testing.redis_server import free_port
from providers.errors import Misconfigured
from tests.support.sources import MAX_BYTES, ODD_NAME, PHOTO, SHOP, open_sources, s3_settings


@pytest.fixture
async def sources(s3: Any, s3_endpoint: str) -> AsyncIterator[Sources]:
    """Sources that are open to one tenant: the bucket `shop` of moto's S3."""
    opened = Sources(
        {"s3": open_s3(s3_settings(s3_endpoint), 20)},
        tenant_folders={"shop": [folder_of("s3://shop/")]},
        timeout_s=20,
    )
    yield opened
    await opened.close()


async def test_a_compressed_object_is_inflated(sources: Sources, s3: Any) -> None:
    """An object that is stored compressed, and says so, is inflated within the limit."""
    for name, data in (("small", PHOTO), ("large", bytes(MAX_BYTES + 1))):
        s3.put_object(Bucket="shop", Key=name, Body=gzip.compress(data), ContentEncoding="gzip")
    assert await sources.fetch(s3_url("shop", "small"), SHOP, MAX_BYTES) == PHOTO
    with pytest.raises(SourceTooLarge):
        await sources.fetch(s3_url("shop", "large"), SHOP, MAX_BYTES)


@pytest.fixture
def powerless_key(s3_endpoint: str, aws_options: dict[str, str]) -> Iterator[dict[str, str]]:
    """The key of a user without rights, while moto checks rights."""
    iam = boto3.client("iam", **aws_options)
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    address = urlsplit(s3_endpoint)

    def check_rights_after(requests: str) -> None:
        connection = http.client.HTTPConnection(address.hostname, address.port)
        connection.request("POST", "/moto-api/reset-auth", requests)
        connection.getresponse().read()
        connection.close()

    check_rights_after("0")
    yield {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}
    check_rights_after("inf")
    iam.close()


@pytest.mark.parametrize("key", ["a.jpg", "photos/a.jpg", ODD_NAME])
async def test_an_object_is_read_byte_for_byte(sources: Sources, key: str) -> None:
    """An object is read byte for byte, whatever its name."""
    assert await sources.fetch(s3_url("shop", key), SHOP, MAX_BYTES) == PHOTO


@pytest.mark.parametrize(("key", "size"), [("just.jpg", MAX_BYTES), ("empty.jpg", 0)])
async def test_an_object_of_the_limit_or_empty_is_read(
    sources: Sources, key: str, size: int
) -> None:
    """An object of exactly the limit is read, and so is an empty one, which admission refuses."""
    assert len(await sources.fetch(s3_url("shop", key), SHOP, MAX_BYTES)) == size


async def test_the_named_version_is_read(sources: Sources, s3: Any) -> None:
    """The version that a URL names is read; a deleted or unknown version is missing."""
    s3.put_bucket_versioning(Bucket="shop", VersioningConfiguration={"Status": "Enabled"})
    old, new = (
        s3.put_object(Bucket="shop", Key="v.jpg", Body=body)["VersionId"]
        for body in (b"old", b"new")
    )
    deleted = s3.delete_object(Bucket="shop", Key="v.jpg")["VersionId"]
    assert await sources.fetch(s3_url("shop", "v.jpg", old), SHOP, MAX_BYTES) == b"old"
    assert await sources.fetch(s3_url("shop", "v.jpg", new), SHOP, MAX_BYTES) == b"new"
    for gone in ("", deleted, "no-such-version"):
        with pytest.raises(SourceMissing):
            await sources.fetch(s3_url("shop", "v.jpg", gone), SHOP, MAX_BYTES)


async def test_a_larger_object_is_refused_like_a_sent_photo(sources: Sources) -> None:
    """An object over the limit is refused with the errors of a sent photo and of an unfetched
    one."""
    with pytest.raises(SourceTooLarge, match="larger than 4096 bytes") as caught:
        await sources.fetch(s3_url("shop", "large.jpg"), SHOP, MAX_BYTES)
    assert isinstance(caught.value, TooManyBytes)
    assert isinstance(caught.value, NotFetched)


async def test_a_missing_object_is_reported_as_such(sources: Sources) -> None:
    """The error for a missing object says that there is no such object."""
    with pytest.raises(SourceMissing, match="no such object"):
        await sources.fetch("s3://shop/none.jpg", SHOP, MAX_BYTES)


async def test_a_missing_bucket_is_a_missing_object(s3_endpoint: str) -> None:
    """A missing bucket gives the same error as a missing object."""
    sources = open_sources("s3", open_s3(s3_settings(s3_endpoint), 20), "s3://nobodys/")
    with pytest.raises(SourceMissing):
        await sources.fetch("s3://nobodys/a.jpg", SHOP, MAX_BYTES)
    await sources.close()


async def test_an_object_without_rights_counts_as_missing(
    s3: Any, s3_endpoint: str, powerless_key: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """An object that the gateway may not read counts as missing; with an invalid key of the gateway
    the store is away, and the operator's log gives the reason."""
    denied = await refusal(s3_endpoint, powerless_key)
    unknown = await refusal(s3_endpoint, {"access_key": "AKIAUNKNOWN", "secret_key": "SK"})
    assert type(denied) is SourceMissing
    assert type(unknown) is SourceAway
    assert "operator's log" in str(unknown)
    assert "InvalidAccessKeyId" in caplog.text


async def refusal(endpoint: str, access_key: dict[str, str]) -> NotFetched:
    """The error of a read with that access key."""
    settings = S3Settings(region="us-east-1", endpoint=endpoint, **access_key)
    sources = open_sources("s3", open_s3(settings, 20), "s3://shop/")
    with pytest.raises(NotFetched) as caught:
        await sources.fetch("s3://shop/a.jpg", SHOP, MAX_BYTES)
    await sources.close()
    return caught.value


async def test_an_unreachable_store_is_away() -> None:
    """An unreachable store is away, and the error does not contain its address."""
    endpoint = f"http://127.0.0.1:{free_port()}"
    sources = open_sources("s3", open_s3(s3_settings(endpoint), 20), "s3://shop/")
    with pytest.raises(SourceAway) as caught:
        await sources.fetch("s3://shop/a.jpg", SHOP, MAX_BYTES)
    assert "127.0.0.1" not in str(caught.value)
    await sources.close()


def test_a_key_without_secret_is_refused() -> None:
    """An access key without its secret is refused."""
    with pytest.raises(ValueError, match="go together"):
        S3Settings(access_key="AK")


def test_an_invalid_endpoint_stops_the_start() -> None:
    """An endpoint that is no address stops the start."""
    with pytest.raises(Misconfigured, match="endpoint"):
        open_s3(s3_settings("nowhere"), 1)
