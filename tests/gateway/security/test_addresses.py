"""Private addresses are refused in all their forms, unless the operator named their network."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.security.addresses import Address, refusal

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

NETWORKS = st.sampled_from(
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
PRIVATE_ADDRESSES = NETWORKS.flatmap(lambda network: st.ip_addresses(v=4, network=network))


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


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_not_refused(address: str) -> None:
    """An address that everyone can reach is not refused, however near it is to a private one."""
    assert refusal(ip_address(address), ()) == ""


@given(PRIVATE_ADDRESSES)
def test_no_form_of_a_private_address_passes(address: IPv4Address) -> None:
    """An IPv4 address that is refused is refused in all its IPv6 forms."""
    assert refusal(address, ())
    assert all(refusal(form, ()) for form in embedded(address))


@given(st.ip_addresses())
def test_every_address_that_python_calls_private_is_refused(address: Address) -> None:
    """Every address that the standard library does not call global is refused."""
    mapped = address.version == 6 and address.ipv4_mapped
    assert (mapped or address).is_global or refusal(address, ())


@given(PRIVATE_ADDRESSES)
def test_an_allowed_network_opens_plain_and_mapped_addresses(address: IPv4Address) -> None:
    """A named network lifts the refusal of its addresses, plain or mapped, and of no other form."""
    allow = [IPv4Network(address)]
    mapped, *others = embedded(address)
    assert refusal(address, allow) == refusal(mapped, allow) == ""
    assert all(refusal(form, allow) for form in others)


def test_an_allowed_network_opens_no_other() -> None:
    """Networks beside the named one stay refused, in either version of IP."""
    allow = [ip_network("10.0.0.0/8"), ip_network("fd00:1::/32")]
    assert not refusal(ip_address("10.255.0.1"), allow)
    assert not refusal(ip_address("fd00:1::1"), allow)
    assert all(refusal(ip_address(address), allow) for address in ("127.0.0.1", "fd00:2::1", "::1"))


@pytest.mark.parametrize(
    ("address", "network"),
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
def test_metadata_is_opened_only_by_its_own_address(address: str, network: str) -> None:
    """A network around a metadata address does not open it; a network of that one address does."""
    metadata = ip_address(address)
    assert refusal(metadata, [ip_network(network)])
    assert not refusal(metadata, [ip_network(address)])
