"""Bodies that came compressed, by their `Content-Encoding`, inflated within a limit.

https://www.rfc-editor.org/rfc/rfc9110#section-8.4
"""

from __future__ import annotations

import zlib

ENCODINGS = ("gzip", "deflate")
UNCOMPRESSED = frozenset({"", "identity", "aws-chunked"})
"""Codings that leave the bytes as they are; S3 keeps `aws-chunked` of an upload."""
ZLIB_BITS, GZIP_BITS, RAW_BITS = zlib.MAX_WBITS, 16 + zlib.MAX_WBITS, -zlib.MAX_WBITS
ZLIB_METHOD = 8
"""The low half of the first byte of zlib's format (RFC 1950); no raw deflate begins so."""


class UnknownEncoding(ValueError):
    """The body has a coding that is not read here. The message names it."""


class BrokenBody(ValueError):
    """The body is not what its coding says."""


def encoding_of(header: str) -> str:
    """The coding that a `Content-Encoding` names: gzip or deflate; empty where the bytes are as
    they are. Raises UnknownEncoding for another one, and for several."""
    names = [name.strip().lower() for name in header.split(",")]
    codings = [name.removeprefix("x-") for name in names if name not in UNCOMPRESSED]
    if not codings:
        return ""
    if len(codings) > 1 or codings[0] not in ENCODINGS:
        raise UnknownEncoding(
            f"Content-Encoding {', '.join(names)[:100]!r} is not read here, but one of "
            f"{', '.join(ENCODINGS)} and identity."
        )
    return codings[0]


class Inflater:
    """Inflates a body part by part. Holds zlib's state."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._stream: zlib._Decompress | None = None

    def inflate(self, part: bytes, room: int) -> bytes:
        """What the next part inflates to, and of more than `room` bytes the first `room` + 1.

        Raises BrokenBody.
        """
        output = bytearray()
        while part and len(output) <= room:
            if self._stream is None or self._stream.eof:  # gzip may have further members
                self._stream = zlib.decompressobj(self._window_bits(part))
            try:
                output += self._stream.decompress(part, room + 1 - len(output))
            except zlib.error as error:
                raise BrokenBody(f"The body is not {self._encoding}: {error}.") from None
            part = self._stream.unconsumed_tail or self._stream.unused_data
        return bytes(output)

    def end(self) -> None:
        """The body has ended. Raises BrokenBody where it was cut short."""
        if self._stream is not None and not self._stream.eof:
            raise BrokenBody(f"The body's {self._encoding} is cut short.")

    def _window_bits(self, part: bytes) -> int:
        """zlib's name of the format. "deflate" means zlib's, but some senders leave its frame
        out."""
        if self._encoding == "gzip":
            return GZIP_BITS
        return ZLIB_BITS if part[0] & 0x0F == ZLIB_METHOD else RAW_BITS


def inflated(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """A whole body, inflated; of one that has more than `max_bytes`, the first `max_bytes` + 1.

    Raises BrokenBody.
    """
    inflater = Inflater(encoding)
    output = inflater.inflate(body, max_bytes)
    if len(output) <= max_bytes:
        inflater.end()
    return output
