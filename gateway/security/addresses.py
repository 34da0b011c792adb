"""Which IP addresses the gateway may connect to."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address


Network = IPv4Network | IPv6Network


# IANA's special-purpose registries, written out: what `ipaddress` calls private changes with
# Python's version. The first that holds an address says why it is refused, or that it is not. NAT64
# and IPv4-mapped addresses are not for what they are, but the IPv4 address in them is judged as
# well. In 2001::/23 is Teredo, in 224.0.0.0/3 all multicast.
_RULES = tuple(
    (ip_network(network), why)
    for why, networks in (
        ("private", "10.0.0.0/8 100.64.0.0/10 172.16.0.0/12 192.168.0.0/16"),
        ("loopback", "127.0.0.0/8 ::1/128"),
        ("link-local", "169.254.0.0/16 fe80::/10"),
        ("cloud metadata", "168.63.129.16/32"),  # Azure's, amid a public network
        ("documentation", "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20"),
        (
            "reserved",
            "0.0.0.0/8 192.0.0.0/24 192.88.99.0/24 198.18.0.0/15 224.0.0.0/3 2001::/23 2002::/16",
        ),
        ("", "0.0.0.0/0 2000::/3 64:ff9b::/96 ::ffff:0:0/96"),
        ("not public", "::/0"),
    )
    for network in networks.split()
)


_METADATA_V4 = (
    "169.254.169.254 169.254.170.2 169.254.170.23 100.100.100.200 192.0.0.192 168.63.129.16"
)


_METADATA_V6 = "fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:42::42"


_METADATA = frozenset(map(ip_address, f"{_METADATA_V4} {_METADATA_V6}".split()))
"""Where clouds hand out credentials: the operator opens these only by naming the one address, not a
network."""


def refused(address: Address, allow: Sequence[Network] = ()) -> str:
    """Why there must be no connection to the address, or "".

    A network in `allow` lifts this for an address in it, written as IPv4-mapped IPv6 too; not for
    the other forms that carry an IPv4 address, and for a cloud's metadata only if it is the network
    of that one address.
    """
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "link-local"
    carried = _carried(address)
    metadata = not _METADATA.isdisjoint((address, *carried))
    mapped = (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
    named = (network for network in allow if network.num_addresses == 1 or not metadata)
    if any(address in network or mapped in network for network in named):
        return ""
    reasons = (
        next(why for network, why in _RULES if form in network) for form in (*carried, address)
    )
    return next(filter(None, reasons), "")


def _carried(address: Address) -> list[IPv4Address]:
    """IPv4 addresses in IPv6 ones: RFC 4291 (mapped), 6052 (NAT64), 3056 (6to4), 4380 (Teredo,
    two), 5214 (ISATAP)."""
    if isinstance(address, IPv4Address):
        return []
    nat64, isatap = (
        int(address) >> 96 == 0x0064FF9B,
        (int(address) >> 32) & 0xFCFFFFFF == 0x00005EFE,
    )
    last = IPv4Address(int(address) & 0xFFFFFFFF) if nat64 or isatap else None
    found = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()), last)
    return [carried for carried in found if carried is not None]


def literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
