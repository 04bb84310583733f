"""The way to the model: one pooled client per endpoint, pinned to its origin, addresses checked at connect.

No redirects, no proxies from the environment, no compression, no retry once a byte was sent. The secret's
plain text is in what `carry` returns, until the request is written, and nowhere else. A call takes a turn
first: a service that is unwell is left alone (`breaker.py`), and how the call ends is told there.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp
from aiohttp.client_exceptions import ClientConnectorDNSError, ClientConnectorError

from gateway.credentials.placing import Carried, Placed, Unplaceable, carry
from gateway.proxy.echo import NO_ECHO, Echo, echo_of
from gateway.proxy.errors import BadRequest, Unavailable, UpstreamFailed, UpstreamTimeout, place_of
from gateway.proxy.health import HealthLog
from gateway.proxy.patience import Patience
from gateway.proxy.pools import QUERY, AddressRefused, Pools, Turn
from gateway.proxy.routes import Snapshot, Target
from gateway.upstreams.saying import tls_code

log = logging.getLogger(__name__)

TEND: Final = 1.0
"""Seconds between two looks for connections that nobody needs any more."""

MAX_RESPONSE: Final = 64 * 1024 * 1024

PASSED: Final = re.compile(
    rb"retry-after(?:-ms)?"
    rb"|x-ratelimit-(?:limit|remaining|reset|used)(?:-(?:input|output|cached|project|requests?|req|tokens?|query"
    rb"|images?|audio|second|minute|5min|10min|hour|day|week|month))*"
)
"""Names of the response headers that clients get from the model's service: how much is left, and when to come
back. Every word of them is in this list, or a name could say what no value may."""

FIGURE: Final = re.compile(
    rb"(?!(?:[^0-9]*[0-9]){11})"
    rb"(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|(?:[0-9]{1,6}(?:\.[0-9]+)?(?:ms|s|m|h|d)){1,5})"
    rb"|20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,3})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
    rb"|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
    rb" 20[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)
"""A number or a duration of ten digits at most, or a time of these years. Nobody looks into headers, so
nothing else of them is passed on: a card has at least twelve digits."""

NONE: Final[Mapping[str, str]] = {}

LARGE: Final = 64 * 1024
"""Bytes of an answer from which on it is searched in a thread."""

ERRORS: Final[tuple[tuple[type[BaseException], type[UpstreamFailed], str, str], ...]] = (
    (asyncio.TimeoutError, UpstreamTimeout, "upstream_timeout", "The model's service took too long."),
    (
        aiohttp.ClientConnectorCertificateError,
        UpstreamFailed,
        "upstream_untrusted",
        "The certificate of the model's service is not trusted.",
    ),
    (ClientConnectorError, UpstreamFailed, "upstream_unreachable", "The model's service cannot be reached."),
    (aiohttp.ClientPayloadError, UpstreamFailed, "upstream_cut", "The model's service cut its answer."),
    (aiohttp.ClientError, UpstreamFailed, "upstream_failed", "The call to the model's service failed."),
    (OSError, UpstreamFailed, "upstream_failed", "The call to the model's service failed."),
)
"""What the client library raises, as our errors; the first that fits wins."""


CODES: Final[Mapping[str, str]] = {
    "upstream_timeout": "timeout",
    "upstream_unreachable": "connect",
    "upstream_cut": "cut",
}
"""How what a client is told is called where the service's health is kept."""


class Upstream:
    """The pooled clients of one event loop, made on first use and closed together."""

    def __init__(self, latest: Callable[[], Snapshot | None] = lambda: None) -> None:
        """`latest`: the configuration, for what no endpoint names any more."""
        self.pools = Pools()
        self.health = HealthLog(self.pools.seen)
        self._latest = latest
        self._tending: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Close what is out of use, and tell how services are, from now on. Called on the loop."""
        self.health.start()
        self._tending = asyncio.get_running_loop().create_task(self._tend())

    def turn(self, target: Target) -> Turn:
        """What a call needs to send. Raises `UpstreamUnhealthy`; has to be ended."""
        return self.pools.take(target)

    async def close(self) -> None:
        if self._tending is not None:
            self._tending.cancel()
        await asyncio.to_thread(self.health.stop)
        await self.pools.close()

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(TEND)
            snapshot = self._latest()
            if snapshot is not None:
                try:
                    await self.pools.settle(snapshot.targets)
                except Exception as error:  # whoever tends must not end before the process does
                    log.error("connections not closed: %s at %s", type(error).__name__, place_of(error))


async def send(
    turn: Turn, path: str, body: bytes, patience: Patience, asked_for: Mapping[str, str] = NONE
) -> Answer:
    """POST `body`; returns once the answer's head is there. The answer must be closed.

    `asked_for`: headers that the API wants beside ours.
    """
    target = turn.target
    placed = placed_now(target)
    carried = _carried(placed, body)
    written = QUERY.set(carried.query)
    turn.leaves()
    try:
        with patience.limit(target.first_byte_timeout):
            response = await turn.session.post(
                target.origin + target.base_path + path,
                data=carried.body,
                headers={**asked_for, **carried.headers},
                allow_redirects=False,
            )
    except Exception as error:
        raise _told(turn, error) from None
    finally:
        QUERY.reset(written)
    turn.answered(response.status)
    return Answer(response, patience, turn, echo_of(placed))


class Answer:
    """The model's response: status, the few headers that matter, and its bytes as they come."""

    def __init__(
        self, response: aiohttp.ClientResponse, patience: Patience, turn: Turn, echo: Echo = NO_ECHO
    ) -> None:
        self.echo = echo
        self._response = response
        self._patience = patience
        self._turn = turn
        self._idle = turn.target.idle_timeout
        self.status = response.status
        self.content_type = response.content_type
        self.encoding = response.headers.get("content-encoding", "identity").lower()

    def passed_headers(self) -> list[tuple[bytes, bytes]]:
        named = [(name.lower(), value) for name, value in self._response.raw_headers]
        figures = [pair for pair in named if PASSED.fullmatch(pair[0]) and FIGURE.fullmatch(pair[1])]
        return [pair for pair in figures if not self.echo.is_in(*pair)]

    async def chunk(self) -> bytes:
        """The bytes that have come, at least one; empty at the end."""
        content = self._response.content
        try:
            if content.is_eof():  # nothing more to wait for
                return content.read_nowait()
            with self._patience.limit(self._idle):
                return await content.readany()
        except Exception as error:
            raise _told(self._turn, error) from None

    async def body(self) -> bytes:
        """The whole body, bounded."""
        parts: list[bytes] = []
        size = 0
        while part := await self.chunk():
            size += len(part)
            if size > MAX_RESPONSE:
                raise UpstreamFailed("upstream_too_large", "The model's answer is too large to inspect.")
            parts.append(part)
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        return body if self.echo is NO_ECHO else await self._without_secret(body)

    async def _without_secret(self, body: bytes) -> bytes:
        """The answer, masked where it repeats what the request carried."""
        masked = self.echo.masked
        return await asyncio.to_thread(masked, body) if len(body) > LARGE else masked(body)

    def cut(self) -> UpstreamFailed:
        """It ended before the API's own end."""
        self._turn.failed("cut")
        return UpstreamFailed("upstream_cut", "The model's service ended its answer early.")

    def close(self) -> None:
        """Cut the connection, unless the answer came to its end: then it is in the pool already."""
        if self.echo.found:
            slug = self._turn.target.slug
            log.warning("endpoint %s: its answer repeated the gateway's secret, which was masked", slug)
        if self._response.closed:
            self._turn.passed()
        else:
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


def placed_now(target: Target) -> Placed | None:
    """The secret as it goes into a request now. Raises `Unavailable` where there is no access token."""
    credential = target.credential
    if credential is None or isinstance(credential, Placed):
        return credential
    placed = credential.placed()
    if placed is None:
        text = "The gateway has no access token for this endpoint now. Try again shortly."
        raise Unavailable("upstream_token_unavailable", text)
    return placed


def _carried(placed: Placed | None, body: bytes) -> Carried:
    """The secret is given with each request, so that a new one is used from the next call on."""
    if placed is None:
        return Carried(body=body)
    try:
        return carry(placed, body)
    except Unplaceable:
        pass
    raise BadRequest("body_not_object", "This endpoint takes JSON objects only.")


def _told(turn: Turn, error: Exception) -> UpstreamFailed:
    """The library's error as ours, told to the turn with what is behind it."""
    ours = translated(error)
    turn.failed(_behind(error) or CODES.get(ours.code, "transport"))
    return ours


def _behind(error: Exception) -> str | None:
    if isinstance(error, ClientConnectorDNSError):
        return "dns"
    if isinstance(error, ClientConnectorError) and isinstance(error.os_error, AddressRefused):
        return "address"
    return tls_code(error)
