"""`/livez` and `/readyz`: is the loop turning, and may a balancer send calls here. No detail for anyone."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from gateway.static import Receive, Send, respond

HEADERS = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"))


class Health:
    """An ASGI application. It answers before host names are checked: probes come by address."""

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await respond(send, HTTPStatus.METHOD_NOT_ALLOWED, [*HEADERS, ("Allow", "GET, HEAD")], b"")
        elif scope["path"] == "/livez" or self._ready():
            await respond(send, HTTPStatus.OK, HEADERS, b"ok\n")
        else:
            await respond(send, HTTPStatus.SERVICE_UNAVAILABLE, HEADERS, b"not ready\n")
