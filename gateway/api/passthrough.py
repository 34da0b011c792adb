"""Passthrough: calls that are no questions about photos go whole to the vendor of their dialect."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from urllib.parse import parse_qsl

from gateway.api.bill import Bill
from gateway.core.clock import Clock
from gateway.core.errors import NotServed
from gateway.core.exchange import Incoming, Reply
from gateway.core.model import Route, Tenant
from gateway.core.question import Forward
from gateway.ledger.accounts import Account, AccountKey, Charges
from gateway.upstream.errors import translate
from providers.base import ForwardCall, ForwardReply
from providers.detection import Task
from providers.errors import NoAnswer, ProviderError
from providers.prices import Price

Send = Callable[[str, ForwardCall, float], Awaitable[ForwardReply]]
"""Sends a call to a provider, by its name, within so many seconds. Raises ProviderError."""


class HoldPrice(Protocol):
    """Holds what a call is going to be charged, under an id, until it is charged."""

    async def __call__(
        self, hold_id: str, key: AccountKey, account: Account, *, until: float
    ) -> None: ...


class ChargeCall(Protocol):
    """Charges a call whose price was held at that time, and ends the hold."""

    def __call__(self, charges: Charges, hold_id: str, *, at: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Passthrough:
    """Hands calls on to vendors. `prices` are the providers' usual ones, by name. `hold` holds the
    price of a call, and raises BudgetExhausted; `charge` adds to the ledger and ends the hold."""

    routes: Sequence[Route]
    send: Send
    prices: Mapping[str, Price]
    hold: HoldPrice
    charge: ChargeCall
    clock: Clock

    async def reply(
        self, call: Forward, incoming: Incoming, tenant: Tenant, vendor: str
    ) -> tuple[Reply, Bill | None]:
        """The vendor's reply as it came, errors included, and its bill, which is charged to the
        tenant. No bill is known of an error.

        Raises NotServed where no route allows the tenant this operation, BudgetExhausted where its
        budget has no room, and the translation of a ProviderError.
        """
        route = self._route(call.operation, tenant, vendor)
        key, account = _account_key(route, tenant), self._bill(route, call.images)
        hold_id, at = uuid.uuid4().hex, self.clock()
        await self.hold(hold_id, key, account, until=at + route.deadline_s)
        charge = partial(self.charge, hold_id=hold_id, at=at)
        unknown = {key: Account(photos=call.images, unknown=call.images)}
        try:
            answer = await self.send(
                route.provider, _forward_call(call, incoming), route.deadline_s
            )
        except ProviderError as error:
            charge(unknown if isinstance(error, NoAnswer) else {})
            raise translate(error) from error
        except asyncio.CancelledError:  # the client left: the vendor may bill the call all the same
            charge(unknown)
            raise
        reply = Reply(answer.status, answer.body, answer.headers)
        if answer.status >= 300:
            charge({})
            return reply, None
        charge({key: account})
        return reply, Bill(call.images, 0)

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


def _account_key(route: Route, tenant: Tenant) -> AccountKey:
    return AccountKey.of_tenant(tenant, route.task, route.provider, route.name)


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
