"""Compressed bodies, inflated within a limit."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.content_encoding import (
    BrokenBody,
    Inflater,
    UnknownEncoding,
    encoding_of,
    inflated,
)


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


FORMATS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "two members of gzip": (
        "gzip",
        lambda data: gzip.compress(data[:3]) + gzip.compress(data[3:]),
    ),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
}


@pytest.mark.parametrize("form", FORMATS)
@given(data=st.binary(max_size=2000), size=st.integers(1, 500))
def test_what_was_compressed_is_inflated(form: str, data: bytes, size: int) -> None:
    """A body is what it was before it was compressed, in whatever parts it arrives."""
    encoding, compress = FORMATS[form]
    body = compress(data)
    assert inflated(body, encoding, len(data)) == data
    inflater = Inflater(encoding)
    parts = [
        inflater.inflate(body[start : start + size], len(data))
        for start in range(0, len(body), size)
    ]
    inflater.end()
    assert b"".join(parts) == data


@pytest.mark.parametrize("form", FORMATS)
def test_no_more_than_the_limit_is_inflated(form: str) -> None:
    """Of a body that grows a thousandfold, one byte more than the limit is made."""
    encoding, compress = FORMATS[form]
    assert len(inflated(compress(bytes(1_000_000)), encoding, 100)) == 101


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "break_body", [lambda body: body[:-3], lambda body: b"plain text"], ids=["cut short", "other"]
)
def test_a_broken_body_is_named(form: str, break_body: Callable[[bytes], bytes]) -> None:
    """A body that is cut short, or is not what its coding says, is an error that names the
    coding."""
    encoding, compress = FORMATS[form]
    with pytest.raises(BrokenBody, match=encoding):
        inflated(break_body(compress(bytes(range(256)))), encoding, 1000)


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        ("", ""),
        ("identity", ""),
        ("gzip", "gzip"),
        ("X-GZIP", "gzip"),
        ("identity, gzip", "gzip"),
        ("aws-chunked", ""),
        (" deflate ", "deflate"),
    ],
)
def test_a_coding_is_read_from_its_header(header: str, encoding: str) -> None:
    """Case, white space, old names and codings that change nothing do not matter."""
    assert encoding_of(header) == encoding


@pytest.mark.parametrize("header", ["br", "zstd", "gzip, gzip", "gzip, br"])
def test_other_codings_are_refused_by_name(header: str) -> None:
    """Other codings, and several on top of each other, are refused with their names."""
    with pytest.raises(UnknownEncoding, match=f"'{header}'.*gzip, deflate"):
        encoding_of(header)
