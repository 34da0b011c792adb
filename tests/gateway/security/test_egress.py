"""A URL of a caller leads only to public addresses and to networks that the operator named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network

import pytest

from gateway.security.checked_connections import CheckedBackend
from gateway.security.egress import EgressGuard, check_url
from gateway.security.egress_errors import FetchFailed, UrlRefused
from tests.support.raw_http import Parts, RawRequest, RawServer, Serve, always, reply

LOOPBACK = IPv4Network("127.0.0.1/32")

OpenGuard = Callable[..., EgressGuard]

HOSTILE = {
    "http://127.0.0.1/": "loopback",
    "http://127.0.0.1:6379/": "loopback, another port",
    "https://127.255.255.254/": "loopback, the end of it",
    "HTTP://127.0.0.1/": "loopback, loudly",
    "http://localhost.example/": "a name of loopback",
    "http://LOCALHOST.example./": "a name of loopback, with its root",
    "http://localhost6.example/": "a name of loopback in IPv6",
    "http://both.example/": "a name with a public address and a private one",
    "http://nonsense.example/": "a name whose address is none",
    "http://zone.example/": "a name whose address has a zone",
    "http://2130706433/": "loopback in decimal",
    "http://0x7f000001/": "loopback in hexadecimal",
    "http://0x7f.1/": "loopback, short and in hexadecimal",
    "http://0X7F.0X1/": "loopback in capital hexadecimal",
    "http://017700000001/": "loopback in octal",
    "http://0177.0.0.1/": "loopback, the first byte in octal",
    "http://0177.0.0.01/": "loopback in octal, twice",
    "http://127.1/": "loopback, short",
    "http://127.0.1/": "loopback, less short",
    "http://127.0.0.1./": "loopback with a trailing dot",
    "http://127.0.0.1../": "loopback with two",
    "http://2130706433./": "loopback in decimal with a trailing dot",
    "http://0/": "unspecified, short",
    "http://0.0.0.0/": "unspecified",
    "http://１２７.０.０.１/": "loopback in full-width digits",
    "http://127。0。0。1/": "loopback with ideographic full stops",
    "http://①②⑦.0.0.1/": "loopback in circled digits",
    "http://ｌocalhost/": "a full-width letter",
    "http://%31%32%37.0.0.1/": "loopback, percent-encoded",
    "http://127.0.0.1%2f@public.example/": "an encoded slash before a user's sign",
    "http://127.0.0.1%00.public.example/": "an encoded end of text",
    "http://user@127.0.0.1/": "a user",
    "http://public.example@127.0.0.1/": "a user that looks like a host",
    "http://user:password@public.example/": "a user and a password",
    "http://@public.example/": "an empty user",
    "http://:@public.example/": "an empty user with an empty password",
    "http://127.0.0.1\\@public.example/": "a backslash, which some take for a slash",
    "http://public.example\\.local/": "a backslash in a name",
    "http://127.0.0.1#@public.example/": "a fragment that looks like a host",
    "http://127.0.0.1?@public.example/": "a query that looks like a host",
    "http://10.0.0.1/": "private",
    "http://172.16.0.1/": "private",
    "http://172.31.255.255/": "private",
    "http://192.168.1.1/": "private",
    "http://100.64.0.1/": "carrier-grade NAT",
    "http://169.254.169.254/latest/meta-data/": "metadata of most clouds",
    "http://169.254.170.2/v2/credentials": "metadata of a container",
    "http://2852039166/": "metadata in decimal",
    "http://100.100.100.200/": "metadata of a cloud in carrier-grade NAT",
    "http://192.0.0.192/": "metadata of a cloud in a reserved network",
    "http://168.63.129.16/": "metadata of a cloud in a public network",
    "http://[fd00:ec2::254]/": "metadata in IPv6",
    "http://metadata.example/": "a name of metadata",
    "http://192.0.2.1/": "documentation",
    "http://198.51.100.1/": "documentation",
    "http://203.0.113.1/": "documentation",
    "http://198.18.0.1/": "benchmarking",
    "http://224.0.0.1/": "multicast",
    "http://240.0.0.1/": "reserved",
    "http://255.255.255.255/": "broadcast",
    "http://[::1]/": "loopback in IPv6",
    "http://[0:0:0:0:0:0:0:1]/": "loopback in IPv6, at length",
    "http://[::]/": "unspecified in IPv6",
    "http://[fe80::1]/": "link-local in IPv6",
    "http://[fe80::1%eth0]/": "link-local with its zone",
    "http://[fe80::1%25eth0]/": "link-local with its zone, encoded",
    "http://[2606:4700:4700::1111%25lo]/": "a public address with a zone",
    "http://[fc00::1]/": "unique local",
    "http://[fec0::1]/": "site-local",
    "http://[ff02::1]/": "multicast in IPv6",
    "http://[100::1]/": "discard only",
    "http://[2001:db8::1]/": "documentation in IPv6",
    "http://[3fff::1]/": "documentation in IPv6, the newer",
    "http://[2001:2::1]/": "benchmarking in IPv6",
    "http://[4000::1]/": "not given out",
    "http://[::ffff:127.0.0.1]/": "loopback, mapped",
    "http://[::ffff:7f00:1]/": "loopback, mapped and in hexadecimal",
    "http://[::ffff:169.254.169.254]/": "metadata, mapped",
    "http://[::127.0.0.1]/": "loopback, compatible",
    "http://[::ffff:0:127.0.0.1]/": "loopback, translated",
    "http://[64:ff9b::7f00:1]/": "loopback by NAT64",
    "http://[64:ff9b::a9fe:a9fe]/": "metadata by NAT64",
    "http://[64:ff9b:1::8.8.8.8]/": "NAT64 of a local network",
    "http://[2002:7f00:1::]/": "loopback by 6to4",
    "http://[2001:0:7f00:1::]/": "loopback as a Teredo server",
    "http://[2001:0:808:808::80ff:fffe]/": "loopback as a Teredo client",
    "http://[2606:4700::5efe:127.0.0.1]/": "loopback by ISATAP",
    "http://[2606:4700::200:5efe:10.0.0.1]/": "private by ISATAP",
    "http://[::1": "an unclosed bracket",
    "http://[::1]]/": "a bracket too many",
    "http://[127.0.0.1]/": "IPv4 in brackets",
    "http://::1/": "IPv6 without brackets",
    "http://[v1.127]/": "an address of a future kind",
    "http:///127.0.0.1/": "no host, three slashes",
    "http:127.0.0.1/": "no host, no slashes",
    "//127.0.0.1/": "no scheme",
    "127.0.0.1": "nothing but an address",
    "": "nothing",
    "file:///etc/passwd": "a file",
    "ftp://public.example/": "ftp",
    "gopher://127.0.0.1:6379/_FLUSHALL": "gopher",
    "ws://public.example/": "a web socket",
    "unix:///var/run/docker.sock": "a socket in the file system",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/": "a socket in the file system, by http",
    "data:text/plain,hello": "data",
    "javascript:alert(1)": "a script",
    "http://public.example:0/": "port 0",
    "http://public.example:65536/": "a port out of range",
    "http://public.example:-1/": "a negative port",
    "http://public.example:80:90/": "two ports",
    "http://public.example:http/": "a port that is a word",
    "http://public.example/\r\nHost: 127.0.0.1": "a header in the path",
    "http://public\t.example/": "a tab in a name",
    " http://public.example/": "a space in front",
    "http://public.example/a b": "a space",
    "http://public.example/\x00": "an end of text",
    "http://public.example/\x85": "a control character beyond ASCII",
    "http://public.example/\u2028": "a line separator",
    "http://public.example/\u202e": "writing turned around",
    "http://public.example/\ud800": "half a character",
    "http://-public.example/": "a name with a dash in front",
    "http://public..example/": "a name with an empty part",
    "http://.example/": "a name that begins with a dot",
    "http://*.example/": "a wildcard",
    f"http://{'a' * 64}.example/": "a part of a name that is too long",
    f"http://{'a.' * 127}example/": "a name that is too long",
    f"http://public.example/{'a' * 2048}": "a URL that is too long",
}

NAMES = {
    "localhost.example": ["127.0.0.1"],
    "localhost.example.": ["127.0.0.1"],
    "localhost6.example": ["::1"],
    "both.example": ["8.8.8.8", "10.0.0.1"],
    "nonsense.example": ["8.8.8.8.8"],
    "zone.example": ["fe80::1%lo"],
    "metadata.example": ["169.254.169.254"],
}


async def known(host: str, port: int) -> list[str]:
    """The resolver of the table of names."""
    return NAMES[host]


@pytest.mark.parametrize("url", HOSTILE, ids=lambda url: HOSTILE[url])
async def test_hostile_urls_are_refused(open_guard: OpenGuard, url: str) -> None:
    """No URL of the table is fetched from or posted to, and the error contains no address of a
    name."""
    guard = open_guard(allow=(), resolve=known)
    with pytest.raises(UrlRefused) as error:
        await guard.fetch(url, max_bytes=1000)
    assert not any(
        address in str(error.value) for addresses in NAMES.values() for address in addresses
    )
    with pytest.raises(UrlRefused):
        await guard.post(url, b"", {})


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/photo.jpg?size=1#top",
        "http://example.com:8080/",
        "https://sub_domain.example.com/",
        "https://example.com./",
        "https://bücher.example/straße.jpg",
        "https://xn--bcher-kva.example/",
        "https://1.example/",
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]:8443/",
        "https://example.com/a@b:c\\d/%0d%0a",
    ],
)
def test_ordinary_urls_pass(url: str) -> None:
    """A URL that names a public host, by name or by address, passes."""
    assert check_url(url).scheme in url


async def test_a_server_in_an_allowed_network_is_asked(serve: Serve, open_guard: OpenGuard) -> None:
    """A server in an allowed network is asked once, with its host's name and no credentials."""
    server = await serve(lambda request: [reply(b"photo")])
    guard = open_guard(resolve=always("127.0.0.1"))
    assert (
        await guard.fetch(f"http://photos.example:{server.port}/a%20b?c=d#e", max_bytes=5)
        == b"photo"
    )
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/a%20b?c=d")
    assert request.headers == {
        "host": f"photos.example:{server.port}",
        "user-agent": "imgrid-gateway",
        "accept": "*/*",
        "accept-encoding": "identity",
    }


async def test_the_systems_resolver_is_judged_too(serve: Serve, open_guard: OpenGuard) -> None:
    """A guard without a resolver of its own uses the system's, and judges its answer."""
    server = await serve(lambda request: [reply(b"photo")])
    url = f"http://localhost:{server.port}/"
    with pytest.raises(UrlRefused):
        await open_guard(allow=()).fetch(url, max_bytes=10)
    assert (
        await open_guard(allow=[LOOPBACK, IPv6Network("::1/128")]).fetch(url, max_bytes=10)
        == b"photo"
    )


# What is judged is what is connected to


async def test_a_name_is_resolved_once_for_a_connection(
    serve: Serve, open_guard: OpenGuard
) -> None:
    """A name that changes its address is connected to at the judged address, and is judged anew the
    next time."""
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    server = await serve(lambda request: [reply(b"photo")])

    async def rebinding(host: str, port: int) -> list[str]:
        return answers.pop(0)

    guard = open_guard(resolve=rebinding)
    url = f"http://photos.example:{server.port}/"
    assert await guard.fetch(url, max_bytes=10) == b"photo"
    assert answers == [["127.0.0.2"]]
    await server.done.wait()
    with pytest.raises(UrlRefused):
        await guard.fetch(url, max_bytes=10)
    assert server.connections == 1


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1", "127.0.0.2"), ("127.0.0.2", "127.0.0.1"), ("127.0.0.1", "::1")]
)
async def test_one_refused_address_of_a_name_refuses_all(
    serve: Serve, open_guard: OpenGuard, addresses: tuple[str, ...]
) -> None:
    """A name with several addresses, one of which is refused, is not connected to at all."""
    server = await serve(lambda request: [reply(b"photo")])
    with pytest.raises(UrlRefused):
        await open_guard(resolve=always(*addresses)).fetch(
            f"http://photos.example:{server.port}/", max_bytes=10
        )
    assert not server.connections


async def test_the_next_address_is_tried_after_a_failed_one(
    serve: Serve, open_guard: OpenGuard
) -> None:
    """The guard passes over an allowed address that refuses the connection, and both families get a
    turn."""
    server = await serve(lambda request: [reply(b"photo")])
    allow = [LOOPBACK, IPv6Network("::1/128"), IPv6Network("::ffff:0:0/96")]
    many = ("::1", *(f"::ffff:127.0.0.{last}" for last in range(2, 9)), "127.0.0.1")
    guard = open_guard(allow, resolve=always(*many))
    assert await guard.fetch(f"http://photos.example:{server.port}/", max_bytes=10) == b"photo"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "::1%lo", "anything"])
async def test_the_backend_judges_for_itself(host: str) -> None:
    """A host that the check of the URL would have refused is judged again where the connection is
    made."""
    with pytest.raises(UrlRefused):
        await CheckedBackend(always("127.0.0.1")).connect_tcp(host, 80)


async def test_the_backend_connects_to_no_unix_socket() -> None:
    """The backend connects to no socket in the file system."""
    with pytest.raises(UrlRefused):
        await CheckedBackend(always("127.0.0.1")).connect_unix_socket("/run/any.sock")


async def test_proxies_of_the_environment_are_ignored(
    serve: Serve, open_guard: OpenGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that the environment names is not asked, because it would connect wherever it
    likes."""
    server, proxy = (
        await serve(lambda request: [reply(b"photo")]),
        await serve(lambda request: [reply(b"proxy")]),
    )
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert await open_guard().fetch(server.url, max_bytes=10) == b"photo"
    assert not proxy.connections


# TLS


async def test_tls_verifies_the_hosts_name(secure: RawServer, open_guard: OpenGuard) -> None:
    """The connection goes to an address, but TLS asks for the host's name and verifies it."""
    url = f"https://photos.example:{secure.port}/"
    assert await open_guard(resolve=always("127.0.0.1")).fetch(url, max_bytes=10) == b"photo"
    assert secure.tls_names == ["photos.example"]
    assert secure.requests[0].headers["host"] == f"photos.example:{secure.port}"


@pytest.mark.parametrize("host", ["other.example", "127.0.0.1"])
async def test_a_certificate_for_another_name_is_refused(
    secure: RawServer, open_guard: OpenGuard, host: str
) -> None:
    """A trusted certificate of another host is a permanent failure, and nothing is sent."""
    with pytest.raises(FetchFailed, match="certificate") as error:
        await open_guard(resolve=always("127.0.0.1")).post(
            f"https://{host}:{secure.port}/", b"secret", {}
        )
    assert not error.value.transient
    assert not secure.requests


async def test_a_self_signed_certificate_is_refused(
    secure: RawServer, open_guard: OpenGuard
) -> None:
    """By default only certificates that chain to a public authority are trusted."""
    guard = open_guard(resolve=always("127.0.0.1"), tls=None)
    with pytest.raises(FetchFailed, match="certificate"):
        await guard.fetch(f"https://photos.example:{secure.port}/", max_bytes=10)
    assert not secure.requests


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(serve: Serve, open_guard: OpenGuard, status: int) -> None:
    """Every kind of redirect is followed, to a relative place too."""
    pages = {"/a/b": reply(status=f"{status} Moved", Location="../c?d"), "/c?d": reply(b"photo")}
    server = await serve(lambda request: [pages[request.path]])
    assert await open_guard().fetch(f"{server.url}/a/b", max_bytes=10) == b"photo"


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.2/",
        "http://169.254.169.254/latest/meta-data/",
        "//169.254.169.254/",
        "http://[::1]/",
        "http://2130706433/",
        "http://inside.example/",
        "http://user@127.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://127.0.0.1:0/",
    ],
)
async def test_redirects_to_refused_places_are_refused(
    serve: Serve, open_guard: OpenGuard, place: str
) -> None:
    """An allowed server cannot send the gateway to a refused place."""
    server = await serve(lambda request: [reply(status="302 Found", Location=place)])
    with pytest.raises(UrlRefused):
        await open_guard(resolve=always("10.0.0.1")).fetch(server.url, max_bytes=10)
    assert server.connections == 1


async def test_a_redirect_to_no_url_fails(serve: Serve, open_guard: OpenGuard) -> None:
    """A redirect to something that is no URL is a permanent failure."""
    server = await serve(lambda request: [reply(status="302 Found", Location="http://a:b:c/")])
    with pytest.raises(FetchFailed) as error:
        await open_guard().fetch(server.url, max_bytes=10)
    assert not error.value.transient


async def test_a_redirect_loop_ends(serve: Serve, open_guard: OpenGuard) -> None:
    """A server that redirects to itself is asked once more than redirects are allowed."""
    server = await serve(lambda request: [reply(status="302 Found", Location="/")])
    with pytest.raises(FetchFailed, match="too often") as error:
        await open_guard(max_redirects=2).fetch(server.url, max_bytes=10)
    assert len(server.requests) == 3
    assert not error.value.transient


@pytest.mark.parametrize(("redirects", "arrives"), [(3, True), (4, False)])
async def test_three_redirects_are_followed_and_no_more(
    serve: Serve, open_guard: OpenGuard, redirects: int, arrives: bool
) -> None:
    """By default three redirects are followed, and a fourth is a failure."""

    def count(request: RawRequest) -> Parts:
        step = int(request.path[1:])
        return [
            reply(b"photo")
            if step == redirects
            else reply(status="302 Found", Location=f"/{step + 1}")
        ]

    server = await serve(count)
    fetched = asyncio.create_task(open_guard().fetch(f"{server.url}/0", max_bytes=10))
    await asyncio.wait([fetched])
    assert (fetched.exception() is None) is arrives


async def test_cookies_are_not_kept(serve: Serve, open_guard: OpenGuard) -> None:
    """A server never gets its cookies back, neither after a redirect nor in the next request."""
    server = await serve(
        lambda request: [
            reply(status="302 Found", Location="/b", Set_Cookie="a=b")
            if request.path == "/a"
            else reply(Set_Cookie="c=d")
        ]
    )
    guard = open_guard()
    await guard.fetch(f"{server.url}/a", max_bytes=10)
    await guard.fetch(f"{server.url}/b", max_bytes=10)
    assert len(server.requests) == 3
    assert not any("cookie" in request.headers for request in server.requests)
