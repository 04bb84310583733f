"""An issuer on real sockets whose every answer a test decides: keys, discovery, introspection, troubles."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from .minting import key_set, public_jwk

Answer = tuple[int, str, bytes]


class Provider:
    """`asked` counts requests by path. `trouble` is called first and may answer instead."""

    def __init__(self, origin: str) -> None:
        self.issuer = origin
        self.keys: list[Any] = ["rsa1"]
        self.discovery: dict[str, Any] = {"issuer": origin, "jwks_uri": f"{origin}/keys"}
        self.opaque: dict[str, dict[str, Any]] = {}
        self.asked: dict[str, int] = {}
        self.authorization: list[str] = []
        self.trouble: Callable[[str], Answer | None] = lambda path: None

    def answer(self, path: str, form: dict[str, list[str]]) -> Answer:
        self.asked[path] = self.asked.get(path, 0) + 1
        if (trouble := self.trouble(path)) is not None:
            return trouble
        if path == "/.well-known/openid-configuration":
            return 200, "application/json", json.dumps(self.discovery).encode()
        if path == "/keys":
            published = [public_jwk(key) if isinstance(key, str) else key for key in self.keys]
            return 200, "application/json", key_set(*published)
        if path == "/introspect":
            found = self.opaque.get(form.get("token", [""])[0], {"active": False})
            return 200, "application/json", json.dumps(found).encode()
        return 404, "text/plain", b""


@contextmanager
def running_provider() -> Iterator[Provider]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.provider = Provider(f"http://127.0.0.1:{server.server_address[1]}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.provider  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def slowly(seconds: float) -> Callable[[str], Answer | None]:
    def trouble(path: str) -> Answer | None:
        time.sleep(seconds)
        return None

    return trouble


def always(status: int, kind: str, body: bytes) -> Callable[[str], Answer | None]:
    return lambda path: (status, kind, body)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self._answer(parse_qs(body))

    def _answer(self, form: dict[str, list[str]]) -> None:
        provider: Provider = self.server.provider  # type: ignore[attr-defined]
        provider.authorization.append(self.headers.get("authorization", ""))
        status, kind, body = provider.answer(self.path, form)
        try:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # the client had enough

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the test's output."""
