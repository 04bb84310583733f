"""P12 with a real process: one that cannot read which versions are in force refuses, ends what runs, and
comes back."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import psycopg
import pytest
import requests

from gateway.proxy.snapshot import MAX_AGE

from .hammer_house import House, running_house, wait_for
from .scripted import Script, ScriptedModel, response, scripted_model, stream
from .test_upstreams import delta
from .world import on_postgresql

pytestmark = pytest.mark.database

SLACK = 2.0
BACK_WITHIN = 8.0
ANSWER = {"id": "1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}}]}


class Model(ScriptedModel):
    """Streams for long, and answers everything else at once."""

    def script_for(self, request: bytes) -> Script:
        if b'"stream":true' in request.replace(b" ", b""):
            return stream(*[each for _ in range(400) for each in (delta("words and words "), 0.1)])
        return self.script


class Scene:
    """A house and its model."""

    def __init__(self, house: House, model: ScriptedModel) -> None:
        self.house, self.model = house, model

    def ask(self) -> tuple[int, str]:
        """Status and error code of one call."""
        answer = self.post()
        return answer.status_code, answer.json().get("error", {}).get("code", "")

    def post(self, **more: object) -> requests.Response:
        return requests.post(
            f"http://127.0.0.1:{self.house.port}{self.house.path('openai')}",
            json={"model": "m", "messages": [{"role": "user", "content": "Hello?"}], **more},
            headers={"Authorization": f"Bearer {self.house.key('alice')}"},
            timeout=20,
            stream=bool(more),
        )

    def read(self) -> tuple[bytes, bool, float]:
        """One stream: its bytes, whether its connection came to a proper end, and when."""
        got = b""
        with self.post(stream=True) as answer:
            try:
                for chunk in answer.iter_content(None):
                    got += chunk
            except requests.exceptions.ChunkedEncodingError:
                return got, False, time.monotonic()
        return got, True, time.monotonic()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with (
        scripted_model(Model) as model,
        running_house(tmp_path_factory.mktemp("stale"), model_url=model.url) as house,
    ):
        model.script = response(
            "200 OK", "application/json", json.dumps(ANSWER).encode(), "connection: close"
        )
        yield Scene(house, model)


def execute(house: House, statement: str) -> None:
    if on_postgresql():
        with psycopg.connect(house.database_url, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]
        return
    with closing(sqlite3.connect(house.root / "postern.sqlite3", timeout=20)) as connection:
        connection.execute(statement)
        connection.commit()


@contextmanager
def unreadable(house: House) -> Iterator[None]:
    """Only the configuration: the record could still be written."""
    execute(house, "ALTER TABLE gateway_revision RENAME TO gateway_revision_away")
    try:
        yield
    finally:
        execute(house, "ALTER TABLE gateway_revision_away RENAME TO gateway_revision")


@contextmanager
def hanging(house: House) -> Iterator[None]:
    """Reading neither fails nor ends."""
    with psycopg.connect(house.database_url) as connection:
        connection.execute("LOCK TABLE gateway_revision IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


@pytest.mark.parametrize("trouble", [unreadable, hanging] if on_postgresql() else [unreadable])
def test_a_process_that_cannot_read_the_configuration_refuses(
    scene: Scene, trouble: Callable[[House], object]
) -> None:
    assert wait_for(lambda: scene.ask() == (200, ""), seconds=BACK_WITHIN)
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(scene.read)
        time.sleep(1)
        assert not reading.done()
        began = time.monotonic()
        expect_refusals(scene, trouble)
        got, whole, ended_at = reading.result()
    assert b"configuration_stale" in got and b"[DONE]" not in got and not whole
    assert ended_at - began <= MAX_AGE + SLACK
    assert wait_for(lambda: scene.ask() == (200, ""), seconds=BACK_WITHIN)


def expect_refusals(scene: Scene, trouble: Callable[[House], object]) -> None:
    with trouble(scene.house):  # type: ignore[attr-defined]
        time.sleep(MAX_AGE + SLACK)
        asked = len(scene.model.requests)
        assert {scene.ask() for _ in range(5)} == {(503, "configuration_stale")}
        assert len(scene.model.requests) == asked
        assert not scene.house.is_ready()
