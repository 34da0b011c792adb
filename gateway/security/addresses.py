"""Which IP addresses the gateway may connect to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NETWORKS: Mapping[str, str] = {
    "private": "10.0.0.0/8 100.64.0.0/10 172.16.0.0/12 192.168.0.0/16",
    "loopback": "127.0.0.0/8 ::1/128",
    "link-local": "169.254.0.0/16 fe80::/10",
    "cloud metadata": "168.63.129.16/32",  # Azure's, within a public network
    "documentation": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20",
    "reserved": (
        "0.0.0.0/8 192.0.0.0/24 192.88.99.0/24 198.18.0.0/15 224.0.0.0/3 2001::/23 2002::/16"
    ),
    "": "0.0.0.0/0 2000::/3 64:ff9b::/96 ::ffff:0:0/96",
    "not public": "::/0",
}
"""Networks by the reason why they are refused, or "" where they are not. The first network that
holds an address decides.

These are IANA's special-purpose registries, written out, for `ipaddress` calls other networks
private in each version of Python. NAT64 and IPv4-mapped addresses are not refused for themselves,
but the IPv4 address in them is judged too. 2001::/23 includes Teredo, 224.0.0.0/3 all multicast.
"""


def _rules() -> Iterator[tuple[Network, str]]:
    for reason, networks in _NETWORKS.items():
        for network in networks.split():
            yield ip_network(network), reason


_RULES = tuple(_rules())
_METADATA_V4 = (
    "169.254.169.254 169.254.170.2 169.254.170.23 100.100.100.200 192.0.0.192 168.63.129.16"
)
_METADATA_V6 = "fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:42::42"
_METADATA = frozenset(map(ip_address, f"{_METADATA_V4} {_METADATA_V6}".split()))
"""Addresses at which clouds hand out credentials. The operator permits one only by naming it, not
by a network."""


def refusal(address: Address, allow: Sequence[Network] = ()) -> str:
    """Why there must be no connection to the address, or "".

    A network in `allow` permits its addresses, also where they are written as IPv4-mapped IPv6; not
    where another form carries them, and a cloud's metadata only if the network is that one address.
    """
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "link-local"
    carried = _carried_addresses(address)
    if _is_allowed(address, carried, allow):
        return ""
    for form in (*carried, address):
        if reason := _reason(form):
            return reason
    return ""


def _is_allowed(address: Address, carried: Sequence[IPv4Address], allow: Sequence[Network]) -> bool:
    is_metadata = not _METADATA.isdisjoint((address, *carried))
    mapped = (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
    for network in allow:
        if is_metadata and network.num_addresses > 1:
            continue
        if address in network or mapped in network:
            return True
    return False


def _reason(address: Address) -> str:
    """The reason of the first network that holds the address."""
    return next(reason for network, reason in _RULES if address in network)


def _carried_addresses(address: Address) -> list[IPv4Address]:
    """The IPv4 addresses in an IPv6 address: RFC 4291 (mapped), 6052 (NAT64), 3056 (6to4), 4380
    (Teredo, two), 5214 (ISATAP)."""
    if isinstance(address, IPv4Address):
        return []
    number = int(address)
    is_nat64 = number >> 96 == 0x0064FF9B
    is_isatap = (number >> 32) & 0xFCFFFFFF == 0x00005EFE
    last = IPv4Address(number & 0xFFFFFFFF) if is_nat64 or is_isatap else None
    carried = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()), last)
    return [each for each in carried if each is not None]


def address_of(host: str) -> Address | None:
    """The address that a host is written as; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None
