"""A model's service that misbehaves by the byte: each call is answered with the next script."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

Script = Sequence[bytes | float]
"""Bytes to write and seconds to wait; the connection is closed at the end."""


class ScriptedModel:
    """One connection at a time is enough for what is tested with it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.script: Script = ()
        self.requests: list[bytes] = []
        self.left_after: float | None = None  # seconds after which the gateway hung up
        self.left = 0  # how often it did

    def serve(self) -> None:
        with suppress(OSError):  # the listener was closed: the test is over
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._play, args=(connection,), daemon=True).start()

    def script_for(self, request: bytes) -> Script:
        return self.script

    def close(self) -> None:
        self._listener.close()

    def _play(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            request = self._read(connection)
            self.requests.append(request)
            began = time.monotonic()
            try:
                for step in self.script_for(request):
                    if isinstance(step, bytes):
                        connection.sendall(step)
                    elif self._hung_up(connection, step):
                        raise ConnectionResetError
            except OSError:
                self.left_after = time.monotonic() - began
                self.left += 1

    @staticmethod
    def _hung_up(connection: socket.socket, seconds: float) -> bool:
        connection.settimeout(seconds)
        try:
            return connection.recv(1) == b""
        except TimeoutError:
            return False

    @staticmethod
    def _read(connection: socket.socket) -> bytes:
        connection.settimeout(10)
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body


@contextmanager
def scripted_model(kind: type[ScriptedModel] = ScriptedModel) -> Iterator[ScriptedModel]:
    model = kind()
    threading.Thread(target=model.serve, daemon=True).start()
    try:
        yield model
    finally:
        model.close()


def response(status: str, kind: str, body: bytes, *headers: str) -> list[bytes]:
    """A whole response."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *headers]
    return ["\r\n".join([*lines, "", ""]).encode() + body]


def stream(*events: bytes | float, end: bool = True) -> list[bytes | float]:
    """A chunked event stream; without `end` the body is cut."""
    script: list[bytes | float] = [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    ]
    for event in events:
        script.append(b"%x\r\n%s\r\n" % (len(event), event) if isinstance(event, bytes) else event)
    return [*script, b"0\r\n\r\n"] if end else script
