"""Connections to allowed addresses only.

The address that is checked is the one that is connected to: a name is resolved once, all of its
addresses are checked, and one of them is connected to. TLS and the Host header keep the name.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain, zip_longest

import httpcore
import httpx

from gateway.security.addresses import Network, address_of, refusal
from gateway.security.egress_errors import UrlRefused

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""All addresses of a host's name, for a port. Raises OSError where there are none."""

MAX_TRIED = 4
"""Addresses of one name that are tried; all are checked."""


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to allowed addresses only. All that a connection pool sends comes through here,
    redirects too."""

    def __init__(self, resolve: Resolve, allow: Sequence[Network] = ()) -> None:
        self._resolve = resolve
        self._allow = tuple(allow)
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to one of the host's addresses. Raises UrlRefused if any of them is not
        allowed."""
        addresses = _alternating(await self._allowed_addresses(host, port))[:MAX_TRIED]
        each_s = None if timeout is None else timeout / len(addresses)
        for address in addresses[:-1]:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._inner.connect_tcp(
                    address, port, each_s, local_address, socket_options
                )
        return await self._inner.connect_tcp(
            addresses[-1], port, each_s, local_address, socket_options
        )

    async def connect_unix_socket(self, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        raise UrlRefused("The URL leads to no network.")

    async def _allowed_addresses(self, host: str, port: int) -> list[str]:
        """All addresses of the host, each once. Raises UrlRefused if any is not allowed."""
        resolved = [host] if address_of(host) else await self._resolve(host, port)
        addresses = list(dict.fromkeys(resolved))
        if not addresses:
            raise OSError("the name has no address")
        for address in map(address_of, addresses):
            if address is None or refusal(address, self._allow):
                raise UrlRefused("The URL's host leads to an address that is not allowed.")
        return addresses


def _alternating(addresses: list[str]) -> list[str]:
    """The addresses of both families in turns, each in the resolver's order: one of the families
    may have no route here."""
    is_v6_first = ":" in addresses[0]
    first_family = [address for address in addresses if (":" in address) == is_v6_first]
    second_family = [address for address in addresses if (":" in address) != is_v6_first]
    pairs = zip_longest(first_family, second_family)
    return [address for address in chain.from_iterable(pairs) if address]


def checked_pool(
    backend: CheckedBackend, tls: ssl.SSLContext | None
) -> httpcore.AsyncConnectionPool:
    """The pool of such connections; without a context it trusts the machine's certificates."""
    return httpcore.AsyncConnectionPool(
        ssl_context=tls or httpx.create_ssl_context(trust_env=False),
        max_connections=None,  # or hosts that never answer would keep the others waiting
        max_keepalive_connections=20,
        keepalive_expiry=5,
        network_backend=backend,
    )
