"""Calls that are no questions about photos: handed on whole, to the vendor whose dialect they are
in."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

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
"""Has a provider, by its name, hand a call on within so many seconds; raises ProviderError."""


@dataclass(frozen=True, slots=True)
class Passthrough:
    """Hands calls on. `prices` are providers' usual ones, by name; `charge` adds to the ledger."""

    routes: Sequence[Route]
    send: Send
    prices: Mapping[str, Price]
    charge: Callable[[Charges], None]

    async def reply(
        self, asked: Forward, incoming: Incoming, tenant: Tenant, dialect: str
    ) -> Reply:
        """The vendor's answer as it came, be it an error. What it billed is the tenant's.

        Raises NotServed where no route lets the tenant have this handed on, and what becomes of a
        provider's fault.
        """
        route = self._route(asked.operation, tenant, dialect)
        query = parse_qsl(incoming.query, keep_blank_values=True)
        kind = incoming.headers.get("content-type", "application/json")
        call = ForwardCall(
            asked.target or asked.operation, incoming.body or b"", incoming.method, query, kind
        )
        try:
            answer = await self.send(route.provider, call, route.deadline_s)
        except ProviderError as error:
            if isinstance(error, NoAnswer):
                self.charge({tenant.name: Account(photos=asked.images, unknown=asked.images)})
            raise translate(error) from error
        if answer.status < 300:
            self.charge({tenant.name: self._bill(route, asked.images)})
        return Reply(answer.status, answer.body, answer.headers)

    def _route(self, operation: str, tenant: Tenant, dialect: str) -> Route:
        for route in self.routes:
            mine = not route.tenants or tenant.name in route.tenants
            if (
                mine
                and route.task == Task.EXTRAS
                and route.kind == dialect
                and operation in route.operations
            ):
                return route
        raise NotServed(
            f"{operation} is not handed on here: no route of task extras names it in its operations."
        )

    def _bill(self, route: Route, images: int) -> Account:
        """Asked alone and paid alone: nothing is saved on it."""
        usd = images * self.prices[route.provider].usd_per_image
        return Account(photos=images, answered=images, billed=images, paid_usd=usd, alone_usd=usd)


PASSING = re.compile(rb"Throttl|ThroughputExceeded|LimitExceeded")
"""In the names of what AWS answers with a status of 400 and its SDKs send again."""


def stands(reply: Reply) -> bool:
    """Whether a later try of the call gets the same: not where the vendor's SDK is to send it
    anew."""
    return (
        reply.status != 429
        and reply.status < 500
        and not (reply.status == 400 and PASSING.search(reply.body[:512]))
    )
