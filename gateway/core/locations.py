"""Where a client says that its photo lies, and the folders that an operator opens to it. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

WEB = frozenset({"http", "https"})
STORES = frozenset({"s3", "gs"})

MAX_CHARS = 8192
MAX_KEY_BYTES = 1024
"""Of a key or a version: what both stores take of a key."""
_BUCKET = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}"
)  # so no access point's ARN, which is a bucket somewhere else
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Location(NamedTuple):
    """A photo's place: of one on the web the URL alone counts, of an object the rest, decoded.
    Schemes are in lower case, keys as the store has them."""

    url: str
    scheme: str
    bucket: str = ""
    key: str = ""
    version: str = ""


class Folder(NamedTuple):
    """What lies in a bucket under a key that ends with a slash, or in all of it where that is
    empty."""

    scheme: str
    bucket: str
    key: str

    def holds(self, place: Location) -> bool:
        return (place.scheme, place.bucket) == (self.scheme, self.bucket) and place.key.startswith(
            self.key
        )


def place_of(url: str) -> Location:
    """Reads http and https URLs (which are not judged here), `s3://bucket/key?versionId=…` with the
    key and the version percent-encoded, and `gs://bucket/object` with the object's name as it is,
    as Google's own clients write it.

    Raises ValueError with a message that is safe for who named it.
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
    """What `place_of` reads as these, where a bucket can have that name."""
    return f"s3://{quote(bucket, safe='')}/{quote(key)}" + (
        f"?versionId={quote(version, safe='')}" if version else ""
    )


def folder_of(text: str) -> Folder:
    """The folder that an operator wrote, with names as they are: nothing in it is percent-encoded.

    Raises ValueError saying how to write it.
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
            f"{text!r} is no folder; write s3://BUCKET/, gs://BUCKET/FOLDER/ or the like, with a slash at "
            "the end, so that no other bucket or folder begins with it"
        )
    return Folder(scheme, bucket, key)


def _decoded(text: str) -> tuple[str, str]:
    """Key and version."""
    key, mark, query = text.partition("?")
    name, _, version = query.partition("=")
    if mark and (name != "versionId" or not version):
        raise ValueError(
            "After the key of an s3 URL stands ?versionId=…, or nothing; a ? within it is written %3F."
        )
    try:
        return unquote(key, errors="strict"), unquote(version, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("The URL's percent-encoded characters are no UTF-8.") from None


def _is_plain(text: str) -> bool:
    """Whether everybody on the way reads the text alike: stores take `..` for a name as any other,
    but what stands before them may resolve it, and so leave the folder."""
    try:
        short = len(text.encode()) <= MAX_KEY_BYTES
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return short and not _CONTROL.search(text) and {".", ".."}.isdisjoint(re.split(r"[/\\]", text))
