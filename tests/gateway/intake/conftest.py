"""Stores and servers that have photos: moto's S3, and a small server of these tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from tests.support.s3_server import s3_server
from tests.support.sources import MAX_BYTES, ODD_NAME, PHOTO, S3_KEY, StandInServer


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """moto's S3."""
    with s3_server() as address:
        yield address


@pytest.fixture(scope="module")
def aws_options(s3_endpoint: str) -> dict[str, str]:
    """The options of the operator's own boto3 clients of moto."""
    return {
        "endpoint_url": s3_endpoint,
        "region_name": S3_KEY["region"],
        "aws_access_key_id": S3_KEY["access_key"],
        "aws_secret_access_key": S3_KEY["secret_key"],
    }


@pytest.fixture(scope="module")
def s3(aws_options: dict[str, str]) -> Iterator[Any]:
    """The operator's own client, after it has put photos into the buckets."""
    client = boto3.client("s3", **aws_options)
    for bucket in ("shop", "shop2", "press"):
        client.create_bucket(Bucket=bucket)
    for key in ("photos/a.jpg", ODD_NAME, "a.jpg"):
        client.put_object(Bucket="shop", Key=key, Body=PHOTO)
    client.put_object(Bucket="shop", Key="large.jpg", Body=bytes(MAX_BYTES + 1))
    client.put_object(Bucket="shop", Key="just.jpg", Body=bytes(MAX_BYTES))
    client.put_object(Bucket="shop", Key="empty.jpg", Body=b"")
    client.put_object(Bucket="shop2", Key="a.jpg", Body=b"secret")
    yield client
    client.close()


@pytest.fixture(scope="module")
def running_server() -> Iterator[StandInServer]:
    with StandInServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def http_server(running_server: StandInServer) -> StandInServer:
    """A server that has no reply yet."""
    running_server.replies.clear()
    running_server.requests.clear()
    return running_server
