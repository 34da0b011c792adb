"""Where a photo lies, as clients write it, and whether that is within a folder that an operator
opened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.locations import Folder, folder_of, location_of, s3_url

PLACES = {
    "s3://shop/a.jpg": ("s3", "shop", "a.jpg", ""),
    "S3://shop/a.jpg": ("s3", "shop", "a.jpg", ""),
    "s3://shop/a/b%20c%3Fd%23%C3%A9.jpg": ("s3", "shop", "a/b c?d#é.jpg", ""),
    "s3://shop/a%252Fb": ("s3", "shop", "a%2Fb", ""),
    "s3://shop/a+b&c=d": ("s3", "shop", "a+b&c=d", ""),
    "s3://shop/a.jpg?versionId=v%2B1": ("s3", "shop", "a.jpg", "v+1"),
    "s3://shop//a": ("s3", "shop", "/a", ""),
    "gs://shop/a b?c#d%20é.jpg": ("gs", "shop", "a b?c#d%20é.jpg", ""),
    "gs://www.shop.example/..a/b..": ("gs", "www.shop.example", "..a/b..", ""),
}
UNREADABLE = [
    "",
    "shop/a.jpg",
    "s3:/shop/a.jpg",
    "file:///etc/passwd",
    "ftp://shop/a.jpg",
    "s3n://shop/a.jpg",
    "s3://",
    "s3://shop",
    "s3://shop/",
    "s3:///a.jpg",
    "s3://sh/a.jpg",
    "s3://../shop/a.jpg",
    "s3://.../a.jpg",
    "s3://shop@evil/a.jpg",
    "s3://shop%2Fa/b",
    "s3://shop\n/a",
    "s3://arn:aws:s3:::shop/a.jpg",
    f"s3://{'b' * 256}/a",
    "s3://shop/../secret/a",
    "s3://shop/a/%2E%2e/b",
    "s3://shop/a/..%2fb",
    "s3://shop/a%2F..%2Fb",
    "s3://shop/..",
    "s3://shop/./a",
    "s3://shop/a\\..\\b",
    "s3://shop/a%00b",
    "s3://shop/a%0d%0ab",
    "s3://shop/a%7f",
    "s3://shop/%ff",
    "s3://shop/" + "a" * 1025,
    "s3://shop/" + "%61" * 5000,
    "s3://shop/a?",
    "s3://shop/a?versionId=",
    "s3://shop/a?versionId=%0a",
    "s3://shop/a?versionId=..",
    "s3://shop/a?partNumber=1",
    "s3://shop/a\ud800",
    "gs://shop/../secret/a",
    "gs://shop/a/..",
    "gs://shop/a\r\nHost: b",
    "gs://shop",
    "gs://shop/",
]


@pytest.mark.parametrize(("url", "parts"), PLACES.items())
def test_a_url_names_an_object_of_a_store(url: str, parts: tuple[str, ...]) -> None:
    """S3 keys are percent-encoded once, and Cloud Storage names stand as they are."""
    assert location_of(url) == (url, *parts)


@pytest.mark.parametrize("url", ["https://shop.example/a.jpg", "HTTP://shop.example/../a"])
def test_a_web_url_is_left_to_the_fetcher(url: str) -> None:
    """The URL of a web server stays as it is, for its fetcher to read."""
    assert location_of(url) == (url, url.partition(":")[0].lower(), "", "", "")


@pytest.mark.parametrize("url", UNREADABLE)
def test_a_url_that_names_no_object_is_refused(url: str) -> None:
    """A URL that names no object is refused, and so is a key with `..` in it, however that is
    written."""
    with pytest.raises(ValueError, match="URL"):
        location_of(url)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Any text after the scheme is read or refused, and causes no other error."""
    for scheme in ("s3", "gs"):
        try:
            location = location_of(f"{scheme}://{text}")
        except ValueError:
            continue
        assert location.bucket in text
        assert ".." not in location.key.split("/")


@given(
    st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=200),
    st.text("aZ0+/=._-", max_size=20),
)
def test_a_written_url_is_read_back_the_same(key: str, version: str) -> None:
    """A bucket, key and version that are written as a URL are read back as the same."""
    if {".", ".."}.isdisjoint({*key.replace("\\", "/").split("/"), *version.split("/")}):
        assert location_of(s3_url("shop", key, version))[2:] == ("shop", key, version)


@pytest.mark.parametrize("bucket", ["shop/a", "a?b", "..", "shop%2Fa", ""])
def test_a_text_that_is_no_bucket_names_nothing(bucket: str) -> None:
    """A text that is no bucket's name cannot lead to an object of another bucket."""
    with pytest.raises(ValueError, match="URL"):
        location_of(s3_url(bucket, "a.jpg"))


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("s3://shop/", Folder("s3", "shop", "")),
        ("gs://shop/a/b c%20/", Folder("gs", "shop", "a/b c%20/")),
    ],
)
def test_a_folder_is_a_bucket_or_part_of_one(text: str, folder: Folder) -> None:
    """A folder is a bucket or a part of it, with its name as it stands."""
    assert folder_of(text) == folder


@pytest.mark.parametrize(
    "text",
    [
        "s3://shop",
        "s3://shop/a",
        "s3://",
        "s3:///",
        "shop/",
        "https://shop/",
        "s3://*/",
        "s3://shop/../",
        "",
    ],
)
def test_a_folder_ends_with_a_slash(text: str) -> None:
    """A text without a slash at its end names no folder, and the message says how to write one."""
    with pytest.raises(ValueError, match=r"write s3://BUCKET/"):
        folder_of(text)


@pytest.mark.parametrize(
    ("url", "within"),
    [
        ("s3://shop/photos/a.jpg", True),
        ("s3://shop/photos%2Fa.jpg", True),
        ("s3://shop/%70hotos/a/b.jpg", True),
        ("s3://shop/photos", False),
        ("s3://shop/photos2/a.jpg", False),
        ("s3://shop/Photos/a.jpg", False),
        ("s3://shop//photos/a.jpg", False),
        ("s3://shop/a.jpg?versionId=photos/", False),
        ("s3://shop2/photos/a.jpg", False),
        ("s3://Shop/photos/a.jpg", False),
        ("s3://secret/shop/photos/a.jpg", False),
        ("gs://shop/photos/a.jpg", False),
    ],
)
def test_a_folder_holds_what_begins_with_it(url: str, within: bool) -> None:
    """A folder holds the objects of its own bucket and store whose keys begin with its name,
    compared as the store compares them."""
    assert folder_of("s3://shop/photos/").holds(location_of(url)) == within
