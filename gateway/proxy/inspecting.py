"""A request as it is put to its exchange: when it comes, and anew when it has waited for a person."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

from audit.records import SealedOriginal
from gateway.proxy.admission import RequestHead
from gateway.proxy.errors import BadRequest, no_originals
from gateway.proxy.exchange import INLINE_BYTES, Exchange, Head, Piece, Unreadable
from gateway.proxy.originals import NoKey, answered, asked
from gateway.proxy.routes import Route
from gateway.proxy.upstream import unreadable
from policies.engine.types import Circumstances, Verdict


async def inspect(
    call: Exchange, head: RequestHead, body: bytes, circumstances: Circumstances, *, keep: UUID | None
) -> Verdict:
    """The verdict; what cannot be read is a bad request.

    `keep`: the call for which the original is sealed where the policy says so; None: it is on record already.
    """
    version = head.headers.get(b"anthropic-version", b"")
    request = Head(head.method, head.path, head.text(b"x-postern-session"), version)
    try:
        if len(body) > INLINE_BYTES:
            return await asyncio.to_thread(asked, call, request, body, circumstances, keep)
        return asked(call, request, body, circumstances, keep)
    except Unreadable as error:
        raise BadRequest(error.code, str(error)) from None
    except NoKey:
        raise no_originals() from None


async def read_whole(
    call: Exchange, call_id: UUID, status: int, body: bytes
) -> tuple[Piece, SealedOriginal | None]:
    """An answer that came whole, and its original where the policy keeps it."""
    try:
        if len(body) > INLINE_BYTES:
            return await asyncio.to_thread(answered, call, call_id, status, body)
        return answered(call, call_id, status, body)
    except Unreadable as error:
        call.looked_back.stopped = error.code
        raise unreadable() from None
    except NoKey:
        raise no_originals() from None


def read_part(call: Exchange, step: Callable[..., Piece], *chunk: bytes) -> Piece:
    """What a stream's next bytes amount to."""
    try:
        return step(*chunk)
    except Unreadable as error:
        call.looked_back.stopped = error.code
        raise unreadable() from None


def check_path(call: Exchange, route: Route) -> None:
    """A path that the caller wrote is not masked: nothing to mask may be in it."""
    if not route.wire.fixed_path and not call.path_is_clean(route.path):
        raise BadRequest("sensitive_path", "The path holds data that must not travel in a URL.")
