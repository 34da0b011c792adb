"""Object stores on loopback."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.support.object_stores import (
    MOST,
    ODD,
    PHOTO,
    Answers,
    own_credentials,
)


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """moto's S3, with a bucket of one version a key and one of many."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def s3(s3_endpoint: str) -> Iterator[Any]:
    """The operator's own client, with objects in three buckets."""
    client = boto3.client("s3", **own_credentials(s3_endpoint))
    for bucket in ("shop", "shop2", "press"):
        client.create_bucket(Bucket=bucket)
    for key in ("photos/a.jpg", ODD, "a.jpg"):
        client.put_object(Bucket="shop", Key=key, Body=PHOTO)
    client.put_object(Bucket="shop", Key="large.jpg", Body=bytes(MOST + 1))
    client.put_object(Bucket="shop", Key="just.jpg", Body=bytes(MOST))
    client.put_object(Bucket="shop", Key="empty.jpg", Body=b"")
    client.put_object(Bucket="shop2", Key="a.jpg", Body=b"secret")
    yield client
    client.close()


@pytest.fixture(scope="module")
def answers_server() -> Iterator[Answers]:
    with Answers() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def answers(answers_server: Answers) -> Answers:
    """The server, with nothing to answer yet."""
    answers_server.answers.clear()
    answers_server.requests.clear()
    return answers_server
