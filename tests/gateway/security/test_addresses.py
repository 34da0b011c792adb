"""URLs and addresses: public ones pass, and so do the networks that the operator allows."""

from __future__ import annotations

from collections.abc import (
    Callable,
    Iterator,
    Sequence,
)
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.security.addresses import refusal
from gateway.security.egress import (
    EgressGuard,
    UrlRefused,
    check_url,
)

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


async def resolve_by_table(host: str, port: int) -> Sequence[str]:
    return NAMES[host]


# What is refused


@pytest.mark.parametrize("url", HOSTILE, ids=lambda url: HOSTILE[url])
async def test_hostile_urls_are_refused(guard_with: Callable[..., EgressGuard], url: str) -> None:
    """No URL of the table is fetched from or posted to, and the message does not reveal the address
    behind a name."""
    guard = guard_with(allow=(), resolve=resolve_by_table)
    with pytest.raises(UrlRefused) as error:
        await guard.fetch(url, max_bytes=1000)
    assert not any(
        address in str(error.value) for addresses in NAMES.values() for address in addresses
    )
    with pytest.raises(UrlRefused):
        await guard.post(url, b"", {})


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_not_refused(address: str) -> None:
    """A public address is not refused, however near it lies to a refused one."""
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
    """A URL that names a public host, by name or by address, passes."""
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


def embedded(address: IPv4Address) -> Iterator[IPv6Address]:
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
def test_no_form_of_a_private_address_passes(address: IPv4Address) -> None:
    """An IPv4 address that is refused is refused in all its IPv6 forms."""
    assert refusal(address, ())
    assert all(refusal(form, ()) for form in embedded(address))


@given(st.ip_addresses())
def test_an_address_that_python_calls_not_global_is_refused(
    address: IPv4Address | IPv6Address,
) -> None:
    """The table holds every address that the standard library knows to be not public."""
    mapped = address.version == 6 and address.ipv4_mapped
    assert (mapped or address).is_global or refusal(address, ())


# What the operator allows


@given(insiders)
def test_an_allowed_network_opens_plain_and_mapped_addresses_only(address: IPv4Address) -> None:
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
    """A network around a metadata address does not open it; a network of that one address does."""
    ip = ip_address(address)
    assert refusal(ip, [ip_network(wide)])
    assert not refusal(ip, [ip_network(address)])
