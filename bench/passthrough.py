"""What everything is measured against: the same server and client library, and nothing in between."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

Message = dict[str, Any]


class PassThrough:
    """A bare ASGI application that copies a request to the model and the answer back."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.session: aiohttp.ClientSession | None = None

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        if self.session is None:
            connector = aiohttp.TCPConnector(limit=512)
            self.session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {"content-type": "application/json"}
        async with self.session.post(self.origin + scope["path"], data=body, headers=headers) as answer:
            kind = answer.content_type.encode()
            await send(
                {"type": "http.response.start", "status": answer.status, "headers": [(b"content-type", kind)]}
            )
            if answer.content_type == "text/event-stream":
                async for chunk in answer.content.iter_any():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                await send({"type": "http.response.body", "body": await answer.read(), "more_body": False})


def application() -> PassThrough:
    return PassThrough(os.environ["BENCH_ORIGIN"])
