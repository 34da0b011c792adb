"""The parser of HTTP requests: httptools, to which an offer to upgrade is only a header."""

from __future__ import annotations

from typing import Any

import httptools

MAX_HEAD_BYTES = 64 * 1024
"""The largest head of a request that arrives in several parts."""


class RequestParser:
    """Parses the requests of one connection, and calls the connection as httptools does.

    For httptools, the bytes after a head with `Upgrade` belong to the other protocol. But a server
    may ignore the offer (RFC 9110, section 7.8), and then they are the request's body: JDK's own
    HTTP client, Spring and `curl --http2` offer `h2c` with every first request. So the head is
    parsed again without that header, of which the connection is told all the same.

    Holds httptools' parser, and the head of the request that is being parsed.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._parser = self._new_parser()
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes: int | None = None
        """Bytes that were fed since the head began; None outside of a head."""
        self._is_replay = False

    def feed_data(self, data: bytes) -> None:
        """Parses what arrived. Raises httptools.HttpParserError."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade()
            if rest := data[upgrade.args[0] :]:
                self.feed_data(rest)
            return
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                raise httptools.HttpParserError(f"the head has over {MAX_HEAD_BYTES} bytes")

    def get_method(self) -> bytes:
        return self._parser.get_method()

    def get_http_version(self) -> str:
        return self._parser.get_http_version()

    def should_keep_alive(self) -> bool:
        return self._parser.should_keep_alive()

    def should_upgrade(self) -> bool:
        return False

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # a client that ends the connection may send more, which is ignored
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _ignore_upgrade(self) -> None:
        """Parses the head again, by a new parser and without the offer."""
        method, version = self._parser.get_method(), self._parser.get_http_version()
        lines = [b"%b %b HTTP/%b" % (method, self._url, version.encode())]
        for name, value in self._headers:
            if name.lower() != b"upgrade":
                lines.append(b"%b: %b" % (name, value))
        self._parser = self._new_parser()
        self._is_replay = True
        self._parser.feed_data(b"\r\n".join([*lines, b"", b""]))

    # -- called by httptools

    def on_message_begin(self) -> None:
        if not self._is_replay:
            self._url, self._headers, self._head_bytes = b"", [], 0
            self._connection.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._is_replay:
            self._url += url
            self._connection.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_replay:
            self._headers.append((name, value))
            self._connection.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._parser.get_method() == b"CONNECT":
            raise ValueError("this is no proxy")
        if not self._parser.should_upgrade():
            self._is_replay, self._head_bytes = False, None
            self._connection.on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._connection.on_body(body)

    def on_message_complete(self) -> None:
        if not self._parser.should_upgrade():
            self._connection.on_message_complete()
