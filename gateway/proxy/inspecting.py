"""A request as it is put to its exchange: when it comes, and anew when it has waited for a person."""

from __future__ import annotations

import asyncio

from gateway.proxy.admission import RequestHead
from gateway.proxy.errors import BadRequest
from gateway.proxy.exchange import INLINE_BYTES, Exchange, Head, Unreadable
from gateway.proxy.routes import Route
from policies.engine.types import Circumstances, Verdict


async def inspect(call: Exchange, head: RequestHead, body: bytes, circumstances: Circumstances) -> Verdict:
    """The verdict; what cannot be read is a bad request."""
    version = head.headers.get(b"anthropic-version", b"")
    request = Head(head.method, head.path, head.text(b"x-postern-session"), version)
    try:
        if len(body) > INLINE_BYTES:
            return await asyncio.to_thread(call.request, request, body, circumstances)
        return call.request(request, body, circumstances)
    except Unreadable as error:
        raise BadRequest(error.code, str(error)) from None


def check_path(call: Exchange, route: Route) -> None:
    """A path that the caller wrote is not masked: nothing to mask may be in it."""
    if not route.wire.fixed_path and not call.path_is_clean(route.path):
        raise BadRequest("sensitive_path", "The path holds data that must not travel in a URL.")
