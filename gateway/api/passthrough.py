"""Passthrough: calls that are no questions about photos go whole to the vendor of their dialect."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from gateway.api.bill import Bill
from gateway.core.errors import NotServed
from gateway.core.exchange import Incoming, Reply
from gateway.core.model import Route, Tenant
from gateway.core.question import Forward
from gateway.ledger.accounts import Account, Charges
from gateway.upstream.errors import translate
from providers.base import ForwardCall, ForwardReply
from providers.detection import Task
from providers.errors import NoAnswer, ProviderError
from providers.prices import Price

Send = Callable[[str, ForwardCall, float], Awaitable[ForwardReply]]
"""Sends a call to a provider, by its name, within so many seconds. Raises ProviderError."""


@dataclass(frozen=True, slots=True)
class Passthrough:
    """Hands calls on to vendors. `prices` are the providers' usual ones, by name; `charge` adds to
    the ledger."""

    routes: Sequence[Route]
    send: Send
    prices: Mapping[str, Price]
    charge: Callable[[Charges], None]

    async def reply(
        self, call: Forward, incoming: Incoming, tenant: Tenant, vendor: str
    ) -> tuple[Reply, Bill | None]:
        """The vendor's reply as it came, errors included, and its bill, which is charged to the
        tenant. No bill is known of an error.

        Raises NotServed where no route allows the tenant this operation, and the translation of a
        ProviderError.
        """
        route = self._route(call.operation, tenant, vendor)
        try:
            answer = await self.send(
                route.provider, _forward_call(call, incoming), route.deadline_s
            )
        except ProviderError as error:
            if isinstance(error, NoAnswer):
                self._charge_unknown(call, tenant)
            raise translate(error) from error
        except asyncio.CancelledError:  # the client left: the vendor may bill the call all the same
            self._charge_unknown(call, tenant)
            raise
        reply = Reply(answer.status, answer.body, answer.headers)
        if answer.status >= 300:
            return reply, None
        self.charge({tenant.name: self._bill(route, call.images)})
        return reply, Bill(call.images, 0)

    def _charge_unknown(self, call: Forward, tenant: Tenant) -> None:
        self.charge({tenant.name: Account(photos=call.images, unknown=call.images)})

    def _route(self, operation: str, tenant: Tenant, vendor: str) -> Route:
        for route in self.routes:
            if (
                route.task == Task.EXTRAS
                and route.kind == vendor
                and operation in route.operations
                and (not route.tenants or tenant.name in route.tenants)
            ):
                return route
        raise NotServed(
            f"{operation} is not handed on here: "
            "no route of task extras names it in its operations."
        )

    def _bill(self, route: Route, images: int) -> Account:
        """The charge for images that were sent alone: nothing is saved on them."""
        usd = images * self.prices[route.provider].usd_per_image
        return Account(photos=images, answered=images, billed=images, paid_usd=usd, alone_usd=usd)


def _forward_call(call: Forward, incoming: Incoming) -> ForwardCall:
    query = parse_qsl(incoming.query, keep_blank_values=True)
    content_type = incoming.headers.get("content-type", "application/json")
    return ForwardCall(
        call.target or call.operation, incoming.body or b"", incoming.method, query, content_type
    )


THROTTLED = re.compile(rb"Throttl|ThroughputExceeded|LimitExceeded")
"""Names of AWS errors that have the status 400 and that AWS SDKs retry."""


def is_final_reply(reply: Reply) -> bool:
    """Whether later tries of the call get the same reply: not where the vendor's SDK retries to get
    another one."""
    if reply.status == 400:
        return not THROTTLED.search(reply.body[:512])
    return reply.status != 429 and reply.status < 500
