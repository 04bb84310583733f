"""A model's service that repeats whatever it was sent, in every way a service may; and gives out tokens."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from policies.engine import jsontext


class Echoing(BaseHTTPRequestHandler):
    """What the prompt asks for decides how it answers."""

    token = ""
    heard: list[str] = []
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        sent = [self.path, *self.headers.values(), body, *dict(parse_qsl(urlsplit(self.path).query)).values()]
        said = " ".join([*sent, *(base64.b64encode(each.encode()).decode() for each in sent)])
        type(self).heard.append(said)
        if self.path == "/token":
            self._json(200, {"access_token": self.token, "token_type": "Bearer", "expires_in": 600})
            return
        how = json.loads(body)["messages"][0]["content"]
        getattr(self, f"_{how}", self._plain)(said)

    def _plain(self, said: str) -> None:
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        self._json(200, {"id": said, "object": "chat.completion", "model": "m", "choices": [choice]})

    def _error(self, said: str) -> None:
        self._json(429, {"error": {"message": said, "type": "x", "code": said}})

    def _refused(self, said: str) -> None:
        self._json(401, {"error": {"message": said}})

    def _redirect(self, said: str) -> None:
        self._json(302, {}, location=f"http://127.0.0.1:1/{said}"[:900])

    def _garbage(self, said: str) -> None:
        self.wfile.write(f"HTTP/1.1 {said}\r\n\r\n".encode())
        self.close_connection = True

    def _stream(self, said: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        pieces = [said[at : at + 5] for at in range(0, len(said), 5)]
        for piece in [*pieces, None]:
            choice = {"index": 0, "delta": {"content": piece} if piece else {}}
            choice["finish_reason"] = None if piece else "stop"
            chunk = {"id": "1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
            self.wfile.write(b"data: " + jsontext.dumps(chunk) + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _json(self, status: int, document: object, **headers: str) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        named = {"content-type": "application/json", "content-length": str(len(data)), **headers}
        key = self.headers.get("authorization", "").rpartition(" ")[2] or "none"
        for name, value in {**named, "x-ratelimit-key": key, "x-ratelimit-left": "5"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def echoing(token: str) -> Iterator[tuple[str, list[str]]]:
    """Its origin, and all that it was sent."""
    kind = type("Fresh", (Echoing,), {"token": token, "heard": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", kind.heard
    finally:
        server.shutdown()
        server.server_close()
