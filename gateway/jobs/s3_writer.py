"""The writer of S3, by boto3 and with the gateway's rights.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from gateway.core.locations import Location
from gateway.jobs.sinks import (
    NotWritten,
    SinkForbidden,
    SinkKeyUnusable,
    SinkMissing,
    SinkRefused,
)
from providers.errors import Unavailable
from providers.remote.call_threads import CallThreads

log = logging.getLogger("imgrid")

AT_ONCE = 4
"""Objects being written at a time: each is in memory."""
REFUSALS: Mapping[str, type[SinkRefused]] = {
    "AccessDenied": SinkForbidden,
    "AllAccessDisabled": SinkForbidden,
    "InvalidBucketName": SinkMissing,
    "NoSuchBucket": SinkMissing,
}
"""S3's error codes that no later try changes. Those of KMS begin with `KMS.`"""
REASONS: Mapping[type[SinkRefused], str] = {
    SinkForbidden: "the gateway has no right to write there",
    SinkMissing: "there is no such bucket",
    SinkKeyUnusable: "the bucket's key of encryption cannot be used",
}


class S3Writer:
    """Writes to Amazon S3 or a compatible store with boto3's client, with a thread for each object.
    Holds its threads."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._threads = CallThreads("s3-write", AT_ONCE)

    async def write(self, location: Location, data: bytes, content_type: str) -> None:
        try:
            await self._threads.run(partial(self._put, location, data, content_type))
        except Unavailable as error:
            raise _not_written(f"s3: {error}") from error

    async def close(self) -> None:
        self._threads.close()
        self._client.close()

    def _put(self, location: Location, data: bytes, content_type: str) -> None:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            self._client.put_object(
                Bucket=location.bucket, Key=location.key, Body=data, ContentType=content_type
            )
        except ClientError as error:
            code = error.response["Error"].get("Code", "")
            raise _not_written(f"s3: {error}", _refusal_of(code)) from error
        except (BotoCoreError, ResponseParserError) as error:
            raise _not_written(f"s3: {error}") from error


def _refusal_of(code: str) -> type[SinkRefused] | None:
    return SinkKeyUnusable if code.startswith("KMS.") else REFUSALS.get(code)


def _not_written(message: str, kind: type[SinkRefused] | None = None) -> NotWritten:
    """The error for the client. Only the operator's log has the store's message."""
    log.warning("results were not written: %s", message)
    if kind is None:
        return NotWritten("The results were not written: the store did not answer as it should.")
    return kind(f"The results were not written: {REASONS[kind]}.")
