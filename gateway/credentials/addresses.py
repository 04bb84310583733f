"""Which addresses may be connected to. Pure; hot path and outbound client both ask at connect time.

Metadata services are refused always: they hand out the host's own credentials to whoever asks. An IPv6
address that stands for an IPv4 one is judged by both.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.0.23",
        "169.254.42.42",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd20:ce::254",
        "fd00:42::42",
        "fe80::a9fe:a9fe",
    )
)
METADATA_NETWORKS = (
    IPv4Network("169.254.169.0/24"),  # 254 nearly everywhere; 253, 123, 250 and others beside it
    IPv4Network("169.254.170.0/24"),  # of containers
    IPv6Network("fd00:ec2::/32"),
)
RESERVED = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("3fff::/20"),
    IPv6Network("5f00::/16"),
)
"""What this Python may not know to be set aside for something else than hosts."""

PRIVATE_4 = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
PRIVATE_6 = tuple(map(IPv6Network, ("fc00::/7", "fec0::/10", "64:ff9b:1::/48")))
NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
COMPATIBLE = IPv6Network("::/96")
TRANSLATED = IPv6Network("::ffff:0:0:0/96")
ISATAP = frozenset({0x00005EFE, 0x02005EFE})
"""What stands before the IPv4 address in the lower half of a tunnel's address (RFC 5214)."""


HERE = frozenset({"loopback address", "link-local address"})
"""Reasons that a private network is no excuse for where a service asks for itself."""


def refused(ip: str | Address, allow_private: bool, *, allow_loopback: bool = True) -> str | None:
    """Why this address must not be connected to, or None. Text that is no address is refused too.

    Private addresses include this machine's own, unless `allow_loopback` says otherwise.
    """
    try:
        address = ip_address(ip.split("%", 1)[0]) if isinstance(ip, str) else ip
    except ValueError:
        return "not an address"
    reasons = [_reason(each, allow_private, allow_loopback) for each in (address, *_embedded(address))]
    return next((reason for reason in reasons if reason), None)


def _embedded(address: Address) -> list[IPv4Address]:
    """IPv4 addresses that an IPv6 address stands for: the packet ends up there."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour]
    found += address.teredo or ()
    tunnelled = int(address) >> 32 & 0xFFFFFFFF in ISATAP
    if tunnelled or _translates(address):
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in found if each is not None]


def _stands_for_another(address: IPv6Address) -> bool:
    """Rather than being one of its own, such as that of a tunnel's end."""
    return bool(address.ipv4_mapped or address.sixtofour or address.teredo) or _translates(address)


def _translates(address: IPv6Address) -> bool:
    """Whether the last 32 bits are where the packet ends up."""
    if address in COMPATIBLE:
        return int(address) > 1
    return address in TRANSLATED or any(address in network for network in NAT64)


def _reason(address: Address, allow_private: bool, allow_loopback: bool) -> str | None:
    if address in METADATA or any(address in network for network in METADATA_NETWORKS):
        return "metadata service"
    if address.is_unspecified:
        return "unspecified address"
    if address.is_multicast:
        return "multicast address"
    local = _local_kind(address)
    if local:
        allowed = allow_private and (allow_loopback or local not in HERE)
        return None if allowed else local
    if isinstance(address, IPv6Address) and _stands_for_another(address):
        return None  # judged by the address inside
    reserved = not address.is_global or any(address in network for network in RESERVED)
    return "reserved address" if reserved else None


def _local_kind(address: Address) -> str | None:
    if address.is_loopback:
        return "loopback address"
    if address.is_link_local:
        return "link-local address"
    networks = PRIVATE_4 if isinstance(address, IPv4Address) else PRIVATE_6
    return "private address" if any(address in network for network in networks) else None
