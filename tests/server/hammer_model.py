"""A model server that writes down every byte it receives before it does anything else.

Requests choose how they are answered: the `model` (or `hammer`) member reads `n12d30-whole`, that is twelve
pieces, thirty milliseconds apart, and how it ends: `whole`, `fickle` (whole, then the idle connection is
cut), `cut` (in the middle), `nodone` (cleanly, but without `[DONE]`), `mute` (closed without an answer), and
after it, perhaps, `-leak`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

PLAN = re.compile(r"n(\d+)d(\d+)-([a-z]+)(-leak)?")
CHUNK = struct.Struct(">II")  # connection, length
LEAK = ("on file: card 4000 0", "566 5566 5556, mail mal", "lory@evil.example, ssn 536-", "90-4399.")
LEAKED = (b"4000 0566 5566 5556", b"4000056655665556", b"mallory@evil.example", b"536-90-4399")


@dataclass(frozen=True, slots=True)
class Plan:
    """How one request is answered."""

    pieces: int = 3
    pause: float = 0.0
    end: str = "whole"
    leak: bool = False

    @classmethod
    def of(cls, request: Any) -> Plan:
        named = request.get("hammer") or request.get("model") if isinstance(request, dict) else ""
        match = PLAN.fullmatch(str(named))
        if match is None:
            return cls()
        return cls(int(match[1]), int(match[2]) / 1000, match[3], bool(match[4]))


@dataclass(slots=True)
class Seen:
    """One request as the model saw it, perhaps not all of it."""

    head: bytes
    body: bytes
    length: int

    @property
    def whole(self) -> bool:
        return len(self.body) == self.length

    @property
    def digest(self) -> bytes:
        return sha256(self.body).digest()


@dataclass(slots=True)
class Log:
    """The file of received bytes, read as it grows: connection by connection, request by request."""

    path: Path
    whole: list[Seen] = field(default_factory=list)
    _at: int = 0
    _rest: dict[int, bytes] = field(default_factory=dict)

    def read(self) -> None:
        with self.path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        at = 0
        while at < len(data):
            connection, length = CHUNK.unpack_from(data, at)
            at += CHUNK.size + length
            self._rest[connection] = self._rest.get(connection, b"") + data[at - length : at]
        self._at += at
        for connection in self._rest:
            self._take(connection)

    def _take(self, connection: int) -> None:
        while (seen := _request(self._rest[connection])) and seen.whole:
            self.whole.append(seen)
            self._rest[connection] = self._rest[connection][len(seen.head) + seen.length :]

    def parts(self) -> list[Seen]:
        """Requests that broke off: what a killed gateway had sent of them."""
        found = [_request(rest) or Seen(rest, b"", -1) for rest in self._rest.values() if rest]
        return [seen for seen in found if not seen.whole]


def _request(data: bytes) -> Seen | None:
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    match = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    length = int(match[1]) if match else 0
    return Seen(head + end, rest[:length], length)


class Model:
    """The server. `seen` is called for every whole request, in the moment its last byte has come."""

    def __init__(self, log: Path) -> None:
        self.url = ""
        self.log = log
        self.seen: list[Callable[[Seen], None]] = []
        self._file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._numbers = itertools.count()
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        os.close(self._file)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(self._numbers)
        data = b""
        try:
            while chunk := await reader.read(65536):
                os.write(self._file, CHUNK.pack(number, len(chunk)) + chunk)
                data += chunk
                while (seen := _request(data)) and seen.whole:
                    data = data[len(seen.head) + seen.length :]
                    for told in self.seen:
                        told(seen)
                    if not await _answer(seen, writer):
                        return
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


async def _answer(seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Answer by the request's plan; False when the connection is to be closed."""
    request = json.loads(seen.body)
    plan = Plan.of(request)
    if plan.end == "mute":
        return False
    if isinstance(request, dict) and request.get("stream"):
        return await _stream(request, plan, writer)
    await asyncio.sleep(plan.pause * plan.pieces)
    document = _completion(request, plan) if "messages" in request else _label(request, plan)
    body = json.dumps(document).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    if plan.end == "cut":
        writer.write(head + body[: len(body) // 2])
        return False
    writer.write(head + body)
    await writer.drain()
    return plan.end != "fickle"


async def _stream(request: Any, plan: Plan, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    async for event in _events(request, plan):
        data = b"data: " + event + b"\n\n"
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await writer.drain()
    if plan.end == "cut":
        return False
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return plan.end != "fickle"


async def _events(request: Any, plan: Plan) -> AsyncIterator[bytes]:
    texts = list(_texts(request, plan))
    for text in texts[: len(texts) // 2] if plan.end == "cut" else texts:
        yield _chunk({"content": text}, None)
        await asyncio.sleep(plan.pause)
    if plan.end not in ("cut", "nodone"):
        yield _chunk({}, "stop")
        yield b"[DONE]"


def _texts(request: Any, plan: Plan) -> Iterator[str]:
    said = request["messages"][-1]["content"]
    for number in range(plan.pieces):
        yield f"piece {number} of " if number else f"You said: {said} "
    if plan.leak:
        yield from LEAK
    yield " That is all."


def _chunk(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return json.dumps({**head, "choices": [choice]}).encode()


def _completion(request: Any, plan: Plan) -> dict[str, Any]:
    message = {"role": "assistant", "content": "".join(_texts(request, plan))}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    return {**head, "choices": [choice], "usage": usage}


def _label(request: Any, plan: Plan) -> dict[str, Any]:
    leak = {"note": "".join(LEAK)} if plan.leak else {}
    return {"label": "other", "score": 0.5, "received": request, **leak}


@contextmanager
def running_model(root: Path) -> Iterator[Model]:
    """Serve from a thread of this process, which nobody kills."""
    model = Model(root / "model.log")
    loop, ready = asyncio.new_event_loop(), threading.Event()

    async def listen() -> None:
        await model.listen()
        ready.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.create_task(listen())
        loop.run_forever()
        model.close()
        _end(loop)

    thread = threading.Thread(target=run, name="model", daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield model
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def _end(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()
