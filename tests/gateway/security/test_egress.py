"""A URL that a caller names leads to public addresses and to networks that the operator named, and
nowhere else."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.security.addresses import refusal
from gateway.security.egress import CheckedBackend, EgressGuard, FetchFailed, UrlRefused, check_url

LOOPBACK = [IPv4Network("127.0.0.1/32")]

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

PUBLIC = (
    *(
        "1.1.1.1",
        "8.8.8.8",
        "93.184.216.34",
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
    ),
    *(
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.0",
    ),
    *(
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.255",
        "192.167.255.255",
    ),
    *(
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "203.0.114.0",
        "223.255.255.255",
    ),
    *(
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        "2600::",
        "2001:200::1",
        "2c0f:f248::1",
    ),
    *("::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::5efe:8.8.8.8"),
)

NAMES = {
    "localhost.example": ["127.0.0.1"],
    "localhost.example.": ["127.0.0.1"],
    "localhost6.example": ["::1"],
    "both.example": ["8.8.8.8", "10.0.0.1"],
    "nonsense.example": ["8.8.8.8.8"],
    "zone.example": ["fe80::1%lo"],
    "metadata.example": ["169.254.169.254"],
}


async def known(host, port):
    return NAMES[host]


def always(*addresses):
    """A resolver that knows one answer."""

    async def resolve(host, port):
        return addresses

    return resolve


def failing(error):
    async def resolve(host, port):
        raise error

    return resolve


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """A key, and a certificate for photos.example that it signed itself."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    kind = (
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    )
    names = ("-subj", "/CN=photos.example", "-addext", "subjectAltName=DNS:photos.example")
    subprocess.run(
        ["openssl", *kind, *names, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    return key, certificate


@pytest.fixture(scope="module")
def trusting(files: tuple[Path, ...]) -> Any:
    """What a client that knows the certificate trusts."""
    return ssl.create_default_context(cafile=files[1])


@pytest.fixture
async def guarding(trusting: Any) -> AsyncIterator[Callable[..., Any]]:
    """`guarding(allow, **options)`: a guard that is closed at the end."""
    async with AsyncExitStack() as stack:

        def make(allow=LOOPBACK, **options):
            guard = EgressGuard(allow, **{"tls": trusting, **options})
            stack.push_async_callback(guard.close)
            return guard

        yield make


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    """`serve(answer)`: a server on loopback that writes what `answer(request)` yields, and hangs
    up.

    Where that is a number it waits as many seconds instead.
    """
    listening, talking = [], set()

    async def start(answer, tls=None):
        server = SimpleNamespace(asked=[], connections=0, done=asyncio.Event())

        async def converse(reader, writer):
            server.connections += 1
            talking.add(asyncio.current_task())
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                server.asked.append(request := await read(reader))
                for part in answer(request):
                    await asyncio.sleep(part) if isinstance(part, float) else writer.write(part)
                    await writer.drain()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            server.done.set()

        listening.append(await asyncio.start_server(converse, "127.0.0.1", 0, ssl=tls))
        server.port = listening[-1].sockets[0].getsockname()[1]
        server.url = f"http://127.0.0.1:{server.port}"
        return server

    yield start
    for server in listening:
        server.close()
    for task in talking:
        task.cancel()
    await asyncio.gather(*talking, return_exceptions=True)


async def read(reader):
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    method, path, _ = first.split(" ")
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return SimpleNamespace(method=method, path=path, headers=headers, body=body)


def reply(body=b"", status="200 OK", **headers):
    """An answer with its length; `Some_Name=value` becomes a header."""
    lines = {
        "Content-Length": len(body),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def closed_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


# What is refused


@pytest.mark.parametrize("url", HOSTILE, ids=lambda url: HOSTILE[url])
async def test_hostile_urls_are_refused(guarding: Callable[..., Any], url: str) -> None:
    """No URL of the table is fetched from or posted to, and nothing is said of why a name was
    refused."""
    guard = guarding(allow=(), resolve=known)
    with pytest.raises(UrlRefused) as error:
        await guard.fetch(url, max_bytes=1000)
    assert not any(
        address in str(error.value) for addresses in NAMES.values() for address in addresses
    )
    with pytest.raises(UrlRefused):
        await guard.post(url, b"", {})


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_not_refused(address: str) -> None:
    """An address that everyone can reach is not refused, however near it lies to one that is."""
    assert refusal(ip_address(address), ()) == ""


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
    """A URL that names a public host, by name or by address, has nothing against it."""
    assert check_url(url).scheme in url


networks = st.sampled_from(
    [
        *(
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
        ),
        *("192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/3"),
    ]
)
insiders = networks.flatmap(lambda network: st.ip_addresses(v=4, network=network))


def embedded(address):
    """Every IPv6 form of an IPv4 address that may lead to it; the mapped one is the first."""
    v4, public = int(address), int(IPv4Address("8.8.8.8"))
    base = {
        name: int(IPv6Address(name))
        for name in ("::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::")
    }
    isatap = [
        int(IPv6Address(f"2606:4700::{bits}5efe:0:0")) for bits in ("", "200:", "100:", "300:")
    ]
    teredo = 0x20010000 << 96
    yield from (IPv6Address(start | v4) for start in (*base.values(), 0, *isatap))
    yield IPv6Address(0x2002 << 112 | v4 << 80)
    yield IPv6Address(0x2002 << 112 | v4 << 80 | 0xFFFF)
    yield IPv6Address(teredo | v4 << 64 | public ^ 0xFFFFFFFF)
    yield IPv6Address(teredo | public << 64 | v4 ^ 0xFFFFFFFF)


@given(insiders)
def test_no_form_of_a_private_address_passes(address) -> None:
    """An IPv4 address that is refused is refused in all its IPv6 forms."""
    assert refusal(address, ())
    assert all(refusal(form, ()) for form in embedded(address))


@given(st.ip_addresses())
def test_what_python_calls_not_global_is_refused(address) -> None:
    """The table holds all that the standard library knows to be no public address."""
    mapped = address.version == 6 and address.ipv4_mapped
    assert (mapped or address).is_global or refusal(address, ())


# What the operator allows


@given(insiders)
def test_an_allowed_network_opens_its_addresses_and_their_mapped_form_only(address) -> None:
    """A named network lifts the refusal of its addresses, plain or mapped, and of no other form."""
    allow = [IPv4Network(address)]
    mapped, *others = embedded(address)
    assert refusal(address, allow) == refusal(mapped, allow) == ""
    assert all(refusal(form, allow) for form in others)


def test_an_allowed_network_opens_no_other() -> None:
    """Networks beside the named one stay refused, of either version."""
    allow = [ip_network("10.0.0.0/8"), ip_network("fd00:1::/32")]
    assert not refusal(ip_address("10.255.0.1"), allow)
    assert not refusal(ip_address("fd00:1::1"), allow)
    assert all(refusal(ip_address(address), allow) for address in ("127.0.0.1", "fd00:2::1", "::1"))


@pytest.mark.parametrize(
    ("address", "wide"),
    [
        ("169.254.169.254", "169.254.0.0/16"),
        ("::ffff:169.254.169.254", "169.254.0.0/16"),
        ("::ffff:169.254.169.254", "::/0"),
        ("64:ff9b::a9fe:a9fe", "64:ff9b::/96"),
        ("100.100.100.200", "100.64.0.0/10"),
        ("192.0.0.192", "0.0.0.0/0"),
        ("fd00:ec2::254", "fc00::/7"),
    ],
)
def test_metadata_is_opened_only_by_its_own_address(address: str, wide: str) -> None:
    """A network around a metadata address does not open it; the address as a network of one
    does."""
    found = ip_address(address)
    assert refusal(found, [ip_network(wide)])
    assert not refusal(found, [ip_network(address)])


async def test_an_allowed_server_is_fetched_from(
    serve: Callable[..., Any], guarding: Callable[..., Any]
) -> None:
    """A server in an allowed network is asked once, with its host's name and no credentials."""
    server = await serve(lambda request: [reply(b"photo")])
    guard = guarding(resolve=always("127.0.0.1"))
    assert (
        await guard.fetch(f"http://photos.example:{server.port}/a%20b?c=d#e", max_bytes=5)
        == b"photo"
    )
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("GET", "/a%20b?c=d")
    assert asked.headers == {
        "host": f"photos.example:{server.port}",
        "user-agent": "imgrid-gateway",
        "accept": "*/*",
        "accept-encoding": "identity",
    }


async def test_the_systems_resolver_is_guarded_as_well(
    serve: Callable[..., Any], guarding: Callable[..., Any]
) -> None:
    """Without a resolver of its own a guard asks the system's, and judges what that says."""
    server = await serve(lambda request: [reply(b"photo")])
    url = f"http://localhost:{server.port}/"
    with pytest.raises(UrlRefused):
        await guarding(allow=()).fetch(url, max_bytes=10)
    assert (
        await guarding(allow=[*LOOPBACK, IPv6Network("::1/128")]).fetch(url, max_bytes=10)
        == b"photo"
    )


# What is judged is what is connected to


async def test_a_name_is_resolved_once_for_a_connection(
    serve: Callable[..., Any], guarding: Callable[..., Any]
) -> None:
    """A name that leads elsewhere when asked again is connected to as it was judged, and judged
    anew the next time."""
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    server = await serve(lambda request: [reply(b"photo")])

    async def rebinding(host, port):
        return answers.pop(0)

    guard = guarding(resolve=rebinding)
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
    serve: Callable[..., Any], guarding: Callable[..., Any], addresses: tuple[str, ...]
) -> None:
    """A name with several addresses of which one is refused is not connected to at all."""
    server = await serve(lambda request: [reply(b"photo")])
    with pytest.raises(UrlRefused):
        await guarding(resolve=always(*addresses)).fetch(
            f"http://photos.example:{server.port}/", max_bytes=10
        )
    assert not server.connections


async def test_the_next_address_is_tried_where_one_does_not_answer(
    serve: Callable[..., Any], guarding: Callable[..., Any]
) -> None:
    """Of several allowed addresses, one that refuses the connection is passed over, and both
    families get a turn."""
    server = await serve(lambda request: [reply(b"photo")])
    allow = [*LOOPBACK, IPv6Network("::1/128"), IPv6Network("::ffff:0:0/96")]
    many = ("::1", *(f"::ffff:127.0.0.{last}" for last in range(2, 9)), "127.0.0.1")
    guard = guarding(allow, resolve=always(*many))
    assert await guard.fetch(f"http://photos.example:{server.port}/", max_bytes=10) == b"photo"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "::1%lo", "anything"])
async def test_the_backend_judges_for_itself(host: str) -> None:
    """Whatever gets past the reading of a URL is judged where the connection is made."""
    with pytest.raises(UrlRefused):
        await CheckedBackend(always("127.0.0.1")).connect_tcp(host, 80)


async def test_the_backend_connects_to_no_unix_socket() -> None:
    """There is no way to a socket in the file system."""
    with pytest.raises(UrlRefused):
        await CheckedBackend(always("127.0.0.1")).connect_unix_socket("/run/any.sock")


async def test_proxies_of_the_environment_are_ignored(
    serve: Callable[..., Any], guarding: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would connect where it likes: one that the environment names is not asked."""
    server, proxy = (
        await serve(lambda request: [reply(b"photo")]),
        await serve(lambda request: [reply(b"proxy")]),
    )
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert await guarding().fetch(server.url, max_bytes=10) == b"photo"
    assert not proxy.connections


# TLS


@pytest.fixture
async def secure(serve: Callable[..., Any], files: tuple[Path, ...]) -> SimpleNamespace:
    """A TLS server with a certificate for photos.example; `named` is what clients asked for in the
    handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])
    named = []
    context.sni_callback = lambda _, name, __: named.append(name)
    server = await serve(lambda request: [reply(b"photo")], tls=context)
    server.named = named
    return server


async def test_tls_asks_for_the_hosts_name(
    secure: SimpleNamespace, guarding: Callable[..., Any]
) -> None:
    """The connection goes to an address, and yet the name is what TLS asks for and verifies."""
    url = f"https://photos.example:{secure.port}/"
    assert await guarding(resolve=always("127.0.0.1")).fetch(url, max_bytes=10) == b"photo"
    assert secure.named == ["photos.example"]
    assert secure.asked[0].headers["host"] == f"photos.example:{secure.port}"


@pytest.mark.parametrize("host", ["other.example", "127.0.0.1"])
async def test_a_certificate_for_another_name_is_not_taken(
    secure: SimpleNamespace, guarding: Callable[..., Any], host: str
) -> None:
    """A certificate that is trusted, but for another host, fails for good, and nothing is sent."""
    with pytest.raises(FetchFailed, match="certificate") as error:
        await guarding(resolve=always("127.0.0.1")).post(
            f"https://{host}:{secure.port}/", b"secret", {}
        )
    assert not error.value.transient
    assert not secure.asked


async def test_a_certificate_that_nobody_vouches_for_is_not_taken(
    secure: SimpleNamespace, guarding: Callable[..., Any]
) -> None:
    """By default only certificates that chain to a public authority are trusted."""
    guard = guarding(resolve=always("127.0.0.1"), tls=None)
    with pytest.raises(FetchFailed, match="certificate"):
        await guard.fetch(f"https://photos.example:{secure.port}/", max_bytes=10)
    assert not secure.asked


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(
    serve: Callable[..., Any], guarding: Callable[..., Any], status: int
) -> None:
    """Every kind of redirect is followed, to a place that is relative too."""
    pages = {"/a/b": reply(status=f"{status} Moved", Location="../c?d"), "/c?d": reply(b"photo")}
    server = await serve(lambda request: [pages[request.path]])
    assert await guarding().fetch(f"{server.url}/a/b", max_bytes=10) == b"photo"


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
async def test_redirects_to_what_is_refused_are_refused(
    serve: Callable[..., Any], guarding: Callable[..., Any], place: str
) -> None:
    """A server that may be asked cannot send the gateway where it may not go."""
    server = await serve(lambda request: [reply(status="302 Found", Location=place)])
    with pytest.raises(UrlRefused):
        await guarding(resolve=always("10.0.0.1")).fetch(server.url, max_bytes=10)
    assert server.connections == 1


async def test_a_redirect_that_cannot_be_read_fails(
    serve: Callable[..., Any], guarding: Callable[..., Any]
) -> None:
    """A redirect to something that is no URL fails for good."""
    server = await serve(lambda request: [reply(status="302 Found", Location="http://a:b:c/")])
    with pytest.raises(FetchFailed) as error:
        await guarding().fetch(server.url, max_bytes=10)
    assert not error.value.transient


async def test_a_redirect_loop_ends(
    serve: Callable[..., Any], guarding: Callable[..., Any]
) -> None:
    """A server that redirects to itself is asked as often as redirects are allowed, and once
    more."""
    server = await serve(lambda request: [reply(status="302 Found", Location="/")])
    with pytest.raises(FetchFailed, match="too often") as error:
        await guarding(max_redirects=2).fetch(server.url, max_bytes=10)
    assert len(server.asked) == 3
    assert not error.value.transient


@pytest.mark.parametrize(("redirects", "arrives"), [(3, True), (4, False)])
async def test_three_redirects_are_followed_and_no_more(
    serve: Callable[..., Any], guarding: Callable[..., Any], redirects: int, arrives: bool
) -> None:
    """The last redirect that is allowed still arrives."""

    def count(request):
        step = int(request.path[1:])
        return [
            reply(b"photo")
            if step == redirects
            else reply(status="302 Found", Location=f"/{step + 1}")
        ]

    server = await serve(count)
    fetched = asyncio.create_task(guarding().fetch(f"{server.url}/0", max_bytes=10))
    await asyncio.wait([fetched])
    assert (fetched.exception() is None) is arrives


async def test_cookies_are_not_kept(
    serve: Callable[..., Any], guarding: Callable[..., Any]
) -> None:
    """What a server sets is not told to it again, neither after a redirect nor in the next
    request."""
    server = await serve(
        lambda request: [
            reply(status="302 Found", Location="/b", Set_Cookie="a=b")
            if request.path == "/a"
            else reply(Set_Cookie="c=d")
        ]
    )
    guard = guarding()
    await guard.fetch(f"{server.url}/a", max_bytes=10)
    await guard.fetch(f"{server.url}/b", max_bytes=10)
    assert len(server.asked) == 3
    assert not any("cookie" in asked.headers for asked in server.asked)


# Limits


def chunked(body):
    return [
        reply(Content_Length=None, Transfer_Encoding="chunked"),
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda body: [reply(body)], id="with its length"),
        pytest.param(lambda body: [reply(Content_Length=None), body], id="until it hangs up"),
        pytest.param(chunked, id="chunked"),
    ],
)
async def test_a_body_has_a_limit(
    serve: Callable[..., Any], guarding: Callable[..., Any], answer: Callable[..., Any]
) -> None:
    """A body of the limit arrives whole, one byte more is too large for good, however it is
    sent."""
    server = await serve(lambda request: answer(bytes(100_000)))
    assert await guarding().fetch(server.url, max_bytes=100_000) == bytes(100_000)
    with pytest.raises(FetchFailed, match="99999 bytes") as error:
        await guarding().fetch(server.url, max_bytes=99_999)
    assert not error.value.transient


async def test_a_length_over_the_limit_is_enough(
    serve: Callable[..., Any], guarding: Callable[..., Any]
) -> None:
    """An answer that announces too much is refused before any of it arrives."""
    server = await serve(lambda request: [reply(Content_Length=10**12), 60.0])
    with pytest.raises(FetchFailed, match="larger than 1000 bytes"):
        await guarding().fetch(server.url, max_bytes=1000)


async def test_a_body_without_end_is_left(
    serve: Callable[..., Any], guarding: Callable[..., Any]
) -> None:
    """A server that never stops sending is left once the limit is reached."""

    def endless(request):
        yield reply(Content_Length=None)
        while True:
            yield bytes(10_000)

    server = await serve(endless)
    with pytest.raises(FetchFailed, match="larger"):
        await guarding().fetch(server.url, max_bytes=50_000)
    await server.done.wait()


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "identity, gzip", "GZIP"])
async def test_a_compressed_answer_is_refused(
    serve: Callable[..., Any], guarding: Callable[..., Any], encoding: str
) -> None:
    """Nothing is unpacked, so nothing can unpack to more than the limit."""
    server = await serve(lambda request: [reply(b"photo", Content_Encoding=encoding)])
    with pytest.raises(FetchFailed, match="compressed") as error:
        await guarding().fetch(server.url, max_bytes=10)
    assert not error.value.transient


async def test_an_answer_that_says_it_is_not_compressed_is_taken(
    serve: Callable[..., Any], guarding: Callable[..., Any]
) -> None:
    """The encoding `identity` is none."""
    server = await serve(lambda request: [reply(b"photo", Content_Encoding="Identity")])
    assert await guarding().fetch(server.url, max_bytes=10) == b"photo"


def drip(request):
    yield reply(Content_Length=1000)
    for _ in range(1000):
        yield 0.01
        yield b"."


def dripping_head(request):
    yield b"HTTP/1.1 200 OK\r\n"
    for number in range(1000):
        yield 0.01
        yield f"X-{number}: y\r\n".encode()


def dripping_redirects(request):
    yield 0.1
    yield reply(status="302 Found", Location="/")


def silence(request):
    yield 60.0


@pytest.mark.parametrize("answer", [drip, dripping_head, dripping_redirects, silence])
async def test_the_time_limit_is_for_all_of_a_call(
    serve: Callable[..., Any], guarding: Callable[..., Any], answer: Callable[..., Any]
) -> None:
    """A server that never pauses for long, and never ends either, takes too long; trying again may
    help."""
    server = await serve(answer)
    with pytest.raises(FetchFailed, match="too long") as error:
        await guarding(timeout_s=0.2, max_redirects=100).fetch(server.url, max_bytes=10_000)
    assert error.value.transient


async def test_the_time_limit_is_for_resolving_too(guarding: Callable[..., Any]) -> None:
    """A name that does not resolve in time takes too long."""

    async def never(host, port):
        await asyncio.Event().wait()

    with pytest.raises(FetchFailed, match="too long"):
        await guarding(timeout_s=0.05, resolve=never).fetch("http://photos.example/", max_bytes=10)


# What fails


@pytest.mark.parametrize(
    ("status", "passing"),
    [
        (204, False),
        (206, False),
        (304, False),
        (401, False),
        (404, False),
        (429, True),
        (500, True),
        (503, True),
    ],
)
async def test_only_200_is_an_answer(
    serve: Callable[..., Any], guarding: Callable[..., Any], status: int, passing: bool
) -> None:
    """Any other status fails, and says whether it may pass."""
    server = await serve(lambda request: [reply(status=f"{status} So", Content_Length=None)])
    with pytest.raises(FetchFailed, match=f"status {status}") as error:
        await guarding().fetch(server.url, max_bytes=10)
    assert error.value.transient is passing


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"\x16\x03\x01 no HTTP at all\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000],
        [reply(b"half", Content_Length=8)],
    ],
    ids=[
        "nothing",
        "no http",
        "no length",
        "two lengths",
        "packed transfer",
        "endless head",
        "half",
    ],
)
async def test_an_answer_that_is_none_fails(
    serve: Callable[..., Any], guarding: Callable[..., Any], parts: list[Any] | list[bytes]
) -> None:
    """A broken answer is a failed connection, which may pass."""
    server = await serve(lambda request: parts)
    with pytest.raises(FetchFailed) as error:
        await guarding().fetch(server.url, max_bytes=10)
    assert error.value.transient


async def test_a_refused_connection_may_pass_and_names_no_address(
    guarding: Callable[..., Any],
) -> None:
    """Where nothing listens it fails, for now, and the message does not tell where the name led."""
    guard = guarding(resolve=always("127.0.0.1"))
    with pytest.raises(FetchFailed) as error:
        await guard.post(f"http://photos.example:{closed_port()}/", b"", {})
    assert error.value.transient
    assert "127" not in str(error.value)


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (socket.gaierror(socket.EAI_NONAME, "not known"), False),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), True),
        (OSError("broken"), True),
        (UnicodeError("label too long"), False),
        (ValueError("odd"), False),
    ],
    ids=repr,
)
async def test_a_resolver_that_fails_is_a_failure(
    guarding: Callable[..., Any], error: Any, passing: bool
) -> None:
    """A name that cannot be resolved fails, and may pass where the resolver says so."""
    with pytest.raises(FetchFailed) as failed:
        await guarding(resolve=failing(error)).fetch("http://photos.example/", max_bytes=10)
    assert failed.value.transient is passing


async def test_a_name_without_addresses_is_a_failure(guarding: Callable[..., Any]) -> None:
    """A name that leads nowhere fails."""
    with pytest.raises(FetchFailed):
        await guarding(resolve=always()).fetch("http://photos.example/", max_bytes=10)


async def test_a_call_can_be_cancelled(
    serve: Callable[..., Any], guarding: Callable[..., Any]
) -> None:
    """Who no longer waits for an answer is not told that it failed."""
    asked = asyncio.Event()

    def waiting(request):
        asked.set()
        yield 60.0

    server = await serve(waiting)
    fetching = asyncio.create_task(guarding().fetch(server.url, max_bytes=10))
    await asked.wait()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching


# Posting


@pytest.mark.parametrize("status", [200, 204, 404, 410, 500])
async def test_a_post_arrives_and_its_status_returns(
    serve: Callable[..., Any], guarding: Callable[..., Any], status: int
) -> None:
    """Body and headers arrive as they were given, and any status is an answer."""
    server = await serve(
        lambda request: [reply(b"thanks" if status != 204 else b"", status=f"{status} So")]
    )
    sent = {
        "webhook-id": "7",
        "Content-Type": "application/json",
        "host": "other.example",
        "User-Agent": "other",
    }
    assert await guarding().post(f"{server.url}/hook?a=b", b'{"a": 1}', sent) == status
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/hook?a=b", b'{"a": 1}')
    assert asked.headers["webhook-id"] == "7"
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["host"] == f"127.0.0.1:{server.port}"
    assert asked.headers["user-agent"] == "imgrid-gateway"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_post_does_not_follow_redirects(
    serve: Callable[..., Any], guarding: Callable[..., Any], status: int
) -> None:
    """A redirect is the answer, and its place is not asked."""
    server = await serve(lambda request: [reply(status=f"{status} Moved", Location="/elsewhere")])
    assert await guarding().post(server.url, b"{}", {}) == status
    assert [asked.path for asked in server.asked] == ["/"]


@pytest.mark.parametrize(
    "parts",
    [
        [reply(Content_Length=10**9), 60.0],
        [reply(Content_Length=None), *[bytes(10_000)] * 500],
        [reply(Content_Length=9)],
    ],
    ids=["announced", "sent", "cut"],
)
async def test_a_posts_status_counts_whatever_follows_it(
    serve: Callable[..., Any],
    guarding: Callable[..., Any],
    parts: list[bytes | float] | list[bytes],
) -> None:
    """The answer's body is not read beyond a few bytes, and what becomes of it changes nothing."""
    server = await serve(lambda request: parts)
    assert await guarding().post(server.url, b"{}", {}) == 200


async def test_a_posts_status_counts_when_time_is_up(
    serve: Callable[..., Any], guarding: Callable[..., Any]
) -> None:
    """A body that drips until the time is up does not undo the status before it."""
    server = await serve(drip)
    assert await guarding(timeout_s=1).post(server.url, b"{}", {}) == 200


async def test_a_post_without_an_answer_takes_too_long(
    serve: Callable[..., Any], guarding: Callable[..., Any]
) -> None:
    """No status within the time limit is a failure that may pass."""
    server = await serve(silence)
    with pytest.raises(FetchFailed, match="too long") as error:
        await guarding(timeout_s=0.1).post(server.url, b"{}", {})
    assert error.value.transient


@pytest.mark.parametrize(
    "headers", [{"a": "b\r\nc: d"}, {"a\n": "b"}, {"a": "\u20ac"}, {"\u20ac": "b"}]
)
async def test_a_header_cannot_smuggle_another(
    serve: Callable[..., Any], guarding: Callable[..., Any], headers: dict[str, str]
) -> None:
    """A header that is none fails before anything is sent."""
    server = await serve(lambda request: [reply()])
    with pytest.raises(FetchFailed) as error:
        await guarding().post(server.url, b"{}", headers)
    assert not error.value.transient
    assert not server.asked
