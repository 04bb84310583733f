"""How often somebody may try passwords: counted per account, per network and per both, in this process.

A network is an IPv4 address or an IPv6 /64: whoever has one address of the latter has all of them.

What was typed is kept as a keyed digest, in memory, for `WINDOW` seconds: people type passwords into the
field for names. Accounts that do not exist count like those that do, so being told to wait says nothing.
Several processes each count for themselves; a password costs as many tries more (`docs/sign-in.md`).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

WINDOW: Final = 900.0
PER_PAIR: Final = 5
PER_ACCOUNT: Final = 50
"""From anywhere: high, or a stranger could lock out an administrator with a handful of tries."""

PER_NETWORK: Final = 100
"""Whoever the account: an office may share one address."""

HELD: Final = 20_000


def around(address: str) -> str:
    """What counts as one network: an IPv4 address, or the /64 of an IPv6 one. Other text stays as it is."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    return str(found.ipv4_mapped or IPv6Network((found, 64), strict=False))


class Tries:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._lock, self._counting = threading.Lock(), threading.Lock()
        self._failed: OrderedDict[bytes, deque[float]] = OrderedDict()

    def begin(self, account: str, network: str) -> int:
        """Seconds until this may be tried; 0: now, and it counts as failed until `passed` says otherwise.

        So many at once, before the first of them is found to be wrong, are no more tries than one by one.
        """
        with self._counting:
            wait = self.wait(account, network)
            if not wait:
                self.failed(account, network)
        return wait

    def wait(self, account: str, network: str) -> int:
        """Seconds until this may be tried; 0: now."""
        with self._lock:
            waits = [self._wait(key, most) for key, most in self._keys(account, network)]
        return int(max(waits)) + 1 if max(waits) > 0 else 0

    def failed(self, account: str, network: str) -> None:
        with self._lock:
            for key, most in self._keys(account, network):
                times = self._failed.setdefault(key, deque(maxlen=most))
                times.append(self._clock())
                self._failed.move_to_end(key)
            while len(self._failed) > HELD:
                self._failed.popitem(last=False)

    def passed(self, account: str, network: str) -> None:
        """Who came in after all starts anew from there, and has not failed elsewhere."""
        with self._lock:
            for key, _ in self._keys(account, network)[1:]:
                if times := self._failed.get(key):
                    times.pop()
            self._failed.pop(self._digest("both", account.casefold(), around(network)), None)

    def _wait(self, key: bytes, most: int) -> float:
        times = self._failed.get(key)
        if times is None or len(times) < most:
            return 0
        return times[0] + WINDOW - self._clock()

    def _keys(self, account: str, network: str) -> list[tuple[bytes, int]]:
        name, network = account.casefold(), around(network)
        return [
            (self._digest("both", name, network), PER_PAIR),
            (self._digest("account", name), PER_ACCOUNT),
            (self._digest("network", network), PER_NETWORK),
        ]

    def _digest(self, *parts: str) -> bytes:
        text = "\0".join(parts).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, text, hashlib.sha256)


tries: Final = Tries()
"""Of this process."""
