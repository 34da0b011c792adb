"""The only way out to a URL that a caller names: to public addresses, and to networks that the
operator named.

The address that is judged is the one that is connected to: a name is resolved once, by the part
that connects, all of its addresses are judged, and the connection is made to one of these. TLS and
the Host header keep the name.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import cached_property
from itertools import zip_longest

import httpcore
import httpx

from gateway.security.addresses import Network, literal, refused

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host's name and a port to all its addresses; raises OSError where there are none."""

MAX_URL_CHARS = 2048
MAX_TRIED = 4  # of the addresses of one name; all are judged
MAX_DRAINED_BYTES = 4096
REDIRECTS = frozenset({301, 302, 303, 307, 308})
NOT_THERE = frozenset({401, 403, 404, 410})


_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
# Not a name is what ends in a number: resolvers read 2130706433, 0x7f.1 and the like as addresses.
_NAME = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)*(?!([0-9]+|0x[0-9a-f]*)\.?$){_LABEL}\.?")
_USERINFO = re.compile(r"[^/?#]*//[^/?#]*@")


class UrlRefused(Exception):
    """The URL, or the address that it leads to, is not allowed. The message is safe for who named
    it."""


class FetchFailed(Exception):
    """It was allowed, and failed; `passing` says whether trying again later may help. The message
    is safe too."""

    def __init__(self, message: str, *, passing: bool) -> None:
        super().__init__(message)
        self.passing = passing


class TooLarge(FetchFailed):
    """There are more bytes than are wanted."""


class NotThere(FetchFailed):
    """The server has nothing there, or not for us."""


def check_url(url: str) -> httpx.URL:
    """The URL, if its form is allowed; which address it leads to is not judged here. Raises
    UrlRefused."""
    if len(url) > MAX_URL_CHARS:
        raise UrlRefused(f"The URL is longer than {MAX_URL_CHARS} characters.")
    if not url.isprintable() or " " in url:
        raise UrlRefused("The URL has spaces or characters that cannot be printed.")
    if _USERINFO.match(url):
        raise UrlRefused("The URL names a user.")
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise UrlRefused("The URL is not well-formed.") from error
    if parsed.scheme not in ("http", "https"):
        raise UrlRefused("The URL is neither http nor https.")
    host, port = parsed.raw_host.decode("ascii"), parsed.port
    if not (port is None or 0 < port < 65536) or (
        literal(host) is None and not _NAME.fullmatch(host)
    ):
        raise UrlRefused("The URL's host or port is not a valid one.")
    return parsed


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to judged addresses only; whatever a connection pool sends passes here, redirects
    too."""

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
        """Raises UrlRefused if one of the host's addresses is refused, be the others as they
        may."""
        addresses = _in_turn(await self._judged(host, port))[:MAX_TRIED]
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

    async def _judged(self, host: str, port: int) -> list[str]:
        found = [host] if literal(host) else list(dict.fromkeys(await self._resolve(host, port)))
        if not found:
            raise OSError("the name has no address")
        for address in map(literal, found):
            if address is None or refused(address, self._allow):
                raise UrlRefused("The URL's host leads to an address that is not allowed.")
        return found


def _in_turn(addresses: list[str]) -> list[str]:
    """Both families by turns, in the resolver's order: one of them may have no way out here."""
    first = [address for address in addresses if (":" in address) == (":" in addresses[0])]
    second = [address for address in addresses if (":" in address) != (":" in addresses[0])]
    return [address for pair in zip_longest(first, second) for address in pair if address]


class EgressGuard:
    """Fetches from and posts to URLs that callers name; raises UrlRefused and FetchFailed, and
    nothing else.

    Its state is a pool of connections, and threads that resolve. `timeout_s` is for all of a call:
    resolving, connecting, every redirect and the last byte. How many calls run at a time is up to
    who calls.
    """

    def __init__(
        self,
        allow: Sequence[Network] = (),
        *,
        timeout_s: float = 10,
        max_redirects: int = 3,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allow = tuple(allow)
        self._timeout_s = timeout_s
        self._max_redirects = max_redirects
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="resolve")
        self._lookup = resolve or self._resolve
        self._tls = tls

    @cached_property
    def _pool(self) -> httpcore.AsyncConnectionPool:
        """Made with the first call: reading the machine's certificates takes a while."""
        return httpcore.AsyncConnectionPool(
            ssl_context=self._tls or httpx.create_ssl_context(trust_env=False),
            max_connections=None,  # or hosts that never answer would keep the others waiting
            max_keepalive_connections=20,
            keepalive_expiry=5,
            network_backend=CheckedBackend(self._lookup, self._allow),
        )

    def check(self, url: str) -> httpx.URL:
        """What can be said before a name is resolved. Raises UrlRefused."""
        parsed = check_url(url)
        address = literal(parsed.raw_host.decode("ascii"))
        if address and (reason := refused(address, self._allow)):
            raise UrlRefused(f"The URL's address is not allowed: {reason}.")
        return parsed

    async def fetch(self, url: str, *, max_bytes: int) -> bytes:
        """What a GET is answered with status 200, byte for byte: an answer that is compressed is
        refused."""
        async with self._bounded():
            target = self.check(url)
            for _ in range(self._max_redirects + 1):
                async with self._ask("GET", target) as response:
                    if response.status not in REDIRECTS:
                        return await _body(response, max_bytes)
                    location = httpx.Headers(response.headers).get("Location", "")
                    target = self.check(str(target.join(location)))
            raise FetchFailed("The URL redirects too often.", passing=False)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer, whichever it is; a redirect is not followed.

        Once there is a status it counts, whatever becomes of the rest of the answer: who posts
        again posts twice.
        """
        status = 0
        try:
            async with (
                self._bounded(),
                self._ask("POST", self.check(url), body, headers) as response,
            ):
                status = response.status
                await _read(response, MAX_DRAINED_BYTES)  # so that the connection can serve again
        except FetchFailed:
            if not status:
                raise
        return status

    async def close(self) -> None:
        """Calls still under way fail; a name that is still being resolved is not waited for."""
        if "_pool" in vars(self):
            await self._pool.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        """On threads that serve nothing else: a name that is slow to resolve keeps only other names
        waiting."""
        run = asyncio.get_running_loop().run_in_executor
        found = await run(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(address[0]) for *_, address in found]

    @asynccontextmanager
    async def _ask(
        self,
        method: str,
        url: httpx.URL,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[httpcore.Response]:
        sent = httpx.Headers({"Accept": "*/*", **(headers or {})})
        sent.update(
            {
                "Host": url.netloc.decode("ascii"),
                "User-Agent": "imgrid-gateway",
                "Accept-Encoding": "identity",
            }
        )
        target = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        limits = {"timeout": {"connect": self._timeout_s / 2}}
        async with self._pool.stream(
            method, target, headers=sent.raw, content=body, extensions=limits
        ) as response:
            yield response

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        """Within the time limit; every foreign error becomes one of the two of this file."""
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except (UrlRefused, FetchFailed):
            raise
        except Exception as error:
            raise _translated(error) from error


def _translated(error: Exception) -> FetchFailed:
    """Foreign messages stay in the cause: they tell which addresses a name leads to."""
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in (error, *error.args)):
        return FetchFailed("The server's certificate is not valid for the URL.", passing=False)
    if isinstance(error, (TimeoutError, httpcore.TimeoutException)):
        return FetchFailed("The server took too long.", passing=True)
    if isinstance(error, socket.gaierror):
        return FetchFailed(
            "The URL's host has no address.", passing=error.errno != socket.EAI_NONAME
        )
    if isinstance(error, (OSError, httpcore.NetworkError, httpcore.RemoteProtocolError)):
        return FetchFailed("The connection failed.", passing=True)
    return FetchFailed("The request could not be made.", passing=False)


async def _body(response: httpcore.Response, max_bytes: int) -> bytes:
    if response.status != 200:
        passing = response.status == 429 or response.status >= 500
        kind = NotThere if response.status in NOT_THERE else FetchFailed
        raise kind(f"The server answered with status {response.status}.", passing=passing)
    if (
        httpx.Headers(response.headers).get("Content-Encoding", "identity").strip().lower()
        != "identity"
    ):
        raise FetchFailed("The server's answer is compressed, unasked.", passing=False)
    return await _read(response, max_bytes)


async def _read(response: httpcore.Response, max_bytes: int) -> bytes:
    too_large = TooLarge(f"The server's answer is larger than {max_bytes} bytes.", passing=False)
    if int(httpx.Headers(response.headers).get("Content-Length", "0")) > max_bytes:
        raise too_large
    body = bytearray()
    async for part in response.aiter_stream():
        body += part
        if len(body) > max_bytes:
            raise too_large
    return bytes(body)
