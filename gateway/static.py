"""Static files as an ASGI application: WhiteNoise's index of them, without a Django request around each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any

from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]  # ships no types

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]  # Django's own annotation is narrower than ASGI's

HARDENING = (("X-Content-Type-Options", "nosniff"), ("Cross-Origin-Resource-Policy", "same-origin"))


class StaticFiles:
    """The index is built once, from every application's `static/` folder and the project's own."""

    def __init__(self) -> None:
        self._index = WhiteNoiseMiddleware()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        found = (
            self._index.find_file(scope["path"])
            if self._index.autorefresh
            else self._index.files.get(scope["path"])
        )
        if found is None:
            await respond(send, HTTPStatus.NOT_FOUND, [("Content-Type", "text/plain")], b"Not found.\n")
            return
        response = found.get_response(scope["method"], _as_wsgi(scope["headers"]))
        body = b""
        if response.file is not None:
            with response.file as file:
                body = file.read()
        await respond(send, response.status, [*response.headers, *HARDENING], body)


def _as_wsgi(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {
        "HTTP_" + name.decode("latin-1").upper().replace("-", "_"): value.decode("latin-1")
        for name, value in headers
    }


async def respond(send: Send, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
    """One whole response."""
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": int(status), "headers": encoded, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})
