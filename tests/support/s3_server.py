"""moto's S3, as a server on loopback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.sources import S3_KEY


def s3_client(address: str) -> Any:
    """boto3's client of that S3."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name=S3_KEY["region"],
        aws_access_key_id=S3_KEY["access_key"],
        aws_secret_access_key=S3_KEY["secret_key"],
    )


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of an empty S3, which any key may use."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
