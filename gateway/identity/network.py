"""Whose address a request came from. Pure: the data path and the console ask the same question.

`X-Forwarded-For` counts only where the peer itself is one of `TRUSTED_PROXIES`: anybody else may write into
it what they like. Each proxy appends the address that it saw, so the list is read from its end, and the first
address that is no proxy of ours is the client's. What stands before it was written by the client.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeVar

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Headers = Iterable[tuple[bytes, bytes]]

HEADER: Final = b"x-forwarded-for"
Key = TypeVar("Key")
Value = TypeVar("Value")

UNIX: Final = "unix"
"""Stands for peers that come over a unix socket and so have no address."""

REMEMBERED: Final = 4096
MOST_HOPS: Final = 50


class ForwardedInvalid(ValueError):
    """A trusted proxy sent a list that cannot be read."""


class TrustedProxies:
    """The peers whose `X-Forwarded-For` is believed. Lives as long as the process."""

    def __init__(self, networks: Sequence[Network], *, unix: bool = False) -> None:
        self.networks = tuple(networks)
        self.unix = unix
        self._peers: dict[str, bool] = {}
        self._clients: dict[tuple[bytes, ...], str] = {}

    def __repr__(self) -> str:
        return f"TrustedProxies({', '.join(map(str, self.networks))}{' unix' if self.unix else ''})"

    def address_of(self, peer: str, headers: Headers) -> str:
        """The client's address; `peer` where nobody trusted says otherwise. Raises `ForwardedInvalid`."""
        trusted = self._peers.get(peer)
        if trusted is None:
            trusted = _kept(self._peers, peer, self._trusts_peer(peer))
        if not trusted:
            return peer
        lines = tuple([value for name, value in headers if name.lower() == HEADER])
        if not lines:
            return peer
        client = self._clients.get(lines)
        return client if client is not None else _kept(self._clients, lines, self._client(lines))

    def _trusts_peer(self, peer: str) -> bool:
        try:
            return self._trusts(_plain(ip_address(peer.partition("%")[0])))
        except ValueError:
            return self.unix  # no address at all: a unix socket

    def _trusts(self, address: Address) -> bool:
        return any(address.version == each.version and address in each for each in self.networks)

    def _client(self, lines: tuple[bytes, ...]) -> str:
        """From the end to the first that is not ours; the first of all where all of them are."""
        address: Address | None = None
        hops = b",".join(lines).split(b",")
        for hop in reversed(hops[-MOST_HOPS:]):
            address = _hop(hop)
            if not self._trusts(address):
                break
        assert address is not None  # noqa: S101  splitting gives one hop at least
        return str(address)


def trusted_proxies(names: Iterable[str]) -> TrustedProxies | None:
    """From the setting's words: addresses, ranges, `unix`. None where there are none. Raises `ValueError`."""
    words = list(names)
    networks = [ip_network(word) for word in words if word != UNIX]
    return TrustedProxies(networks, unix=UNIX in words) if words else None


def _hop(text: bytes) -> Address:
    """One address as proxies write it: bare, in brackets, with a port. Raises `ForwardedInvalid`."""
    try:
        word = text.strip(b" \t").decode("ascii")
        if word.startswith("["):
            word, bracket, port = word[1:].partition("]")
            if not bracket or (port and not _is_port(port)) or ":" not in word:
                raise ValueError
        elif word.count(":") == 1:
            word, _, port = word.partition(":")
            if not _is_port(f":{port}"):
                raise ValueError
        if "%" in word:
            raise ValueError
        return _plain(ip_address(word))
    except ValueError:
        raise ForwardedInvalid("X-Forwarded-For cannot be read") from None


def _is_port(text: str) -> bool:
    """A colon and a number below 65536."""
    digits = text[1:]
    shaped = text.startswith(":") and digits.isascii() and digits.isdecimal() and len(digits) < 6
    return shaped and int(digits) < 65_536


def _plain(address: Address) -> Address:
    """An IPv4 address that is written as IPv6 is the IPv4 address."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _kept(held: dict[Key, Value], key: Key, value: Value) -> Value:
    if len(held) >= REMEMBERED:
        held.clear()
    held[key] = value
    return value
