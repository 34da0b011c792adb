"""Results are written to open folders only, with the gateway's rights; moto's server is S3."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from gateway.config.errors import ConfigError
from gateway.core.errors import BadRequest, SinkNotAllowed
from gateway.core.locations import folder_of
from gateway.intake.object_stores import s3_client as gateways_client
from gateway.jobs.s3_writer import S3Writer
from gateway.jobs.sinks import (
    NotWritten,
    SinkForbidden,
    SinkKeyUnusable,
    SinkMissing,
    SinkRefused,
    Sinks,
)
from gateway.testing.gateway import parts_of
from gateway.testing.redis_server import free_port
from tests.support.configs import SHAPES, SHOP
from tests.support.s3_server import s3_client, s3_server
from tests.support.sources import s3_settings


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture(scope="module")
def s3(s3_endpoint: str) -> Iterator[Any]:
    client = s3_client(s3_endpoint)
    client.create_bucket(Bucket="results")
    yield client
    client.close()


@pytest.fixture
async def sinks(s3_endpoint: str) -> AsyncIterator[Sinks]:
    """Sinks of which one is open to every tenant, and others to one."""
    writer = S3Writer(gateways_client(s3_settings(s3_endpoint), 20))
    tenant_folders = [folder_of("s3://results/shop/"), folder_of("s3://none/")]
    sinks = Sinks(writer, [folder_of("s3://results/all/")], {"shop": tenant_folders})
    yield sinks
    await sinks.close()


async def write(sinks: Sinks, bucket: str, key: str, data: bytes = b"{}") -> None:
    await sinks.write(bucket, key, "shop", data=data, content_type="application/json")


async def test_an_object_is_written_whole_and_again(sinks: Sinks, s3: Any) -> None:
    """An object has the bytes and the type of its last writing."""
    for data in (b"first", b"second", b"second"):
        await write(sinks, "results", "shop/ä b?.json", data)
    written = s3.get_object(Bucket="results", Key="shop/ä b?.json")
    assert (written["Body"].read(), written["ContentType"]) == (b"second", "application/json")


def test_a_tenant_writes_to_its_own_and_the_shared_folders(sinks: Sinks) -> None:
    """A tenant's results go to its own folders and the shared ones, and nowhere else."""
    for key, tenant in (("all/a", "press"), ("all/a", "shop"), ("shop/a", "shop")):
        assert sinks.location("results", key, tenant).key == key
    for bucket, key, tenant in (
        ("results", "shop/a", "press"),
        ("results", "shopping/a", "shop"),
        ("results", "a", "shop"),
        ("results2", "all/a", "shop"),
    ):
        with pytest.raises(SinkNotAllowed, match=f"s3://{bucket}/"):
            sinks.location(bucket, key, tenant)


@pytest.mark.parametrize("key", ["all/../shop/a", "all/./a", "all/\\..\\a", "all/\na", "a" * 1025])
def test_a_key_that_servers_read_differently_is_refused(sinks: Sinks, key: str) -> None:
    """A key that a proxy before the store may read as another one is none."""
    with pytest.raises(BadRequest) as caught:
        sinks.location("results", key, "shop")
    assert not isinstance(caught.value, SinkNotAllowed)


async def test_a_bucket_that_is_missing_refuses(sinks: Sinks) -> None:
    """A bucket that does not exist refuses for good."""
    with pytest.raises(SinkMissing):
        await write(sinks, "none", "a")


async def test_a_store_that_is_away_may_take_it_later() -> None:
    """A store that does not answer refuses nothing."""
    writer = S3Writer(gateways_client(s3_settings(f"http://127.0.0.1:{free_port()}"), 0.2))
    sinks = Sinks(writer, [folder_of("s3://results/")])
    with pytest.raises(NotWritten) as caught:
        await write(sinks, "results", "a")
    assert not isinstance(caught.value, SinkRefused)
    await sinks.close()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDenied", SinkForbidden),
        ("KMS.DisabledException", SinkKeyUnusable),
        ("SlowDown", NotWritten),
        ("ExpiredToken", NotWritten),
    ],
)
async def test_an_error_of_the_store_is_told_without_its_message(
    s3_endpoint: str, code: str, kind: type[NotWritten]
) -> None:
    """What the store says of the gateway's own rights is for its operator's log only."""
    client = gateways_client(s3_settings(s3_endpoint), 20)
    sinks = Sinks(S3Writer(client), [folder_of("s3://results/")])
    with Stubber(client) as stubber:
        stubber.add_client_error("put_object", code, "arn:aws:iam::1:role/gateway", 403)
        with pytest.raises(NotWritten) as caught:
            await write(sinks, "results", "a")
    assert type(caught.value) is kind
    assert "arn" not in str(caught.value)
    await sinks.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"jobs": {"sinks": ["gs://results/"]}}, r"jobs\.sinks\[0\]: .* is no folder in S3"),
        ({"jobs": {"sinks": ["s3://results"]}}, r"jobs\.sinks\[0\]: .* is no folder"),
        ({"tenants": [{**SHOP, "sinks": ["results/"]}]}, r"tenants\[0\]\.sinks\[0\]"),
    ],
)
def test_a_sink_is_a_folder_in_s3(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """A sink that is no bucket or folder of S3 is refused when the gateway starts."""
    with pytest.raises(ConfigError, match=message):
        parts_of(tmp_path, {**SHAPES, **changes})
