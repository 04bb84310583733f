"""One call on the data path's way out, without the rest of the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from gateway.credentials.placing import in_header
from gateway.credentials.secret import Secret
from gateway.proxy.errors import ProxyError
from gateway.proxy.patience import Patience
from gateway.proxy.pools import Turn
from gateway.proxy.routes import Target
from gateway.proxy.upstream import Answer, Upstream, send

SECRET = "sk-upstream-9d41c7"


def target(origin: str, **more: Any) -> Target:
    said: dict[str, Any] = {
        "id": uuid4(),
        "slug": "chat",
        "area": "ward",
        "kind": "openai",
        "origin": origin,
        "base_path": "",
        "allow_private": True,
        "credential": in_header("authorization", "Bearer", Secret(SECRET)),
        "max_body": 1 << 20,
        "connect_timeout": 2.0,
        "first_byte_timeout": 3.0,
        "idle_timeout": 3.0,
    }
    return Target(**{**said, **more})


async def nothing() -> dict[str, Any]:
    await asyncio.Event().wait()
    return {}


async def begin(upstream: Upstream, where: Target) -> tuple[Turn, Answer]:
    """A call whose answer has begun."""
    turn = upstream.turn(where)
    patience = Patience(nothing)
    try:
        return turn, await send(turn, "/v1/chat/completions", b"{}", patience)
    except BaseException:
        turn.end()
        raise
    finally:
        patience.end()


async def call(upstream: Upstream, where: Target) -> int:
    """A whole call; its status."""
    turn, answer = await begin(upstream, where)
    try:
        while await answer.chunk():
            pass
        return answer.status
    finally:
        answer.close()
        turn.end()


async def code_of(upstream: Upstream, where: Target) -> str:
    """What a client is told, or nothing where all is well."""
    try:
        await call(upstream, where)
    except ProxyError as error:
        return error.code
    return ""


def run(play: Callable[[Upstream], Any], farewell: float = 0.05) -> Any:
    """Play on a loop with an upstream of its own."""

    async def body() -> Any:
        upstream = Upstream()
        try:
            return await play(upstream)
        finally:
            await upstream.pools.close()
            await asyncio.sleep(farewell)  # TLS says good-bye

    return asyncio.run(body())
