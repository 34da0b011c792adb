"""A dialect's gRPC server: reads messages, notices clients that leave, and turns every error into a
status.

It runs in the event loop of the app and stops before the app does; calls under way are finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from gateway.api.authenticate import headers_of
from gateway.api.descriptors import raise_descriptor_limit
from gateway.api.endpoint import Endpoint
from gateway.api.request_record import ID_HEADER, REPEATED, RequestRecord
from gateway.core.errors import BadRequest, Busy, TooSlow
from gateway.core.events import RequestCall
from gateway.core.exchange import Incoming, Reply
from gateway.core.fair_share import FairBudget, FairSlots
from gateway.core.request_id import request_id_of
from gateway.core.trace_context import HEADER as TRACE_HEADER

MAX_STREAMS = 100
"""Calls under way on one connection; client libraries queue further ones."""
MAX_CALLS = 1000
"""Calls of clients with a key under way on all connections; further ones are busy."""
RPCS_PER_CALL = 10
"""How many times as many calls there are in all before gRPC itself refuses further ones. Strangers'
are refused at once, but one whose client does not read its refusal stays until its connection ends:
gRPC's library lets nobody end it."""
MAX_IDLE_MS = 75_000
"""How long a connection without a call stays open; as long as one of the HTTP port."""
KEEPALIVE_MS = 20_000
"""How often a silent connection is asked for a sign of life, and how long it has for it."""
ANSWER_SHARE = 0.95
"""The share of a client's own deadline that its photos get; the rest is for the way back."""
DETAILS = "grpc-status-details-bin"
CANCELLED = 1
"""gRPC's code of a call whose client left."""


@dataclass(frozen=True, slots=True)
class GrpcAddress:
    """The address to listen on, and for TLS a private key and its chain of certificates, both
    PEM. At most `max_connections` are open at a time, and each must have made itself known within
    `handshake_s`. At most `max_calls` of clients with a key are under way."""

    listen: str
    tls: tuple[bytes, bytes] | None = field(default=None, repr=False)
    max_connections: int = 4096
    handshake_s: float = 10.0
    max_calls: int = MAX_CALLS


class GrpcServer:
    """The server of one endpoint, whose dialect is one of messages. Holds the number of calls under
    way, what each tenant has of them, the slots for reading messages, and the address once it
    listens."""

    def __init__(self, endpoint: Endpoint, address: GrpcAddress) -> None:
        """The endpoint's intake limits the size of one message, and how many are read at a time."""
        intake = endpoint.intake
        self._endpoint = endpoint
        self._address = address
        self._timeout_s = intake.timeout_s
        self._call_count = 0
        self._tenant_calls = FairBudget(address.max_calls, intake.tenants)
        self._reading_slots = FairSlots(
            max(intake.max_reading_bytes // intake.max_request_bytes, 1), intake.tenants
        )
        self.address = ""

    @property
    def secure(self) -> bool:
        return self._address.tls is not None

    def call_counts(self) -> Mapping[str, int]:
        """The calls under way, of strangers and of clients with a key."""
        known = self._tenant_calls.uses.total()
        return {"stranger": self._call_count - known, "known": known}

    @asynccontextmanager
    async def serving(self, grace_s: float) -> AsyncIterator[None]:
        """Answers calls while the block lasts; calls under way at its end have `grace_s` to finish.

        Raises RuntimeError where it cannot listen.
        """
        import grpc

        server = grpc.aio.server(
            options=self._options(),
            maximum_concurrent_rpcs=RPCS_PER_CALL * self._address.max_calls,
        )
        _, service, method = self._endpoint.dialect.paths[0].split("/")
        # A stream of requests, so that the tenant is known before the message takes up room; on the
        # wire it is the same as a single request.
        handler = grpc.stream_unary_rpc_method_handler(self._call)
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(service, {method: handler})]
        )
        listen = self._address.listen
        try:
            self.address = f"{listen.rpartition(':')[0]}:{self._bind(server)}"
        except RuntimeError as error:
            raise RuntimeError(f"cannot listen on {listen} (grpc.listen): {error}") from None
        await server.start()
        try:
            yield
        finally:
            await server.stop(grace_s)

    def _bind(self, server: Any) -> int:
        """Binds the server to its address and returns the port."""
        import grpc

        if self._address.tls is None:
            port: int = server.add_insecure_port(self._address.listen)
        else:
            credentials = grpc.ssl_server_credentials([self._address.tls])
            port = server.add_secure_port(self._address.listen, credentials)
        return port

    def _options(self) -> Sequence[tuple[str, int]]:
        """The server's options. The size limit is for a message as it was before it was
        compressed."""
        return [
            ("grpc.max_receive_message_length", self._endpoint.intake.max_request_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", MAX_STREAMS),
            ("grpc.so_reuseport", 0),  # a port that another gateway listens on is an error
            ("grpc.max_allowed_incoming_connections", self._max_connections()),
            ("grpc.server_handshake_timeout_ms", int(1000 * self._address.handshake_s)),
            ("grpc.max_connection_idle_ms", MAX_IDLE_MS),
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_MS),
        ]

    def _max_connections(self) -> int:
        """A quarter of what the process can open at most: the HTTP port gets half of it."""
        descriptors = raise_descriptor_limit()
        wanted = self._address.max_connections
        return wanted if descriptors is None else min(wanted, descriptors // 4)

    async def _call(self, messages: Any, context: Any) -> bytes:
        """The reply to one call. gRPC cancels it when the client leaves or its deadline passes."""
        self._call_count += 1
        try:
            return await self._recorded(messages, context)
        finally:
            self._call_count -= 1

    async def _recorded(self, messages: Any, context: Any) -> bytes:
        """The reply to one call, whose end is told."""
        sent, dialect = dict(context.invocation_metadata() or ()), self._endpoint.dialect
        record = RequestRecord(
            request_id_of(sent.get(ID_HEADER.lower())),
            self._endpoint.begin_trace(sent.get(TRACE_HEADER)),
            dialect=dialect.name,
        )
        status = CANCELLED
        with record.current():
            try:
                reply = await self._answer(messages, context, record)
                status = reply.status
            finally:
                call = RequestCall(dialect.paths[0])
                self._endpoint.events.tell(record.event(status, call))
        metadata = _metadata(reply, record)
        if reply.status:
            await _abort(context, reply, metadata)
        context.set_trailing_metadata(metadata)
        return reply.body

    async def _answer(self, messages: Any, context: Any, record: RequestRecord) -> Reply:
        try:
            reply = await self._reply(messages, context, record)
        except asyncio.CancelledError:
            record.ended("client_left", None)
            raise
        except Exception as error:
            return self._endpoint.refusal(error, record)
        record.outcome = record.outcome or REPEATED
        return reply

    async def _reply(self, messages: Any, context: Any, record: RequestRecord) -> Reply:
        head = self._head(context)
        tenant = self._endpoint.tenant(head).name  # before a stranger's message takes up room
        with self._place(tenant):
            # one expression, so that no frame here keeps the photos alive
            return await self._endpoint.calls.reply(
                *self._endpoint.call(
                    replace(head, body=await self._read(messages, tenant)),
                    record,
                    self._deadline_s(context),
                )
            )

    @contextmanager
    def _place(self, tenant: str) -> Iterator[None]:
        """A tenant's call while the block lasts. Raises Busy where the tenant has its share of all
        calls."""
        if not self._tenant_calls.has_room(tenant):
            raise Busy(
                f"Too many gRPC calls are under way, of {self._address.max_calls} at a time; come "
                "back in a second."
            )
        self._tenant_calls.take(tenant)
        try:
            yield
        finally:
            self._tenant_calls.give_back(tenant)

    def _head(self, context: Any) -> Incoming:
        """The call without its message."""
        metadata = context.invocation_metadata() or ()
        headers = headers_of((name, value) for name, value in metadata if isinstance(value, str))
        return Incoming("POST", self._endpoint.dialect.paths[0], "", headers, None)

    def _deadline_s(self, context: Any) -> float:
        """The time that the client's own deadline leaves its photos; `inf` where it is longer than
        every route's, because Google's clients wait ten minutes by default."""
        remaining_s = context.time_remaining()
        if remaining_s is None:
            return inf
        longest_s = max(route.deadline_s for route in self._endpoint.service.routes)
        deadline_s: float = remaining_s * ANSWER_SHARE
        return inf if deadline_s >= longest_s else deadline_s

    async def _read(self, messages: Any, tenant: str) -> bytes:
        """The call's message.

        Raises BadRequest where there is none, TooSlow where it takes too long, and Busy where no
        slot for reading became free in that time.
        """
        if not await self._reading_slots.acquire(tenant, self._timeout_s):
            raise Busy(
                "Too much is being sent at once (limits.max_reading_bytes); come back in a second."
            )
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
            self._reading_slots.release(tenant)


Metadata = tuple[tuple[str, str], ...]


def _metadata(reply: Reply, record: RequestRecord) -> Metadata:
    """The reply's headers and those of every answer. Names of metadata are in lower case."""
    pairs = (*reply.headers.items(), *record.headers.items())
    return tuple((name.lower(), value) for name, value in pairs)


async def _abort(context: Any, reply: Reply, metadata: Metadata) -> None:
    """Ends the call with an error. The reply's body is its google.rpc.Status. Raises the exception
    that ends a call."""
    import grpc
    from google.rpc.status_pb2 import Status

    code = next(each for each in grpc.StatusCode if each.value[0] == reply.status)
    details = (DETAILS, reply.body)
    await context.abort(code, Status.FromString(reply.body).message, (*metadata, details))
