"""A SIEM as a process that can be killed: syslog over TCP, TLS and UDP, and JSON over HTTP.

Over TCP it stores before it takes bytes off the connection, as a careful receiver does: whatever it has read
when it is killed is in its file.
"""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SYSLOG = re.compile(
    rb"<(\d{1,3})>1 (\S+) (\S+) (\S+) (\S+) (\S+) (-|(?:\[(?:[^\]\"]|\"(?:[^\"\\\]]|\\.)*\")*\])+) ?(.*)",
    re.S,
)


def parsed(message: bytes) -> dict[str, Any]:
    """A message of RFC 5424 by its grammar, not by our code."""
    found = SYSLOG.fullmatch(message)
    assert found, message[:200]
    priority, at, host, app, process, kind, data, text = found.groups()
    named = re.findall(rb'(\S+?)="((?:[^"\\\]]|\\.)*)"', data)
    return {
        "facility": int(priority) // 8,
        "severity": int(priority) % 8,
        "time": at.decode(),
        "host": host.decode(),
        "app": app.decode(),
        "process": process.decode(),
        "id": kind.decode(),
        "sd": data.decode().partition(" ")[0].strip("["),
        "data": {name.decode(): re.sub(rb"\\(.)", rb"\1", value).decode() for name, value in named},
        "marked": text.startswith(b"\xef\xbb\xbf"),
        "text": text.removeprefix(b"\xef\xbb\xbf").decode(),
    }


class Siem:
    """One receiver, and the file that it fills."""

    def __init__(self, kind: str, port: int, file: Path, *more: str) -> None:
        self.kind, self.port, self.file = kind, port, file
        self._more = more
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        argv = [sys.executable, "-m", "tests.gateway.siem", self.kind, str(self.port), str(self.file)]
        self._process = subprocess.Popen([*argv, *self._more], cwd=ROOT, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            assert process.stdout is not None
            process.kill()
            process.wait(10)
            process.stdout.close()

    def records(self) -> list[Any]:
        """What arrived, in the order in which it did."""
        kept = self.file.read_bytes() if self.file.exists() else b""
        if self.kind == "tcp":
            return [parsed(each) for each in whole_messages(kept[: whole_pieces(kept)])]
        return [json.loads(line) for line in kept[: whole_lines(kept)].splitlines()]

    def wait_for(self, count: int, *, seconds: float = 20) -> list[Any]:
        """The records, once there are so many: datagrams come a moment later."""
        deadline = time.monotonic() + seconds
        while len(found := self.records()) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count}"
            time.sleep(0.02)
        return found


@contextmanager
def siem(kind: str, port: int, file: Path, *more: str) -> Iterator[Siem]:
    made = Siem(kind, port, file, *more)
    try:
        yield made
    finally:
        made.kill()


# --- the process ------------------------------------------------------------------------------------


class Store:
    """A file of records. What a kill left of one that was being written is cut off by the next process."""

    def __init__(self, path: str, whole: Callable[[bytes], int]) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        os.truncate(self._file, whole(Path(path).read_bytes()))
        self._lock = threading.Lock()

    def keep(self, lines: list[bytes], more: bytes = b"") -> None:
        with self._lock:
            os.write(self._file, b"".join(line + b"\n" for line in lines) + more)


def frames(data: bytes) -> tuple[list[bytes], int]:
    """Whole messages by octet counting, and how many bytes those are."""
    found, at = [], 0
    while True:
        count, space, _ = data[at : at + 11].partition(b" ")
        begin = at + len(count) + 1
        if not space or len(data) < begin + int(count):
            return found, at
        found.append(data[begin : begin + int(count)])
        at = begin + int(count)


def whole_lines(kept: bytes) -> int:
    """How many bytes are lines with an end."""
    return kept.rfind(b"\n") + 1


def whole_pieces(kept: bytes) -> int:
    """How many bytes are pieces of connections with all of their bytes (`whole_messages`)."""
    at = 0
    while (end := kept.find(b"\n", at)) >= 0:
        following = end + 1 + int(kept[at:end].split()[1])
        if following > len(kept):
            break
        at = following
    return at


def whole_messages(kept: bytes) -> Iterator[bytes]:
    """Out of pieces of connections as they were stored: `<connection> <length>`, a line's end, the piece."""
    open_ended: dict[bytes, bytes] = {}
    while kept:
        head, _, kept = kept.partition(b"\n")
        connection, length = head.split()
        piece, kept = kept[: int(length)], kept[int(length) :]
        data = open_ended.get(connection, b"") + piece
        messages, size = frames(data)
        open_ended[connection] = data[size:]
        yield from messages


def lines_of(messages: list[bytes]) -> list[bytes]:
    return [json.dumps(parsed(each), separators=(",", ":")).encode() for each in messages]


def tcp(port: int, store: Store, *, mute: bool = False) -> None:
    def serve(peer: socket.socket) -> None:
        connection = time.time_ns()
        with peer, suppress(ConnectionError):
            while data := peer.recv(1 << 16, socket.MSG_PEEK):
                store.keep([b"%d %d" % (connection, len(data))], data)
                peer.recv(len(data), socket.MSG_WAITALL)

    def hang(peer: socket.socket) -> None:
        time.sleep(3600)

    with socket.create_server(("127.0.0.1", port), reuse_port=False) as server:
        print("ready", flush=True)
        while True:
            peer, _ = server.accept()
            threading.Thread(target=hang if mute else serve, args=[peer], daemon=True).start()


def tls(port: int, store: Store, certificate: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve(plain: socket.socket) -> None:
        try:
            with context.wrap_socket(plain, server_side=True) as peer:
                data = b""
                while more := peer.recv(1 << 16):
                    messages, size = frames(data := data + more)
                    store.keep(lines_of(messages))
                    data = data[size:]
        except OSError:
            pass

    with socket.create_server(("127.0.0.1", port)) as server:
        print("ready", flush=True)
        while True:
            threading.Thread(target=serve, args=[server.accept()[0]], daemon=True).start()


def udp(port: int, store: Store) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", port))
        print("ready", flush=True)
        while True:
            store.keep(lines_of([server.recv(65536)]))


def http(port: int, store: Store) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            entries = json.loads(self.rfile.read(int(self.headers["content-length"])))
            store.keep([json.dumps(each, separators=(",", ":")).encode() for each in entries])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print("ready", flush=True)
    server.serve_forever()


def main(kind: str, port: str, file: str, *more: str) -> None:
    store = Store(file, whole_pieces if kind == "tcp" else whole_lines)
    match kind:
        case "tcp":
            tcp(int(port), store)
        case "mute":
            tcp(int(port), store, mute=True)
        case "tls":
            tls(int(port), store, *more)
        case "udp":
            udp(int(port), store)
        case "http":
            http(int(port), store)


if __name__ == "__main__":
    main(*sys.argv[1:])
