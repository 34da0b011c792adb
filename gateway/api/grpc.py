"""gRPC around a dialect of messages: reading them, noticing clients that leave, and every error as
a status.

It runs in the loop of the app, and ends before the app does: calls under way are finished.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from gateway.api.endpoint import Endpoint
from gateway.core.errors import BadRequest, Busy, GatewayError, TooSlow
from gateway.core.events import Refused
from gateway.core.exchange import Incoming, Reply

log = logging.getLogger("imgrid")

MAX_STREAMS = 100
"""Calls under way on one connection; a client's library keeps others back."""
MAX_CALLS = 1000
"""On all connections; others are refused as exhausted."""
IN_TIME = 0.95
"""Of the time that a client waits, what its photos have: what was found by then is to reach it."""
DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Door:
    """Where to listen, and with TLS what to show: a private key and its chain of certificates, both
    PEM."""

    listen: str
    tls: tuple[bytes, bytes] | None = field(default=None, repr=False)


class Rpc:
    """The server of one endpoint, whose dialect is one of messages. Holds how many are being read,
    and the address once it listens."""

    def __init__(self, endpoint: Endpoint, door: Door) -> None:
        """No message is larger than the endpoint's intake takes a request, and as many are read at
        a time as fit."""
        intake = endpoint.intake
        self._endpoint = endpoint
        self._door = door
        self._timeout_s = intake.timeout_s
        self._readings = asyncio.Semaphore(
            max(intake.max_reading_bytes // intake.max_request_bytes, 1)
        )
        self.address = ""

    @property
    def secure(self) -> bool:
        return self._door.tls is not None

    @asynccontextmanager
    async def serving(self, grace_s: float) -> AsyncIterator[None]:
        """Calls are answered while it lasts; those under way at its end have so long to be
        finished.

        Raises RuntimeError where it cannot listen.
        """
        import grpc

        server = grpc.aio.server(options=self._options(), maximum_concurrent_rpcs=MAX_CALLS)
        _, service, method = self._endpoint.dialect.paths[0].split("/")
        # Read as a stream, so that who asks is known before its message takes up room. On the wire
        # it is the same.
        handler = grpc.stream_unary_rpc_method_handler(self._call)
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(service, {method: handler})]
        )
        host = self._door.listen.rpartition(":")[0]
        try:
            self.address = f"{host}:{self._bind(server)}"
        except RuntimeError as error:
            raise RuntimeError(
                f"cannot listen on {self._door.listen} (grpc.listen): {error}"
            ) from None
        await server.start()
        try:
            yield
        finally:
            await server.stop(grace_s)

    def _bind(self, server: Any) -> int:
        import grpc

        if self._door.tls is None:
            port: int = server.add_insecure_port(self._door.listen)
        else:
            port = server.add_secure_port(
                self._door.listen, grpc.ssl_server_credentials([self._door.tls])
            )
        return port

    def _options(self) -> Sequence[tuple[str, int]]:
        """Nothing that is compressed is taken: it is limited by its length before it is
        unpacked."""
        return [
            ("grpc.max_receive_message_length", self._endpoint.intake.max_request_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", MAX_STREAMS),
            ("grpc.compression_enabled_algorithms_bitset", 1),
            ("grpc.per_message_decompression", 0),
            ("grpc.so_reuseport", 0),  # a port that another gateway has is taken
        ]

    async def _call(self, messages: Any, context: Any) -> bytes:
        """The answer to one call. When the client leaves, or its deadline passes, it is
        cancelled."""
        dialect = self._endpoint.dialect
        try:
            reply = await self._reply(messages, context)
        except GatewayError as error:
            self._endpoint.events.tell(Refused(dialect.name, error.code))
            reply = dialect.render_error(error)
        except Exception:
            log.exception("a call failed")
            reply = dialect.render_error(GatewayError())
        if reply.status:
            await _refuse(context, reply)
        context.set_trailing_metadata(tuple(reply.headers.items()))
        return reply.body

    async def _reply(self, messages: Any, context: Any) -> Reply:
        greeting = self._greeting(context)
        self._endpoint.greet(greeting)
        # handed over in one, so that the photos are held by who asks about them and by nobody else
        return await self._endpoint.desk.reply(
            *self._endpoint.call(
                replace(greeting, body=await self._read(messages)), self._within_s(context)
            )
        )

    def _greeting(self, context: Any) -> Incoming:
        metadata = context.invocation_metadata() or ()
        headers = {name: value for name, value in metadata if isinstance(value, str)}
        return Incoming("POST", self._endpoint.dialect.paths[0], "", headers, None)

    def _within_s(self, context: Any) -> float:
        """A client's own deadline shortens what its photos have. One that is longer than any
        route's leaves it to theirs: Google's clients wait ten minutes by themselves."""
        remaining_s = context.time_remaining()
        longest_s = max(route.deadline_s for route in self._endpoint.service.routes)
        return (
            inf
            if remaining_s is None or remaining_s * IN_TIME >= longest_s
            else remaining_s * IN_TIME
        )

    async def _read(self, messages: Any) -> bytes:
        """The call's message. Raises BadRequest where there is none, TooSlow, and Busy where too
        many are being read for as long as one may take."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._readings.acquire()
        except TimeoutError:
            raise Busy(
                "Too much is being sent at once (limits.max_reading_bytes); come back in a second."
            ) from None
        try:
            async with asyncio.timeout(self._timeout_s):
                message: bytes = await anext(aiter(messages))
                return message
        except StopAsyncIteration:
            raise BadRequest("The call has no message.") from None
        except TimeoutError:
            raise TooSlow(
                f"The message did not arrive within {self._timeout_s:g} s (limits.body_timeout_ms)."
            ) from None
        finally:
            self._readings.release()


async def _refuse(context: Any, reply: Reply) -> None:
    """Ends the call with an error, of which the reply's body tells programs; raises what ends a
    call."""
    import grpc
    from google.rpc.status_pb2 import Status

    code = next(each for each in grpc.StatusCode if each.value[0] == reply.status)
    metadata = (*reply.headers.items(), (DETAILS, reply.body))
    await context.abort(code, Status.FromString(reply.body).message, metadata)
