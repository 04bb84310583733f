"""A model's service that dies: calls are refused at once, and pass again when it is back."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from .scripted import response, stream
from .test_upstreams import answer, ask, code, delta
from .world import World, running_world

DOWN = response("503 Service Unavailable", "application/json", b'{"error": {"message": "away"}}')
FINE = response("200 OK", "application/json", answer("ok"))


class Phoenix:
    """A service on one port that can be shut down and come back."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as held:
            self.port = held.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.script: Any = FINE
        self.requests = 0
        self._listener: socket.socket | None = None

    def rise(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def die(self) -> None:
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._play, args=(connection,), daemon=True).start()

    def _play(self, connection: socket.socket) -> None:
        with connection:
            data = connection.recv(65536)
            head, _, body = data.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            while len(body) < length:
                body += connection.recv(65536)
            self.requests += 1
            for step in self.script:
                if isinstance(step, bytes):
                    connection.sendall(step)
                else:
                    time.sleep(step)


@pytest.fixture(scope="module")
def model() -> Iterator[Phoenix]:
    phoenix = Phoenix()
    phoenix.rise()
    yield phoenix
    phoenix.die()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, model: Phoenix) -> Iterator[World]:
    root: Path = tmp_path_factory.mktemp("breaker")
    with running_world(root, upstream_url=model.url) as running:
        with store(running) as change:
            change("UPDATE gateway_endpoint SET breaker_failures = 3, breaker_seconds = 2")
        time.sleep(2.5)  # until the processes have read it
        yield running


@contextmanager
def store(world: World) -> Iterator[Any]:
    """Runs SQL in the world's store; returns rows."""
    if world.database_url:
        with psycopg.connect(world.database_url, autocommit=True) as connection:
            yield lambda sql: _rows(connection.execute(sql))
        return
    path = world.store_url.removeprefix("sqlite:///")
    connection = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        yield lambda sql: _rows(connection.execute(sql))
    finally:
        connection.close()


def _rows(cursor: Any) -> list[Any]:
    return list(cursor.fetchall()) if cursor.description else []


def recover(world: World, model: Phoenix) -> None:
    """Ask until it is asked again."""
    model.script = FINE
    deadline = time.monotonic() + 20
    while ask(world)[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_service_that_dies_is_left_alone_and_asked_again_when_it_is_back(
    world: World, model: Phoenix
) -> None:
    recover(world, model)
    model.die()
    assert [code(ask(world)[2]) for _ in range(3)] == ["upstream_unreachable"] * 3
    began = time.monotonic()
    status, headers, body, _ = ask(world)
    assert (status, code(body)) == (503, "upstream_unhealthy")
    assert 1 <= int(headers["retry-after"]) <= 2 and "x-should-retry" not in headers
    assert time.monotonic() - began < 1 and b"127.0.0.1" not in body
    model.rise()
    while (status := ask(world)[0]) == 503:
        assert time.monotonic() - began < 15
        time.sleep(0.1)
    assert status == 200 and [ask(world)[0] for _ in range(3)] == [200, 200, 200]


def test_a_refused_call_is_on_record_and_reached_nobody(world: World, model: Phoenix) -> None:
    recover(world, model)
    model.script = DOWN
    assert [ask(world)[0] for _ in range(3)] == [503] * 3
    reached = model.requests
    _, headers, body, _ = ask(world)
    assert code(body) == "upstream_unhealthy" and model.requests == reached
    call = headers["x-postern-call"].replace("-", "") if not world.database_url else headers["x-postern-call"]
    deadline = time.monotonic() + 10
    with store(world) as change:
        while not (rows := change(f"SELECT action, code FROM audit_call WHERE id = '{call}'")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert [tuple(row) for row in rows] == [("refused", "upstream_unhealthy")]
    recover(world, model)


def test_refusals_and_limits_of_the_service_are_no_failures(world: World, model: Phoenix) -> None:
    recover(world, model)
    for status in ("400 Bad Request", "401 Unauthorized", "404 Not Found", "429 Too Many Requests"):
        model.script = response(status, "application/json", b'{"error": {"message": "no"}}')
        for _ in range(4):
            assert ask(world)[0] in (400, 404, 429, 502)
    model.script = FINE
    assert ask(world)[0] == 200


def test_streams_that_are_cut_open_it_and_clients_that_leave_do_not(world: World, model: Phoenix) -> None:
    recover(world, model)
    model.script = stream(delta("so far, " * 40), 3.0, end=False)
    for _ in range(4):
        leave(world)
    recover(world, model)
    model.script = stream(delta("so far, " * 40), 0.05, end=False)
    for _ in range(3):
        assert ask(world, stream=True)[0] == 200
    status, _, body, _ = ask(world)
    assert (status, code(body)) == (503, "upstream_unhealthy")
    recover(world, model)


def leave(world: World) -> None:
    parts = urlsplit(world.endpoint("openai"))
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True})
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as client:
        client.sendall(
            f"POST {parts.path}/v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
            f"authorization: Bearer {world.key('alice')}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}".encode()
        )
        client.recv(10)


def test_one_that_is_switched_off_asks_always(world: World, model: Phoenix) -> None:
    recover(world, model)
    with store(world) as change:
        change("UPDATE gateway_endpoint SET breaker_failures = 0")
        time.sleep(2.5)
        model.script = DOWN
        reached = model.requests
        assert {ask(world)[0] for _ in range(8)} == {503} and model.requests == reached + 8
        change("UPDATE gateway_endpoint SET breaker_failures = 3")
        time.sleep(2.5)
    recover(world, model)
