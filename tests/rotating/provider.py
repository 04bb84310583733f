"""A provider as we need one: a model that wants a key, and an admin API that makes, lists and revokes them.

It can be told to misbehave: each trouble is used up by the next request that it fits.
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ADMIN = "admin-Zq81LmPw0TnC"
RECIPE: dict[str, Any] = {
    "title": "The provider of the tests",
    "create": {"path": "/admin/keys", "body": {"name": "{label}"}, "secret": "/key", "id": "/id"},
    "list": {
        "path": "/admin/keys",
        "items": "/data",
        "id": "/id",
        "label": "/name",
        "next": {"query": "after", "pointer": "/last_id"},
    },
    "revoke": {"method": "DELETE", "path": "/admin/keys/{id}", "gone": [404]},
}
SLOTS: dict[str, Any] = {
    "title": "A provider with two keys",
    "slots": ["Key1", "Key2"],
    "create": {
        "path": "/admin/regenerate",
        "body": {"slot": "{slot}"},
        "secret": {"Key1": "/Key1", "Key2": "/Key2"},
    },
    "revoke": {"path": "/admin/regenerate", "body": {"slot": "{slot}"}},
}
PAGE = 3
"""Keys on one page of its list: few, so that pages are turned."""


@dataclass
class Key:
    id: str
    name: str
    secret: str
    revoked: bool = False


@dataclass
class State:
    keys: dict[str, Key] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    calls: list[tuple[str, int]] = field(default_factory=list)  # path and status, of the model
    admin: list[str] = field(default_factory=list)
    most: int = 0  # keys that were good at once
    slow: float = 0.0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def make(self, name: str) -> Key:
        with self.lock:
            key = Key(f"key_{len(self.keys) + 1}", name, f"sk-{secrets.token_urlsafe(24)}")
            self.keys[key.id] = key
            self.most = max(self.most, len(self.good()))
            return key

    def good(self) -> list[Key]:
        return [key for key in self.keys.values() if not key.revoked]

    def trouble(self, name: str) -> bool:
        with self.lock:
            if name in self.troubles:
                self.troubles.remove(name)
                return True
            return False


class Provider:
    def __init__(self, port: int = 0) -> None:
        self.state = State()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler(self.state))
        self._server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def provider() -> Iterator[Provider]:
    found = Provider()
    try:
        yield found
    finally:
        found.close()


def handler(state: State) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self._any("GET")

        def do_POST(self) -> None:
            self._any("POST")

        def do_DELETE(self) -> None:
            self._any("DELETE")

        def _any(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.path.startswith("/admin/"):
                self._admin(method, body)
            else:
                self._model(body)

        # --- the model --------------------------------------------------------------------------------
        def _model(self, body: bytes) -> None:
            said = self.headers.get("authorization", "").removeprefix("Bearer ")
            with state.lock:
                good = any(key.secret == said for key in state.good())
            if state.trouble("model_500"):
                self._answer(500, {"error": "busy"})
                return
            status = 200 if good else 401
            state.calls.append((self.path, status))
            if not good:
                self._answer(401, {"error": {"message": f"Incorrect API key provided: {said}"}})
            elif self.path.endswith("/models"):
                self._answer(200, {"object": "list", "data": []})
            else:
                if state.slow:
                    time.sleep(state.slow)
                self._answer(200, completion())

        # --- the admin API ----------------------------------------------------------------------------
        def _admin(self, method: str, body: bytes) -> None:
            state.admin.append(f"{method} {self.path}")
            if self.headers.get("authorization") != f"Bearer {ADMIN}":
                self._answer(401, {"error": "no"})
            elif state.trouble(f"{method.lower()}_500"):
                self._answer(500, {"error": "no"})
            elif self.path == "/admin/regenerate":
                self._regenerate(json.loads(body)["slot"])
            elif method == "POST":
                self._create(json.loads(body))
            elif method == "GET":
                self._list()
            else:
                self._revoke()

        def _regenerate(self, slot: str) -> None:
            with state.lock:
                for key in state.good():
                    key.revoked = key.revoked or key.name == slot
                state.make(slot)
                said = {key.name: key.secret for key in state.good()}
            if state.trouble("made_and_lost"):
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self._answer(200, said)

        def _create(self, said: Any) -> None:
            if state.trouble("refuse"):
                self._answer(403, {"error": "quota"})
                return
            key = state.make(said["name"])
            if state.trouble("reject"):
                key.secret = "another"  # what it tells is not what it takes
                self._answer(201, {"id": key.id, "key": "sk-never-good"})
            elif state.trouble("made_and_lost"):
                self.connection.shutdown(socket.SHUT_RDWR)
            elif state.trouble("made_and_500"):
                self._answer(500, {"error": "late"})
            else:
                self._answer(201, {"id": key.id, "key": key.secret})

        def _list(self) -> None:
            after = self.path.partition("after=")[2]
            with state.lock:
                keys = [key for key in state.good() if not after or number(key.id) > number(after)]
            page = keys[:PAGE]
            more = {"last_id": page[-1].id} if len(keys) > PAGE else {}
            self._answer(200, {"data": [{"id": key.id, "name": key.name} for key in page], **more})

        def _revoke(self) -> None:
            with state.lock:
                key = state.keys.get(self.path.rpartition("/")[2])
                known = key is not None and not key.revoked
                if key is not None:
                    key.revoked = True
            if state.trouble("revoked_and_lost"):
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self._answer(204 if known else 404, None)

        def _answer(self, status: int, document: Any) -> None:
            data = b"" if document is None else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def number(key_id: str) -> int:
    return int(key_id.removeprefix("key_"))


def completion() -> dict[str, Any]:
    message = {"role": "assistant", "content": "fine"}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
