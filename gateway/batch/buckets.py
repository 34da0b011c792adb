"""Photos in buckets of S3, Google Cloud Storage and Azure, by the package obstore: with the rights
that the environment gives, as the vendors' own tools take them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from gateway.config.errors import ConfigError
from providers.extras import import_package

SCHEMES = ("s3", "gs", "az")
LISTED_AT_ONCE = 1000


@lru_cache(maxsize=64)
def _store(bucket: str) -> Any:
    """The store of a bucket, such as `s3://bucket`. Raises ConfigError."""
    stores = import_package("obstore.store", "batch")
    options = {"allow_http": "true"}  # for a store of one's own that the environment names
    try:
        return stores.from_url(bucket, client_options=options)
    except Exception as error:  # obstore raises errors of several kinds here
        raise ConfigError(f"{bucket}: cannot be opened ({error})") from None


class BucketReader:
    """Reads objects by their full places (`s3://bucket/name`). Holds nothing but open stores."""

    def places(self, prefix: str) -> Iterator[str]:
        """The places of all objects whose names begin so. Raises ConfigError where they cannot be
        listed."""
        bucket, name = _parts(prefix)
        store = _store(bucket)
        listing = import_package("obstore", "batch").list
        try:
            for part in listing(store, name or None, chunk_size=LISTED_AT_ONCE):
                for each in part:
                    yield f"{bucket}/{each['path']}"
        except Exception as error:  # obstore raises errors of several kinds here
            raise ConfigError(f"{prefix}: cannot be listed ({_first_line(error)})") from None

    def read(self, place: str, most_bytes: int) -> bytes:
        """The object, or its first `most_bytes` + 1 bytes. Raises OSError."""
        bucket, name = _parts(place)
        try:
            reply = import_package("obstore", "batch").get(_store(bucket), name)
            content, size = bytearray(), 0
            for part in reply.stream():
                content += part
                size += len(part)
                if size > most_bytes:
                    break
            return bytes(content)
        except Exception as error:  # obstore raises errors of several kinds here
            raise OSError(f"{place}: {_first_line(error)}") from None


def _parts(place: str) -> tuple[str, str]:
    """The bucket with its scheme, and the name in it. Raises OSError for another scheme."""
    parts = urlsplit(place)
    if parts.scheme not in SCHEMES:
        raise OSError(f"{place}: photos may lie in {', '.join(SCHEMES)}")
    return f"{parts.scheme}://{parts.netloc}", parts.path.removeprefix("/")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
