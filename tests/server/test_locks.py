"""P12 with two real processes: what stops a caller stops new calls and live streams within five seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import requests

from .hammer_house import House, running_house, second_gateway, wait_for
from .scripted import Script, ScriptedModel, response, scripted_model, stream
from .test_upstreams import HI, answer, delta
from .warden import CAST
from .world import ROOT, on_postgresql

pytestmark = pytest.mark.database

WITHIN = 5.0
LIFTED = 4.0
ENDS = {
    "person": "cut_locked",
    "key": "cut_locked",
    "group": "cut_locked",
    "owner": "cut_locked",
    "inactive": "cut_locked",
    "revoked": "cut_revoked",
    "outsider": "cut_no_access",
    "ruleless": "cut_no_access",
    "cut": "cut_by_hand",
    "waiting": "cut_locked",
}
REFUSED = {
    "person": (403, "caller_locked"),
    "key": (403, "caller_locked"),
    "group": (403, "caller_locked"),
    "owner": (403, "caller_locked"),
    "inactive": (403, "caller_locked"),
    "revoked": (401, "invalid_api_key"),
    "outsider": (403, "no_access"),
    "ruleless": (403, "no_access"),
    "cut": (200, ""),
    "waiting": (403, "caller_locked"),
}
EVERYBODY = {
    "endpoint": ("cut_closed", "endpoint_closed"),
    "area": ("cut_closed", "endpoint_closed"),
    "everything": ("cut_locked", "gateway_locked"),
}
READER = """
import django, json
django.setup()
from audit.models import Call
print(json.dumps([[str(row[0]), *row[1:]] for row in Call.objects.values_list("id", "code", "complete")]))
"""


class Model(ScriptedModel):
    """Streams for long, answers nothing to `wait`, and at once to everything else."""

    def script_for(self, request: bytes) -> Script:
        if b'"wait"' in request:
            return [60.0]
        if b'"stream":true' in request.replace(b" ", b""):
            return stream(*[each for _ in range(400) for each in (delta("words and words "), 0.1)])
        return response("200 OK", "application/json", answer("ok"), "connection: close")


class Reader:
    """A client that reads in a thread of its own until its call ends."""

    def __init__(self, scene: Scene, name: str, port: int, model: str = "m") -> None:
        self.name, self.call, self.code, self.status = name, "", "", 0
        self.complete = False
        self.ended_at = 0.0
        self._client, self._model = scene.sdk(name, port), model
        self.began, self.ended = threading.Event(), threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with self._client as client:
            try:
                self._read(client)
                self.complete = True
            except openai.APIStatusError as error:
                self.status, self.code = error.status_code, str(error.code)
                self.call = error.response.headers["x-postern-call"]
                assert error.response.headers["x-should-retry"] == "false"
            except openai.APIError as error:
                self.code = str(error.code)
            except httpx.HTTPError as error:
                self.code = type(error).__name__
        self.ended_at = time.time()
        self.began.set()
        self.ended.set()

    def _read(self, client: openai.OpenAI) -> None:
        if self._model == "wait":
            self.began.set()
            client.chat.completions.create(model=self._model, messages=HI)
            return
        with client.chat.completions.with_streaming_response.create(
            model=self._model, messages=HI, stream=True
        ) as raw:
            self.call = raw.headers["x-postern-call"]
            for _ in raw.parse():
                self.began.set()


class Scene:
    """Two gateways, a model that takes its time, and a warden."""

    def __init__(self, house: House, ports: tuple[int, int], model: ScriptedModel) -> None:
        self.house, self.ports, self.model = house, ports, model
        self._warden = subprocess.Popen(
            [sys.executable, "-m", "tests.server.warden"],
            cwd=ROOT,
            env={**house.env, "DJANGO_SETTINGS_MODULE": "gateway.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.keys: dict[str, str] = json.loads(self._said())

    def _said(self) -> str:
        assert self._warden.stdout is not None
        line = self._warden.stdout.readline()
        assert line, "the warden has left"
        return line

    def tell(self, *words: str) -> float:
        """When it had been done."""
        assert self._warden.stdin is not None
        self._warden.stdin.write(" ".join(words) + "\n")
        self._warden.stdin.flush()
        return float(json.loads(self._said()))

    def close(self) -> None:
        assert self._warden.stdin is not None and self._warden.stdout is not None
        self._warden.stdin.close()
        self._warden.wait(10)
        self._warden.stdout.close()

    def sdk(self, name: str, port: int) -> openai.OpenAI:
        base = f"http://127.0.0.1:{port}/proxy/chat/v1"
        return openai.OpenAI(base_url=base, api_key=self.keys[name], max_retries=2)

    def ask(self, name: str, port: int) -> tuple[int, str]:
        got = requests.post(
            f"http://127.0.0.1:{port}/proxy/chat/v1/chat/completions",
            json={"model": "m", "messages": HI},
            headers={"Authorization": f"Bearer {self.keys[name]}"},
            timeout=20,
        )
        return got.status_code, got.json().get("error", {}).get("code", "")

    def answers(self, *names: str) -> bool:
        return all(self.ask(name, port) == (200, "") for name in names for port in self.ports)

    def readers(self, *names: str) -> list[Reader]:
        """One of each at both processes, all of them under way."""
        made = [
            Reader(self, name, port, "wait" if name == "waiting" else "m")
            for name in names
            for port in self.ports
        ]
        for each in made:
            assert each.began.wait(20), each.name
        return made

    def recorded(self) -> dict[str, tuple[str, bool]]:
        rows: list[Any] = json.loads(self.house.python("-c", READER))
        return {call: (code, complete) for call, code, complete in rows}


@contextmanager
def running_scene(root: Path, redis_url: str) -> Iterator[Scene]:
    with (
        scripted_model(Model) as model,
        running_house(root, model_url=model.url, redis_url=redis_url) as house,
        second_gateway(house) as second,
    ):
        scene = Scene(house, (house.port, second), model)
        try:
            assert wait_for(lambda: scene.answers("bystander"), seconds=LIFTED)
            yield scene
        finally:
            scene.close()


def ends_in_time(readers: list[Reader], done: float, codes: dict[str, str]) -> None:
    for each in readers:
        assert each.ended.wait(max(0.0, done + WITHIN + 1 - time.time())), f"{each.name} goes on"
    assert {(each.name, each.code) for each in readers} == {(each.name, codes[each.name]) for each in readers}
    assert not any(each.complete for each in readers)
    assert max(each.ended_at - done for each in readers) <= WITHIN


REDIS = ("", os.environ.get("REDIS_URL", "")) if on_postgresql() else ("",)


@pytest.mark.parametrize("redis_url", REDIS, ids=["without Redis", "with Redis"][: len(REDIS)])
def test_what_stops_a_caller_ends_their_live_calls_too(tmp_path: Path, redis_url: str) -> None:
    with running_scene(tmp_path, redis_url) as scene:
        bystanders = scene.readers("bystander")
        readers = scene.readers(*CAST)
        cut = [each.call for each in readers if each.name == "cut"]
        done = scene.tell("cut", *cut)
        done = scene.tell("stop", *[name for name in CAST if name != "cut"])
        ends_in_time(readers, done, ENDS)
        assert {each.status for each in readers if each.name == "waiting"} == {403}
        for port in scene.ports:
            assert {name: scene.ask(name, port) for name in CAST} == REFUSED
        assert not any(each.ended.is_set() for each in bystanders)

        back = [name for name in CAST if name != "revoked"]
        scene.tell("free", *back)
        assert wait_for(lambda: scene.answers(*back), seconds=LIFTED)
        for what, (end, refusal) in EVERYBODY.items():
            done = scene.tell("stop", what)
            ends_in_time(bystanders, done, {"bystander": end})
            assert [scene.ask("bystander", port) for port in scene.ports] == [(403, refusal)] * 2
            readers += bystanders
            scene.tell("free", what)
            assert wait_for(lambda: scene.answers("bystander"), seconds=LIFTED)
            bystanders = scene.readers("bystander")

        assert scene.model.left >= len(readers)  # nobody works for a call that has ended
        told = {each.call: (each.code, False) for each in readers}
        assert wait_for(lambda: told.items() <= scene.recorded().items(), seconds=10)
        with suppress(AssertionError):
            scene.tell("stop", "everything")  # so that the last streams end with the house
