"""Requests to URLs that callers name: only to public addresses, and to networks that the operator
permits.

`checked_connections` connects. It and the HTTP libraries are imported with the first URL: most
gateways never see one, and a start would pay for them.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from gateway.core.content_encoding import BrokenBody, Inflater, UnknownEncoding, encoding_of
from gateway.security.addresses import Network, address_of, refusal
from gateway.security.egress_errors import FetchFailed, NotThere, TooLarge, UrlRefused

if TYPE_CHECKING:
    import httpcore
    import httpx

    from gateway.security.checked_connections import Resolve

MAX_URL_CHARS = 2048
MAX_DRAINED_BYTES = 4096
REDIRECTS = frozenset({301, 302, 303, 307, 308})
NOT_THERE = frozenset({401, 403, 404, 410})


_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
# A name does not end in a number: resolvers read 2130706433, 0x7f.1 and the like as addresses.
_NAME = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)*(?!([0-9]+|0x[0-9a-f]*)\.?$){_LABEL}\.?")
_USERINFO = re.compile(r"[^/?#]*//[^/?#]*@")


class PostReply(NamedTuple):
    """A receiver's answer: its HTTP status, and after how many seconds it wants to be asked again,
    0 where it does not say."""

    status: int
    retry_after_s: float = 0.0


def seconds_of(retry_after: str, now: float) -> float:
    """The seconds of a Retry-After, which is a number of them or a date (RFC 9110 10.2.3); 0 for
    none, a past date, or what is neither."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        return max(parsedate_to_datetime(retry_after).timestamp() - now, 0.0)
    except (ValueError, OverflowError):
        return 0.0


def check_url(url: str) -> httpx.URL:
    """The parsed URL. Checks its form, not the address that it leads to. Raises UrlRefused."""
    import httpx

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
    if not _is_valid_host(parsed.raw_host.decode("ascii")) or not _is_valid_port(parsed.port):
        raise UrlRefused("The URL's host or port is not a valid one.")
    return parsed


def _is_valid_host(host: str) -> bool:
    return address_of(host) is not None or _NAME.fullmatch(host) is not None


def _is_valid_port(port: int | None) -> bool:
    return port is None or 0 < port < 65536


class EgressGuard:
    """Fetches from and posts to URLs that callers name. Raises UrlRefused and FetchFailed only.
    Holds a pool of connections, and threads that resolve names. Callers limit the number of calls
    at a time.
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
        """`timeout_s` is for all of a call: resolving, connecting, every redirect and the last
        byte."""
        self._allow = tuple(allow)
        self._timeout_s = timeout_s
        self._max_redirects = max_redirects
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="resolve")
        self._lookup = resolve or self._resolve
        self._tls = tls

    @cached_property
    def _pool(self) -> httpcore.AsyncConnectionPool:
        """Made with the first call: reading the machine's certificates takes a while."""
        from gateway.security.checked_connections import CheckedBackend, checked_pool

        return checked_pool(CheckedBackend(self._lookup, self._allow), self._tls)

    def check(self, url: str) -> httpx.URL:
        """The parsed URL. Checks its form, and its address if the host is one; names are checked
        when they are resolved. Raises UrlRefused."""
        parsed = check_url(url)
        address = address_of(parsed.raw_host.decode("ascii"))
        if address and (reason := refusal(address, self._allow)):
            raise UrlRefused(f"The URL's address is not allowed: {reason}.")
        return parsed

    async def fetch(self, url: str, *, max_bytes: int) -> bytes:
        """The body of an answer of status 200 to a GET, inflated where the server has compressed
        it: `max_bytes` is for what is returned."""
        async with self._time_limited():
            target = self.check(url)
            for _ in range(self._max_redirects + 1):
                async with self._request("GET", target) as response:
                    if response.status not in REDIRECTS:
                        return await _body(response, max_bytes)
                    location = _header(response, "Location")
                    target = self.check(str(target.join(location)))
            raise FetchFailed("The URL redirects too often.", transient=False)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> PostReply:
        """The answer's status, and its Retry-After; a redirect is not followed. Once there is a
        status, a failure of the rest of the answer is ignored, for a repeated post would arrive
        twice."""
        answered: PostReply | None = None
        try:
            async with (
                self._time_limited(),
                self._request("POST", self.check(url), body, headers) as response,
            ):
                retry_after_s = seconds_of(_header(response, "Retry-After"), time.time())
                answered = PostReply(response.status, retry_after_s)
                await _read(response, MAX_DRAINED_BYTES)  # so that the connection can serve again
        except FetchFailed:
            if answered is None:
                raise
        assert answered is not None
        return answered

    async def close(self) -> None:
        """Calls under way fail. Does not wait for names that are being resolved."""
        if "_pool" in vars(self):
            await self._pool.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a name, from threads that do nothing else: a name that is slow to
        resolve delays other names only."""
        run = asyncio.get_running_loop().run_in_executor
        infos = await run(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(address[0]) for *_, address in infos]

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        url: httpx.URL,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[httpcore.Response]:
        """A context with the answer to a request."""
        import httpcore
        import httpx

        all_headers = httpx.Headers({"Accept": "*/*", **(headers or {})})
        all_headers.update(
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
            method, target, headers=all_headers.raw, content=body, extensions=limits
        ) as response:
            yield response

    @asynccontextmanager
    async def _time_limited(self) -> AsyncIterator[None]:
        """A context with the time limit, in which foreign errors become FetchFailed."""
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except (UrlRefused, FetchFailed):
            raise
        except Exception as error:
            raise _fetch_failure(error) from error


def _fetch_failure(error: Exception) -> FetchFailed:
    """The failure of a foreign error. Its message stays in the cause, for it may tell which
    addresses a name leads to."""
    import httpcore

    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in (error, *error.args)):
        return FetchFailed("The server's certificate is not valid for the URL.", transient=False)
    if isinstance(error, (TimeoutError, httpcore.TimeoutException)):
        return FetchFailed("The server took too long.", transient=True)
    if isinstance(error, socket.gaierror):
        return FetchFailed(
            "The URL's host has no address.", transient=error.errno != socket.EAI_NONAME
        )
    if isinstance(error, (OSError, httpcore.NetworkError, httpcore.RemoteProtocolError)):
        return FetchFailed("The connection failed.", transient=True)
    return FetchFailed("The request could not be made.", transient=False)


def _header(response: httpcore.Response, name: str) -> str:
    """The value of a header, in any case; empty where there is none."""
    import httpx

    return str(httpx.Headers(response.headers).get(name, ""))


async def _body(response: httpcore.Response, max_bytes: int) -> bytes:
    """The body of an answer of status 200. Raises FetchFailed."""
    if response.status != 200:
        transient = response.status == 429 or response.status >= 500
        kind = NotThere if response.status in NOT_THERE else FetchFailed
        raise kind(f"The server answered with status {response.status}.", transient=transient)
    try:
        encoding = encoding_of(_header(response, "Content-Encoding"))
        return await _read(response, max_bytes, Inflater(encoding) if encoding else None)
    except (UnknownEncoding, BrokenBody) as error:
        raise FetchFailed(f"The server's answer cannot be read: {error}", transient=False) from None


async def _read(
    response: httpcore.Response, max_bytes: int, inflater: Inflater | None = None
) -> bytes:
    """The body of an answer, inflated where it is compressed. Raises TooLarge and BrokenBody."""
    too_large = TooLarge(f"The server's answer is larger than {max_bytes} bytes.", transient=False)
    if int(_header(response, "Content-Length") or 0) > max_bytes:
        raise too_large
    body = bytearray()
    async for part in response.aiter_stream():
        body += inflater.inflate(part, max_bytes - len(body)) if inflater else part
        if len(body) > max_bytes:
            raise too_large
    if inflater:
        inflater.end()
    return bytes(body)
