"""Who takes a request: calls to models go to the proxy, static files and health to themselves, WebSockets to
theirs, the rest to Django.

The proxy stands ahead of Django on purpose: Django would read a whole body into memory before the first
line of ours could refuse it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from django.db import connections

from gateway.checks import refusals
from gateway.health import Health
from gateway.identity.network import ForwardedInvalid, TrustedProxies
from gateway.scim.bounds import Bounded
from gateway.static import Application, Receive, Send, respond

logger = logging.getLogger(__name__)


class Governor(Protocol):
    """What the front asks of the proxy."""

    async def startup(self) -> None: ...
    async def shutdown(self) -> None: ...
    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None: ...


class Listeners(Protocol):
    """What the front asks of the WebSockets."""

    def stop(self) -> None: ...
    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None: ...


@dataclass(frozen=True, slots=True)
class Front:
    """The ASGI application of a gateway process."""

    proxy: Governor
    ready: Callable[[], bool]
    static: Application
    django: Application
    sockets: Listeners | None = None

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["path"].startswith("/proxy/"):
                await self.proxy(scope, receive, send)
            else:
                await self._page(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self.sockets is not None:
            await self.sockets(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000, "reason": ""})

    def stopping(self) -> None:
        """The server is about to stop: it waits for what is open, and WebSockets do not end by themselves."""
        if self.sockets is not None:
            self.sockets.stop()

    async def _page(self, scope: Any, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path.startswith("/static/"):
            await self.static(scope, receive, send)
        elif path in ("/livez", "/readyz"):
            await Health(self.ready)(scope, receive, send)
        elif path.startswith("/scim/"):
            await Bounded(self.django)(scope, receive, send)
        else:
            await self.django(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """Start the proxy before the first request, stop it after the last. A failed start is a refusal."""
        await receive()
        if problem := await self._start():
            await send({"type": "lifespan.startup.failed", "message": problem})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.stopping()
        await self.proxy.shutdown()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> str:
        """Why it does not start. Nothing is raised: Granian would go on and serve."""
        try:
            if problems := await asyncio.to_thread(_refusals):  # they look into the store
                return "\n".join(problems)
            await self.proxy.startup()
        except Exception as problem:
            logger.exception("The gateway could not start")
            return f"The gateway could not start: {type(problem).__name__}."
        return ""


def _refusals() -> list[str]:
    try:
        return refusals()
    finally:
        connections.close_all()  # of this thread


@dataclass(frozen=True, slots=True)
class Behind:
    """Puts the client's address where the peer's was, for an application that takes it from the scope."""

    application: Application
    proxies: TrustedProxies

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        peer, port = scope.get("client") or ("", 0)
        try:
            address = self.proxies.address_of(peer, scope["headers"])
        except ForwardedInvalid as problem:
            await respond(send, 400, [("Content-Type", "text/plain")], f"{problem}.\n".encode())
            return
        await self.application({**scope, "client": (address, port)}, receive, send)
