"""What one process keeps for each place that calls go to: connections, a breaker, and what was seen there.

A pool belongs to an endpoint at one origin, under one set of authorities and timeouts. An endpoint that moves
gets another pool with its next call, with a breaker that knows nothing of the old place; calls under way
finish on the old one, which is closed once none is left and no endpoint names it any more.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, final
from uuid import UUID

import aiohttp
from yarl import URL

from gateway.credentials.addresses import refused
from gateway.credentials.certificates import CertificateError, load
from gateway.proxy.breaker import CLOSED, NO_TURN, Breaker
from gateway.proxy.errors import UpstreamFailed, UpstreamUnhealthy
from gateway.proxy.routes import Target
from gateway.upstreams.certificates import context_for, own_context

CONNECTIONS: Final = 512
"""Of one pool; beyond them calls wait for one, bounded by the first-byte timeout."""

KEEPALIVE: Final = 4.0
"""Seconds an idle connection is kept: below the 5 s after which common servers close theirs."""

HEADERS: Final = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "accept-encoding": "identity",
    "user-agent": "postern",
}
"""What every request says. It names all that the client library would otherwise add by itself."""


USELESS: Final = {
    **dict.fromkeys((401, 403), "credential_refused"),
    **dict.fromkeys((300, 301, 302, 303, 307, 308), "redirect"),
}
"""Statuses that no call gets anything from, as they are called where the service's health is kept."""


class AddressRefused(OSError):
    """The guard said no. Its text names a kind of address, never the address."""


class Place(NamedTuple):
    """What two calls have to have in common to share connections."""

    slug: str
    origin: str
    base_path: str
    allow_private: bool
    connect_timeout: float
    authorities: str
    certificate: UUID | None  # the version that is shown


@final
class Seen:
    """What calls saw of one place; written on the loop, read by a thread beside it."""

    __slots__ = ("endpoint_id", "error", "error_at", "latency", "ok_at", "opened_at", "origin")

    def __init__(self, endpoint_id: UUID, origin: str) -> None:
        self.endpoint_id, self.origin = endpoint_id, origin
        self.ok_at = self.error_at = self.opened_at = 0.0  # Unix seconds; 0: never
        self.error = ""
        self.latency = 0.0  # seconds to the head of the last good answer


@final
class Pool:
    __slots__ = ("breaker", "running", "seen", "session")

    def __init__(self, target: Target) -> None:
        self.session = _session(target)
        self.breaker = Breaker(target.breaker)
        self.seen = Seen(target.id, target.origin + target.base_path)
        self.running = 0


@final
class Pools:
    """Of one event loop."""

    def __init__(self) -> None:
        self._pools: dict[Place, Pool] = {}
        self._used: dict[
            str, tuple[Target, Pool]
        ] = {}  # by slug, as last called: a place costs 1 µs to look up

    def __len__(self) -> int:
        return len(self._pools)

    def take(self, target: Target) -> Turn:
        """A call's turn there. Raises `UpstreamUnhealthy`."""
        used = self._used.get(target.slug)
        pool = used[1] if used is not None and used[0] is target else self._of(target)
        breaker = pool.breaker
        if breaker.state is CLOSED:
            return Turn(target, pool, breaker.era)
        now = time.monotonic()
        number = breaker.take(now)
        if number == NO_TURN:
            raise UpstreamUnhealthy("upstream_unhealthy", breaker.wait(now))
        return Turn(target, pool, number)

    def seen(self) -> list[Seen]:
        """May be asked by another thread."""
        return [pool.seen for pool in [*self._pools.values()]]

    async def settle(self, targets: Mapping[str, Target]) -> None:
        """Close what no endpoint (by its slug) names and no call uses any more."""
        for place, pool in [*self._pools.items()]:
            named = targets.get(place.slug)
            if not pool.running and (named is None or _place(named) != place):
                del self._pools[place]
                self._used.pop(place.slug, None)
                await pool.session.close()

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.session.close()
        self._pools.clear()
        self._used.clear()

    def _of(self, target: Target) -> Pool:
        place = _place(target)
        pool = self._pools.get(place)
        if pool is None:
            pool = self._pools[place] = Pool(target)
        elif pool.breaker.limits is not target.breaker:
            pool.breaker.adopt(target.breaker)
        self._used[target.slug] = target, pool
        return pool


@final
class Turn:
    """One call at the model's service: how that went is told once, and `end` comes last in every case."""

    __slots__ = ("_began", "_ended", "_number", "_over", "_pool", "target")

    def __init__(self, target: Target, pool: Pool, number: int) -> None:
        self.target, self._pool, self._number = target, pool, number
        self._began = 0.0
        self._over = self._ended = False
        pool.running += 1

    @property
    def session(self) -> aiohttp.ClientSession:
        return self._pool.session

    def leaves(self) -> None:
        self._began = time.monotonic()

    def answered(self, status: int) -> None:
        """The head is there. What is above 499 is a failure, whatever else comes; what refuses us, or sends
        us elsewhere, is alive and of no use."""
        pool = self._pool
        if status >= 500:
            self.failed("server_error")
            return
        if pool.breaker.state is not CLOSED:
            self._number = pool.breaker.answered(self._number)
        if code := USELESS.get(status):
            self._note(code)
            self._over = True
        else:
            pool.seen.latency = time.monotonic() - self._began

    def passed(self) -> None:
        """The answer has come to its end."""
        if not self._over:
            self._over = True
            self._pool.breaker.passed(self._number, time.monotonic())
            self._pool.seen.ok_at = time.time()

    def failed(self, code: str) -> None:
        if not self._over:
            self._over = True
            self._note(code)
            if self._pool.breaker.failed(self._number, time.monotonic()):
                self._pool.seen.opened_at = time.time()

    def end(self) -> None:
        """Whatever has not been told by now says nothing: its client left, or a policy stopped the answer.
        To end it twice does no harm."""
        if self._ended:
            return
        self._ended = True
        self._pool.running -= 1
        if not self._over:
            self._over = True
            self._pool.breaker.left(self._number)

    def _note(self, code: str) -> None:
        self._pool.seen.error, self._pool.seen.error_at = code, time.time()


def _place(target: Target) -> Place:
    return Place(
        target.slug,
        target.origin,
        target.base_path,
        target.allow_private,
        target.connect_timeout,
        target.authorities,
        target.certificate.version_id if target.certificate else None,
    )


QUERY: ContextVar[str] = ContextVar("query", default="")
"""What carries the secret of the request that is being sent, where that is its query."""


class Request(aiohttp.ClientRequest):
    """Adds the query's secret while the head is written. The address that errors, traces and the answer know
    never has it."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        query = QUERY.get()
        if not query:
            return await super().send(conn)
        known = self.url
        self.url = URL(f"{known}{'&' if known.query_string else '?'}{query}", encoded=True)
        try:
            return await super().send(conn)
        finally:
            self.url = known


def _session(target: Target) -> aiohttp.ClientSession:
    def connectable(info: Any) -> socket.socket:
        """Called for the very address that is about to be connected: nothing can change in between."""
        family, kind, protocol, _, address = info
        if reason := refused(address[0], allow_private=target.allow_private):
            raise AddressRefused(f"address refused: {reason}")
        return socket.socket(family=family, type=kind, proto=protocol)

    connector = aiohttp.TCPConnector(
        limit=CONNECTIONS,
        keepalive_timeout=KEEPALIVE,
        socket_factory=connectable,
        ttl_dns_cache=10,
        ssl=_context(target),
    )
    return aiohttp.ClientSession(
        connector=connector,
        request_class=Request,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=target.connect_timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        read_bufsize=64 * 1024,
        headers=HEADERS,
    )


def _context(target: Target) -> ssl.SSLContext:
    """Names are checked and TLS 1.2 is the least, whoever is believed.

    Raises `UpstreamFailed` where the client certificate cannot be shown.
    """
    if target.certificate is None:
        return context_for(target.authorities)
    try:
        return load(own_context(target.authorities), target.certificate.pem)
    except CertificateError:
        text = "The gateway's certificate for the model's service cannot be used."
        raise UpstreamFailed("upstream_certificate", text) from None
