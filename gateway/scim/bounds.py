"""A bound on what a directory sends, before Django would write all of it to a file."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import orjson

from gateway.static import Application, Receive, Send, respond

LARGEST: Final = 4 * 1024 * 1024
"""Bytes of a body: about 50,000 members."""

TOO_LARGE: Final = f"A body has at most {LARGEST // 1024**2} MB: send members in several requests."
MEDIA_TYPE: Final = "application/scim+json"


class _TooLarge(Exception):
    pass


class Bounded:
    """The application behind it reads at most `LARGEST` bytes of a request."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        told, seen = _length(scope), 0

        async def counted() -> Any:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > LARGEST:
                raise _TooLarge
            return message

        try:
            if told > LARGEST:
                raise _TooLarge
            await self._application(scope, counted, send)
        except _TooLarge:  # nothing was answered yet: Django reads the whole body first
            await _refuse(send)


def _length(scope: Any) -> int:
    """What the headers say; 0 if nothing that is a number."""
    value = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(value) if value.isdigit() and len(value) < 20 else 0


async def _refuse(send: Send) -> None:
    body = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": "413",
        "detail": TOO_LARGE,
    }
    headers = [("Content-Type", MEDIA_TYPE), ("Connection", "close")]
    await respond(send, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, headers, orjson.dumps(body))
