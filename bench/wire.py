"""The two ends of the wire for measuring: a model that answers at once and clients that only count.

Raw asyncio protocols, so that both together cost less than a tenth of what stands between them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n"
END: Final = b"\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"


def plain_response(body: bytes) -> bytes:
    return HEAD % b"application/json" + b"content-length: %d\r\n\r\n" % len(body) + body


def stream_response(events: Sequence[bytes]) -> list[bytes]:
    """The head and one chunk per event, to be written one by one."""
    head = HEAD % b"text/event-stream" + b"transfer-encoding: chunked\r\n\r\n"
    return [head, *(b"%x\r\n%s\r\n" % (len(event), event) for event in events), LAST_CHUNK]


class ModelProtocol(asyncio.Protocol):
    """Answers each request with fixed bytes; `plain` or, where the request says stream, `stream`."""

    plain: bytes = b""
    stream: Sequence[bytes] = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(END)) >= 0:
            head = self.buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            self.answer(b'"stream":true' in body)

    def answer(self, streamed: bool) -> None:
        if not streamed:
            self.transport.write(self.plain)  # type: ignore[attr-defined]  # always a write transport
            return
        for part in self.stream:
            self.transport.write(part)  # type: ignore[attr-defined]


class ClientProtocol(asyncio.Protocol):
    """Sends the same request again and again; notes how long each answer took, in seconds."""

    def __init__(self, request: bytes, interval: float | None, until: float) -> None:
        self.request, self.interval, self.until = request, interval, until
        self.latencies: list[float] = []
        self.first_bytes: list[float] = []
        self.bad = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.next_at = time.perf_counter()
        self.send()

    def send(self) -> None:
        """Latency counts from when the request was due, so that a stall is not hidden by waiting."""
        now = time.perf_counter()
        if now >= self.until:
            self.transport.close()
            return
        if self.interval is not None and now < self.next_at:
            asyncio.get_running_loop().call_later(self.next_at - now, self.send)
            return
        self.started = now if self.interval is None else self.next_at
        self.next_at += self.interval or 0.0
        self.buffer = bytearray()
        self.ends_at = 0
        self.chunked = False
        self.transport.write(self.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if not self.buffer:
            self.first_bytes.append(time.perf_counter() - self.started)
        self.buffer += data
        if not self.ends_at and not self.chunked:
            self.read_head()
        if (self.chunked and self.buffer.endswith(LAST_CHUNK)) or (
            self.ends_at and len(self.buffer) >= self.ends_at
        ):
            self.finish()

    def read_head(self) -> None:
        end = self.buffer.find(END)
        if end < 0:
            return
        head = bytes(self.buffer[:end]).lower()
        self.bad += not head.startswith(b"http/1.1 200")
        if b"transfer-encoding: chunked" in head:
            self.chunked = True
        else:
            self.ends_at = end + 4 + int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])

    def finish(self) -> None:
        self.latencies.append(time.perf_counter() - self.started)
        self.send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)
