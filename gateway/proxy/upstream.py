"""The way to the model: one pooled client per endpoint, pinned to its origin, addresses checked at connect.

No redirects, no proxies from the environment, no compression, no retry once a byte was sent. The secret's
plain text appears in `_headers` and nowhere else.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from aiohttp.client_exceptions import ClientConnectorError

from gateway.credentials.addresses import refused
from gateway.proxy.errors import UpstreamFailed, UpstreamTimeout
from gateway.proxy.patience import Patience
from gateway.proxy.routes import Target

POOL: Final = 512
"""Connections per endpoint; beyond it calls wait for one, bounded by the first-byte timeout."""

KEEPALIVE: Final = 4.0
"""Seconds an idle connection is kept: below the 5 s after which common servers close theirs."""

MAX_RESPONSE: Final = 64 * 1024 * 1024

PASSED: Final = frozenset({b"retry-after", b"retry-after-ms"})
"""Response headers of the model's service that clients get, beside its rate-limit headers."""

HEADERS: Final = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "accept-encoding": "identity",
    "user-agent": "postern",
}
"""What every request says. It names all that the client library would otherwise add by itself."""

NONE: Final[Mapping[str, str]] = {}

ERRORS: Final[tuple[tuple[type[BaseException], type[UpstreamFailed], str, str], ...]] = (
    (asyncio.TimeoutError, UpstreamTimeout, "upstream_timeout", "The model's service took too long."),
    (ClientConnectorError, UpstreamFailed, "upstream_unreachable", "The model's service cannot be reached."),
    (aiohttp.ClientPayloadError, UpstreamFailed, "upstream_cut", "The model's service cut its answer."),
    (aiohttp.ClientError, UpstreamFailed, "upstream_failed", "The call to the model's service failed."),
    (OSError, UpstreamFailed, "upstream_failed", "The call to the model's service failed."),
)
"""What the client library raises, as our errors; the first that fits wins."""


class Upstream:
    """The pooled clients of one event loop, made on first use and closed together."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, str, bool, float], aiohttp.ClientSession] = {}

    async def send(
        self, target: Target, path: str, body: bytes, patience: Patience, asked_for: Mapping[str, str] = NONE
    ) -> Answer:
        """POST `body`; returns once the answer's head is there. The answer must be closed.

        `asked_for`: headers that the API wants beside ours.
        """
        try:
            with patience.limit(target.first_byte_timeout):
                response = await self._session(target).post(
                    target.origin + target.base_path + path,
                    data=body,
                    headers=_headers(target, asked_for),
                    allow_redirects=False,
                )
        except Exception as error:
            raise translated(error) from None
        return Answer(response, patience, target.idle_timeout)

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    def _session(self, target: Target) -> aiohttp.ClientSession:
        key = (target.slug, target.origin, target.allow_private, target.connect_timeout)
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = _open(target)
        return session


class Answer:
    """The model's response: status, the few headers that matter, and its bytes as they come."""

    def __init__(self, response: aiohttp.ClientResponse, patience: Patience, idle: float) -> None:
        self._response = response
        self._patience = patience
        self._idle = idle
        self.status = response.status
        self.content_type = response.content_type
        self.encoding = response.headers.get("content-encoding", "identity").lower()

    def passed_headers(self) -> list[tuple[bytes, bytes]]:
        named = [(name.lower(), value) for name, value in self._response.raw_headers]
        return [pair for pair in named if pair[0] in PASSED or pair[0].startswith(b"x-ratelimit-")]

    async def chunk(self) -> bytes:
        """The bytes that have come, at least one; empty at the end."""
        content = self._response.content
        try:
            if content.is_eof():  # nothing more to wait for
                return content.read_nowait()
            with self._patience.limit(self._idle):
                return await content.readany()
        except Exception as error:
            raise translated(error) from None

    async def body(self) -> bytes:
        """The whole body, bounded."""
        parts: list[bytes] = []
        size = 0
        while part := await self.chunk():
            size += len(part)
            if size > MAX_RESPONSE:
                raise UpstreamFailed("upstream_too_large", "The model's answer is too large to inspect.")
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Cut the connection, unless the answer came to its end: then it is in the pool already."""
        if not self._response.closed:
            self._response.close()


def check(answer: Answer) -> None:
    """Refuse an answer that cannot be passed on, whatever its body says."""
    if 300 <= answer.status < 400:
        raise UpstreamFailed("upstream_redirect", "The model's service answered with a redirect.")
    if answer.status in (401, 403):
        raise UpstreamFailed("upstream_refused", "The model's service refused the gateway's credential.")
    if answer.encoding != "identity":
        raise unreadable()


def unreadable() -> UpstreamFailed:
    return UpstreamFailed("upstream_unreadable", "The model's answer could not be read.")


def translated(error: BaseException) -> UpstreamFailed:
    """The library's error as ours. Anything else is a bug and keeps its own face."""
    for kind, ours, code, message in ERRORS:
        if isinstance(error, kind):
            return ours(code, message)
    raise error


def _headers(target: Target, asked_for: Mapping[str, str]) -> dict[str, str]:
    """The secret is given with each request, so that a new one is used from the next call on."""
    credential = target.credential
    return {**asked_for, credential.header: credential.value.reveal()} if credential else {**asked_for}


def _open(target: Target) -> aiohttp.ClientSession:
    def connectable(info: Any) -> socket.socket:
        """Called for the very address that is about to be connected: nothing can change in between."""
        family, kind, protocol, _, address = info
        if reason := refused(address[0], allow_private=target.allow_private):
            raise OSError(f"address refused: {reason}")
        return socket.socket(family=family, type=kind, proto=protocol)

    connector = aiohttp.TCPConnector(
        limit=POOL, keepalive_timeout=KEEPALIVE, socket_factory=connectable, ttl_dns_cache=10
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=target.connect_timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        read_bufsize=64 * 1024,
        headers=HEADERS,
    )
