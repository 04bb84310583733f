"""A model server that answers with exactly what it received, for demos and tests.

OpenAI chat completions and Anthropic messages (plain and streamed), a JSON classifier, and `/received`: the
last 100 request bodies as they arrived, so that anyone on this machine can see what the gateway let through.
No Django.
"""

from __future__ import annotations

import argparse
import itertools
from collections import deque
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import orjson
from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

KEPT = 100
LEAKY = "demo-leaky"
LEAK = " On file: card 4111 1111 1111 1111, mail mallory@example.com."
DELTA = 7  # characters per streamed delta: small enough to cut most values in two
JSON, SSE = b"application/json", b"text/event-stream"


class DemoModel:
    """The ASGI application, and what it has received."""

    def __init__(self) -> None:
        self._received: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, await _body(receive), send)

    async def _answer(self, scope: HTTPScope, body: bytes, send: ASGISendCallable) -> None:
        method, path = scope["method"], scope["path"]
        if path == "/received" and not _is_loopback(scope):
            await _reply(send, 403, {"error": {"message": "Loopback only.", "type": "permission_error"}})
        elif (method, path) == ("GET", "/received"):
            await _reply(send, 200, list(self._received))
        elif (method, path) == ("DELETE", "/received"):
            self._received.clear()
            await _reply(send, 200, [])
        elif (method, path) == ("GET", "/v1/models"):
            await _reply(send, 200, {"object": "list", "data": [_model("demo"), _model(LEAKY)]})
        elif method == "POST":
            self._keep(path, body)
            await self._model(path, body, send)
        else:
            await _reply(send, 404, {"error": {"message": "Not found.", "type": "invalid_request_error"}})

    def _keep(self, path: str, body: bytes) -> None:
        number = next(self._numbers)
        self._received.append({"number": number, "path": path, "body": body.decode("utf-8", "replace")})

    async def _model(self, path: str, body: bytes, send: ASGISendCallable) -> None:
        try:
            request = orjson.loads(body)
        except orjson.JSONDecodeError:
            await _reply(send, 400, {"error": {"message": "Not JSON.", "type": "invalid_request_error"}})
            return
        if path.endswith("/chat/completions") and isinstance(request, dict):
            await _chat(request, send)
        elif path.endswith("/messages") and isinstance(request, dict):
            await _messages(request, send)
        elif path.endswith("/messages/count_tokens"):
            await _reply(send, 200, {"input_tokens": len(body) // 4})
        else:
            received = orjson.Fragment(body)  # as it came: parsing would round large numbers
            await _reply(send, 200, {"label": "other", "score": 0.5, "received": received})


def _is_loopback(scope: HTTPScope) -> bool:
    peer = scope.get("client")
    return peer is not None and ip_address(peer[0]).is_loopback


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "postern"}


async def _chat(request: dict[str, Any], send: ASGISendCallable) -> None:
    text = "".join(_last_user_text(request.get("messages")))
    if request.get("model") == LEAKY:
        text += LEAK
    words = len(orjson.dumps(request)) // 4, max(1, len(text) // 4)
    usage = dict(zip(("prompt_tokens", "completion_tokens"), words, strict=True), total_tokens=sum(words))
    head = {"id": "chatcmpl-demo", "created": 1_700_000_000, "model": request.get("model", "demo")}
    if not request.get("stream"):
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        await _reply(send, 200, {**head, "object": "chat.completion", "choices": [choice], "usage": usage})
        return
    asked = request.get("stream_options")
    counted = usage if isinstance(asked, dict) and asked.get("include_usage") else None
    await _stream(send, _events(head, text, counted))


async def _messages(request: dict[str, Any], send: ASGISendCallable) -> None:
    text = "".join(_last_user_text(request.get("messages")))
    if request.get("model") == LEAKY:
        text += LEAK
    usage = {"input_tokens": len(orjson.dumps(request)) // 4, "output_tokens": max(1, len(text) // 4)}
    head = {"id": "msg_demo", "type": "message", "role": "assistant", "model": request.get("model", "demo")}
    if request.get("stream"):
        await _start(send, 200, SSE)
        for event in _message_events(head, text, usage):
            name = event["type"].encode()
            await _part(send, b"event: " + name + b"\ndata: " + orjson.dumps(event) + b"\n\n", more=True)
        await _part(send, b"", more=False)
        return
    said = {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": None}
    await _reply(send, 200, {**head, **said, "usage": usage})


def _message_events(head: dict[str, Any], text: str, usage: dict[str, int]) -> Iterator[dict[str, Any]]:
    begun = {**head, "content": [], "stop_reason": None, "stop_sequence": None}
    yield {"type": "message_start", "message": {**begun, "usage": {**usage, "output_tokens": 1}}}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    yield {"type": "ping"}
    for at in range(0, len(text), DELTA):
        delta = {"type": "text_delta", "text": text[at : at + DELTA]}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": usage["output_tokens"]}}
    yield {"type": "message_stop"}


def _last_user_text(messages: Any) -> Iterator[str]:
    """The last user message, whether its content is a string or a list of text parts."""
    said = [m for m in messages or [] if isinstance(m, dict) and m.get("role") == "user"]
    content = said[-1].get("content") if said else ""
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else []:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]


def _events(head: dict[str, Any], text: str, usage: dict[str, int] | None) -> Iterator[dict[str, Any]]:
    head = {**head, "object": "chat.completion.chunk"}
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": text[i : i + DELTA]} for i in range(0, len(text), DELTA)]
    for delta in deltas:
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    if usage:
        yield {**head, "choices": [], "usage": usage}


async def _stream(send: ASGISendCallable, events: Iterator[dict[str, Any]]) -> None:
    await _start(send, 200, SSE)
    for event in events:
        await _part(send, b"data: " + orjson.dumps(event) + b"\n\n", more=True)
    await _part(send, b"data: [DONE]\n\n", more=False)


async def _reply(send: ASGISendCallable, status: int, value: Any) -> None:
    await _start(send, status, JSON)
    await _part(send, orjson.dumps(value), more=False)


async def _start(send: ASGISendCallable, status: int, content_type: bytes) -> None:
    headers = [(b"content-type", content_type), (b"x-request-id", b"req-demo")]
    await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})


async def _part(send: ASGISendCallable, data: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def _body(receive: ASGIReceiveCallable) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)


async def _lifespan(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def main() -> int:
    from gateway.server import run

    parser = argparse.ArgumentParser(prog="demo_model", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    chosen = parser.parse_args()
    return run(DemoModel(), host=chosen.host, port=chosen.port)


if __name__ == "__main__":
    raise SystemExit(main())
