"""A model's server as replicas of a cluster run it: each reads the keys when it starts, and they start anew
one after the other. Answers the two calls of Kubernetes' API that the recipes make, for a token."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "service-account-Zq81LmPw0TnC"
SECRET = "/api/v1/namespaces/models/secrets/keys"
DEPLOYMENT = "/apis/apps/v1/namespaces/models/deployments/llm"


class Cluster:
    def __init__(self, origin: str, first: str) -> None:
        self.origin = origin
        self.keys = {"key-a": first, "key-b": "unused-000000000000"}
        self.replicas = [set(self.keys.values()) for _ in range(2)]
        self.restarts: dict[
            int, int
        ] = {}  # by the number of the request before which it happens, the replica
        self.every = 3  # requests between one replica's restart and the next one's; 0: none restarts
        self.annotation = ""
        self.generation = self.observed = 0  # what the controller has seen; 0: all of it
        self.stuck = 0  # replicas that do not start anew
        self.asked = 0
        self.refused = 0

    def state(self) -> dict[str, Any]:
        """Of the deployment, as far as it tells of a roll-out."""
        all_of_them = len(self.replicas)
        counts = {"replicas": all_of_them, "availableReplicas": all_of_them}
        status = {**counts, "updatedReplicas": all_of_them - len(self.restarts) - self.stuck}
        return {
            "metadata": {"generation": self.generation},
            "spec": {"replicas": all_of_them},
            "status": {**status, "observedGeneration": self.observed or self.generation},
        }

    def takes_everywhere(self, key: str) -> bool:
        return all(key in replica for replica in self.replicas)

    def patched(self, path: str, said: Any) -> int:
        if path == SECRET:
            self.keys |= said["stringData"]
            return 200
        if path != DEPLOYMENT:
            return 404
        annotation = said["spec"]["template"]["metadata"]["annotations"]["postern/rotated"]
        if annotation != self.annotation and self.every:
            self.restarts = {self.asked + self.every: 0, self.asked + 2 * self.every: 1}
        self.generation += annotation != self.annotation
        self.annotation = annotation
        return 200

    def answers(self, key: str) -> int:
        """Replicas take turns."""
        self.asked += 1
        if (replica := self.restarts.pop(self.asked, None)) is not None:
            self.replicas[replica] = set(self.keys.values())
        good = key in self.replicas[self.asked % 2]
        self.refused += not good
        return 200 if good else 401


@contextmanager
def cluster(first: str) -> Iterator[Cluster]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            if self.path != DEPLOYMENT:
                self._says(found.answers(self._key()))
            elif self._key() != TOKEN:
                self._says(401)
            else:
                self._says(200, json.dumps(found.state()).encode())

        def do_PATCH(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self._key() != TOKEN:
                self._says(401)
            elif self.headers["content-type"] != "application/merge-patch+json":
                self._says(415)
            else:
                self._says(found.patched(self.path, json.loads(body)))

        def _key(self) -> str:
            return self.headers.get("authorization", "").removeprefix("Bearer ")

        def _says(self, status: int, said: bytes = b"{}") -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Cluster(f"http://127.0.0.1:{server.server_port}", first)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
