"""The locations of photos that clients name, and the folders that the operator opens. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

WEB = frozenset({"http", "https"})
STORES = frozenset({"s3", "gs"})

MAX_CHARS = 8192
MAX_KEY_BYTES = 1024
"""The longest key or version: the limit that both stores have for a key."""
_BUCKET = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}"
)  # excludes the ARN of an access point, which leads to another bucket
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Location(NamedTuple):
    """The location of a photo: on the web its URL, in an object store the other fields. Schemes are
    in lower case; key and version are decoded, as the store has them."""

    url: str
    scheme: str
    bucket: str = ""
    key: str = ""
    version: str = ""


class Folder(NamedTuple):
    """A folder in a bucket: `key` ends with a slash, or is empty for the whole bucket."""

    scheme: str
    bucket: str
    key: str

    def holds(self, location: Location) -> bool:
        """Whether the location lies in the folder."""
        is_same_bucket = (location.scheme, location.bucket) == (self.scheme, self.bucket)
        return is_same_bucket and location.key.startswith(self.key)


def location_of(url: str) -> Location:
    """The location that a URL names.

    An http or https URL is not checked here. In `s3://bucket/key?versionId=…` the key and the
    version are percent-encoded; in `gs://bucket/object` the name is as it is, as Google's clients
    write it. Raises ValueError with a message that is safe to show.
    """
    scheme, mark, rest = url.partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in WEB | STORES:
        raise ValueError("The URL is none of https, http, s3 and gs.")
    if scheme in WEB:
        return Location(url, scheme)
    if len(url) > MAX_CHARS:
        raise ValueError(f"The URL is longer than {MAX_CHARS} characters.")
    bucket, _, key = rest.partition("/")
    key, version = _decoded(key) if scheme == "s3" else (key, "")
    if not _BUCKET.fullmatch(bucket) or not key or not _is_plain(key) or not _is_plain(version):
        raise ValueError(
            f"The URL names no object that is read here; write {scheme}://BUCKET/NAME."
        )
    return Location(url, scheme, bucket, key, version)


def s3_url(bucket: str, key: str, version: str = "") -> str:
    """The URL that `location_of` reads as these parts, if the bucket's name is valid."""
    return f"s3://{quote(bucket, safe='')}/{quote(key)}" + (
        f"?versionId={quote(version, safe='')}" if version else ""
    )


def folder_of(text: str) -> Folder:
    """The folder that an operator wrote; nothing in it is percent-encoded.

    Raises ValueError with the right form.
    """
    scheme, _, rest = text.partition("://")
    bucket, _, key = rest.partition("/")
    if (
        scheme not in STORES
        or not _BUCKET.fullmatch(bucket)
        or not rest.endswith("/")
        or not _is_plain(key)
    ):
        raise ValueError(
            f"{text!r} is no folder; write s3://BUCKET/, gs://BUCKET/FOLDER/ or the like, with a "
            "slash at the end, so that no other bucket or folder begins with it"
        )
    return Folder(scheme, bucket, key)


def _decoded(text: str) -> tuple[str, str]:
    """The decoded key and version of an S3 URL. Raises ValueError."""
    key, mark, query = text.partition("?")
    name, _, version = query.partition("=")
    if mark and (name != "versionId" or not version):
        raise ValueError(
            "After the key of an s3 URL stands ?versionId=…, or nothing; a ? within it is written "
            "%3F."
        )
    try:
        return unquote(key, errors="strict"), unquote(version, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("The URL's percent-encoded characters are no UTF-8.") from None


def _is_plain(text: str) -> bool:
    """Whether all servers on the way read the key alike. To a store `..` is a name like any other,
    but a proxy before it may resolve it, and so leave the folder."""
    try:
        short = len(text.encode()) <= MAX_KEY_BYTES
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return short and not _CONTROL.search(text) and {".", ".."}.isdisjoint(re.split(r"[/\\]", text))
