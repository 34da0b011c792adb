"""The only way out to a URL that a caller names: to public addresses, and to networks that the operator named.

The address that is judged is the one that is connected to: a name is resolved once, by the part that connects, all of
its addresses are judged, and the connection is made to one of these. TLS and the Host header keep the name.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import zip_longest

import httpcore
import httpx

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host's name and a port to all its addresses; raises OSError where there are none."""

MAX_URL_CHARS = 2048
MAX_TRIED = 4  # of the addresses of one name; all are judged
MAX_DRAINED_BYTES = 4096
REDIRECTS = frozenset({301, 302, 303, 307, 308})
NOT_THERE = frozenset({401, 403, 404, 410})

# IANA's special-purpose registries, written out: what `ipaddress` calls private changes with Python's version.
# The first that holds an address says why it is refused, or that it is not. NAT64 and IPv4-mapped addresses are not for
# what they are, but the IPv4 address in them is judged as well. In 2001::/23 is Teredo, in 224.0.0.0/3 all multicast.
_RULES = tuple(
    (ip_network(network), why)
    for why, networks in (
        ("private", "10.0.0.0/8 100.64.0.0/10 172.16.0.0/12 192.168.0.0/16"),
        ("loopback", "127.0.0.0/8 ::1/128"),
        ("link-local", "169.254.0.0/16 fe80::/10"),
        ("cloud metadata", "168.63.129.16/32"),  # Azure's, amid a public network
        ("documentation", "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20"),
        ("reserved", "0.0.0.0/8 192.0.0.0/24 192.88.99.0/24 198.18.0.0/15 224.0.0.0/3 2001::/23 2002::/16"),
        ("", "0.0.0.0/0 2000::/3 64:ff9b::/96 ::ffff:0:0/96"),
        ("not public", "::/0"),
    )
    for network in networks.split()
)
_METADATA_V4 = "169.254.169.254 169.254.170.2 169.254.170.23 100.100.100.200 192.0.0.192 168.63.129.16"
_METADATA_V6 = "fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:42::42"
_METADATA = frozenset(map(ip_address, f"{_METADATA_V4} {_METADATA_V6}".split()))
"""Where clouds hand out credentials: the operator opens these only by naming the one address, not a network."""

_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
# Not a name is what ends in a number: resolvers read 2130706433, 0x7f.1 and the like as addresses.
_NAME = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)*(?!([0-9]+|0x[0-9a-f]*)\.?$){_LABEL}\.?")
_USERINFO = re.compile(r"[^/?#]*//[^/?#]*@")


class UrlRefused(Exception):
    """The URL, or the address that it leads to, is not allowed. The message is safe for who named it."""


class FetchFailed(Exception):
    """It was allowed, and failed; `passing` says whether trying again later may help. The message is safe too."""

    def __init__(self, message: str, *, passing: bool) -> None:
        super().__init__(message)
        self.passing = passing


class TooLarge(FetchFailed):
    """There are more bytes than are wanted."""


class NotThere(FetchFailed):
    """The server has nothing there, or not for us."""


def refused(address: Address, allow: Sequence[Network] = ()) -> str:
    """Why there must be no connection to the address, or "".

    A network in `allow` lifts this for an address in it, written as IPv4-mapped IPv6 too; not for the other forms that
    carry an IPv4 address, and for a cloud's metadata only if it is the network of that one address.
    """
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "link-local"
    carried = _carried(address)
    metadata = not _METADATA.isdisjoint((address, *carried))
    mapped = (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
    named = (network for network in allow if network.num_addresses == 1 or not metadata)
    if any(address in network or mapped in network for network in named):
        return ""
    reasons = (next(why for network, why in _RULES if form in network) for form in (*carried, address))
    return next(filter(None, reasons), "")


def _carried(address: Address) -> list[IPv4Address]:
    """IPv4 addresses in IPv6 ones: RFC 4291 (mapped), 6052 (NAT64), 3056 (6to4), 4380 (Teredo, two), 5214 (ISATAP)."""
    if isinstance(address, IPv4Address):
        return []
    nat64, isatap = int(address) >> 96 == 0x0064FF9B, (int(address) >> 32) & 0xFCFFFFFF == 0x00005EFE
    last = IPv4Address(int(address) & 0xFFFFFFFF) if nat64 or isatap else None
    found = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()), last)
    return [carried for carried in found if carried is not None]


def check_url(url: str) -> httpx.URL:
    """The URL, if its form is allowed; which address it leads to is not judged here. Raises UrlRefused."""
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
    if not (port is None or 0 < port < 65536) or (_literal(host) is None and not _NAME.fullmatch(host)):
        raise UrlRefused("The URL's host or port is not a valid one.")
    return parsed


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to judged addresses only; whatever a connection pool sends passes here, redirects too."""

    def __init__(self, resolve: Resolve, allow: Sequence[Network] = ()) -> None:
        self._resolve = resolve
        self._allow = tuple(allow)
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises UrlRefused if one of the host's addresses is refused, be the others as they may."""
        addresses = _in_turn(await self._judged(host, port))[:MAX_TRIED]
        each_s = None if timeout is None else timeout / len(addresses)
        for address in addresses[:-1]:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._inner.connect_tcp(address, port, each_s, local_address, socket_options)
        return await self._inner.connect_tcp(addresses[-1], port, each_s, local_address, socket_options)

    async def connect_unix_socket(self, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        raise UrlRefused("The URL leads to no network.")

    async def _judged(self, host: str, port: int) -> list[str]:
        found = [host] if _literal(host) else list(dict.fromkeys(await self._resolve(host, port)))
        if not found:
            raise OSError("the name has no address")
        for address in map(_literal, found):
            if address is None or refused(address, self._allow):
                raise UrlRefused("The URL's host leads to an address that is not allowed.")
        return found


def _in_turn(addresses: list[str]) -> list[str]:
    """Both families by turns, in the resolver's order: one of them may have no way out here."""
    first = [address for address in addresses if (":" in address) == (":" in addresses[0])]
    second = [address for address in addresses if (":" in address) != (":" in addresses[0])]
    return [address for pair in zip_longest(first, second) for address in pair if address]


class Guard:
    """Fetches from and posts to URLs that callers name; raises UrlRefused and FetchFailed, and nothing else.

    Its state is a pool of connections, and threads that resolve. `timeout_s` is for all of a call: resolving,
    connecting, every redirect and the last byte. How many calls run at a time is up to who calls.
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
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or httpx.create_ssl_context(trust_env=False),
            max_connections=None,  # or hosts that never answer would keep the others waiting
            max_keepalive_connections=20,
            keepalive_expiry=5,
            network_backend=CheckedBackend(resolve or self._resolve, self._allow),
        )

    def check(self, url: str) -> httpx.URL:
        """What can be said before a name is resolved. Raises UrlRefused."""
        parsed = check_url(url)
        address = _literal(parsed.raw_host.decode("ascii"))
        if address and (reason := refused(address, self._allow)):
            raise UrlRefused(f"The URL's address is not allowed: {reason}.")
        return parsed

    async def fetch(self, url: str, *, max_bytes: int) -> bytes:
        """What a GET is answered with status 200, byte for byte: an answer that is compressed is refused."""
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

        Once there is a status it counts, whatever becomes of the rest of the answer: who posts again posts twice.
        """
        status = 0
        try:
            async with self._bounded(), self._ask("POST", self.check(url), body, headers) as response:
                status = response.status
                await _read(response, MAX_DRAINED_BYTES)  # so that the connection can serve again
        except FetchFailed:
            if not status:
                raise
        return status

    async def close(self) -> None:
        """Calls still under way fail; a name that is still being resolved is not waited for."""
        await self._pool.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        """On threads that serve nothing else: a name that is slow to resolve keeps only other names waiting."""
        run = asyncio.get_running_loop().run_in_executor
        found = await run(self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        return [str(address[0]) for *_, address in found]

    @asynccontextmanager
    async def _ask(
        self, method: str, url: httpx.URL, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[httpcore.Response]:
        sent = httpx.Headers({"Accept": "*/*", **(headers or {})})
        sent.update({"Host": url.netloc.decode("ascii"), "User-Agent": "imgrid-gateway", "Accept-Encoding": "identity"})
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        limits = {"timeout": {"connect": self._timeout_s / 2}}
        async with self._pool.stream(method, target, headers=sent.raw, content=body, extensions=limits) as response:
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
        return FetchFailed("The URL's host has no address.", passing=error.errno != socket.EAI_NONAME)
    if isinstance(error, (OSError, httpcore.NetworkError, httpcore.RemoteProtocolError)):
        return FetchFailed("The connection failed.", passing=True)
    return FetchFailed("The request could not be made.", passing=False)


async def _body(response: httpcore.Response, max_bytes: int) -> bytes:
    if response.status != 200:
        passing = response.status == 429 or response.status >= 500
        kind = NotThere if response.status in NOT_THERE else FetchFailed
        raise kind(f"The server answered with status {response.status}.", passing=passing)
    if httpx.Headers(response.headers).get("Content-Encoding", "identity").strip().lower() != "identity":
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
