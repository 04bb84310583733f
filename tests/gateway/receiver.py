"""A webhook's receiver, and a mail server, on real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Receiver:
    """Answers with `answers` in turn, the last one for good; "slow" is no answer. Keeps all it got."""

    def __init__(self) -> None:
        self.answers: list[int | str] = [200]
        self.got: list[tuple[dict[str, str], bytes]] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hooks/T0-sealed?to=us"

    @property
    def messages(self) -> list[Any]:
        return [json.loads(body) for _, body in self.got]

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(receiver) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with receiver._lock:
                    receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                    answer = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
                if answer == "slow":
                    time.sleep(1)
                    return
                self.send_response(int(answer))
                if answer == 302:
                    self.send_header("location", receiver.url)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


@contextmanager
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    try:
        yield made
    finally:
        made.close()


DOCS = Path(__file__).resolve().parents[2] / "docs/webhooks.md"


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """By the very code that docs/webhooks.md gives to receivers."""
    found = re.search(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
    assert found
    names: dict[str, Any] = {}
    exec(found[1], names)
    return bool(names["verify"](secret, headers, body))


class Mailbox:
    """An SMTP server that takes everything, or refuses with `refuse`."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str]] = []  # recipient, message
        self.refuse = ""
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to = ""

        def say(text: str) -> None:
            writer.write(f"{text}\r\n".encode())

        say("220 here")
        while line := (await reader.readline()).decode().strip():
            word = line[:4].upper()
            if word == "RCPT" and self.refuse:
                say(self.refuse)
            elif word == "DATA":
                say("354 go on")
                data = (await reader.readuntil(b"\r\n.\r\n")).decode()
                self.got.append((to, data))
                say("250 taken")
            else:
                to = line[8:].strip("<>:") if word == "RCPT" else to
                say("221 bye" if word == "QUIT" else "250 ok")
                if word == "QUIT":
                    break
        writer.close()


def settings_for(post: Mailbox) -> dict[str, Any]:
    """By which mails go there."""
    return {
        "PUBLIC_URL": "https://postern.example",
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": "127.0.0.1",
        "EMAIL_PORT": post.port,
        "EMAIL_USE_TLS": False,
        "DEFAULT_FROM_EMAIL": "postern@ward.example",
    }


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    made = Mailbox()
    try:
        yield made
    finally:
        made.close()
