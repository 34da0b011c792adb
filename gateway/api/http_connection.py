"""One connection of the HTTP port: uvicorn's, with a time limit for heads, a place in the register,
and TLS that is part of both."""

from __future__ import annotations

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.api.connection_register import CONNECTION, ConnectionRegister
from gateway.api.request_parser import RequestParser


class HttpConnection(HttpToolsProtocol):
    """A connection.

    Its head must be complete within a time: counted from its first moment, TLS handshake included,
    and for a later request from its first byte. uvicorn itself closes a connection that is silent
    after an answer. Holds its place in the register, and the timer.
    """

    def __init__(
        self, register: ConnectionRegister, tls: ssl.SSLContext | None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.parser = cast(Any, RequestParser(self))
        self._register = register
        self._tls = tls
        self._socket: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_body_awaited = False

    # -- the register's view

    def drop(self) -> None:
        self._stop_timer()
        if self._socket is not None:
            self._socket.abort()

    def identify(self) -> None:
        self._register.identify(self)

    # -- the transport's view

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if self._socket is not None:  # the handshake is complete
            super().connection_made(transport)
            return
        self._socket = transport
        if not self._register.enter(self):
            transport.abort()
            return
        self._start_timer(self._register.limits.header_s)
        if self._tls is None:
            super().connection_made(transport)
        else:
            self._start_tls(transport, self._tls)

    def _start_tls(self, transport: asyncio.Transport, tls: ssl.SSLContext) -> None:
        """Begins the handshake, after which `connection_made` is called again.

        The loop's own `start_tls` takes its first step later, and loses what arrives until then.
        """
        handshake_s = self._register.limits.header_s
        handshake = cast(Any, SSLProtocol)(  # its types allow no fractions of seconds
            self.loop, self, tls, None, server_side=True, ssl_handshake_timeout=handshake_s
        )
        transport.set_protocol(handshake)
        handshake.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._timer is None and not self._is_answering:
            self._start_timer(self._register.limits.header_s)
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        if self.transport is not None:
            super().connection_lost(exc)

    # -- the parser's view

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"][CONNECTION] = self

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._is_body_awaited = True
        self._register.begin_request(self)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_body_awaited = False
        super().on_message_complete()
        if not self._is_answering:
            # the rest of a body has come; uvicorn's timer ended with its first byte
            self._stop_timer()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        self._register.end_request(self)
        super().on_response_complete()
        if self._is_body_awaited and not self._is_answering:
            self._start_timer(self._register.limits.body_s)

    # -- time

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self._on_time_limit)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time_limit(self) -> None:
        self._register.leave(self)
        if (
            self._socket is not None and not self._socket.is_closing()
        ):  # as after a failed handshake
            self._register.tell_dropped("slow_header")
        self.drop()

    def _leave(self) -> None:
        self._stop_timer()
        self._register.leave(self)
