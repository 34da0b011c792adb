"""The sender of webhooks: signs a message and posts it to its receiver."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.core.clock import Clock
from gateway.core.events import DeliveryResult
from gateway.jobs.webhooks import signing
from gateway.jobs.webhooks.deliverer import Attempt
from gateway.security.egress import PostReply
from gateway.security.egress_errors import FetchFailed, UrlRefused
from gateway.store.jobs import Delivery

GONE = 410

Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[PostReply]]
"""Sends a body with headers to a URL and returns the answer. Raises UrlRefused or FetchFailed."""
Body = Callable[[Delivery], Awaitable[bytes | None]]
"""A delivery's body; None where its job has been forgotten."""
Secrets = Callable[[str], Sequence[str]]
"""A tenant's secrets by its name, the current one first."""


class WebhookMessage(NamedTuple):
    """What is posted: under an id that stays the same for every attempt, to a URL."""

    id: str
    url: str
    body: bytes


async def post_signed(
    post: Post, secrets: Sequence[str], message: WebhookMessage, *, at: float
) -> Attempt:
    """One attempt to post a message, signed by each secret, at that time in Unix seconds."""
    if not secrets:
        return Attempt(DeliveryResult.RETRY, "There is no secret to sign with.")
    headers = signing.headers(secrets, message.id, int(at), message.body)
    try:
        return _attempt_of(await post(message.url, message.body, headers))
    except UrlRefused as error:
        return Attempt(DeliveryResult.DEAD, str(error))
    except FetchFailed as error:
        return Attempt(DeliveryResult.RETRY, str(error))


@dataclass(frozen=True, slots=True)
class WebhookSender:
    """What the deliverer calls. `clock` is the one that receivers compare with their own."""

    post: Post
    body: Body
    secrets: Secrets
    clock: Clock = time.time

    async def send(self, delivery: Delivery) -> Attempt:
        """One attempt. Raises GatewayError where the store cannot be read: then none was made."""
        body = await self.body(delivery)
        if body is None:
            return Attempt(DeliveryResult.DROPPED)
        message = WebhookMessage(delivery.id, delivery.url, body)
        secrets = self.secrets(delivery.tenant)
        return await post_signed(self.post, secrets, message, at=self.clock())


def _attempt_of(reply: PostReply) -> Attempt:
    """What a receiver's answer means. A redirect is a failure: the client must name the final URL
    itself."""
    status = reply.status
    if 200 <= status < 300:
        return Attempt(DeliveryResult.DELIVERED)
    result = DeliveryResult.DEAD if status == GONE else DeliveryResult.RETRY
    text = f"The receiver answered with status {status}."
    return Attempt(result, text, reply.retry_after_s)
