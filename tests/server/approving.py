"""Two gateways on one store, a model, and reviewers: what the tests of approvals drive."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import openai

from .hammer_house import House, _answers, running_house, second_gateway, wait_for
from .scripted import Script, ScriptedModel, response, scripted_model, stream
from .test_upstreams import answer, delta
from .world import ROOT

SSN, OTHER_SSN = "123-45-6789", "536-22-1874"
REVIEWERS = ("rita", "ravi")


MESSAGE = json.dumps(
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "ok"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
).encode()


class Model(ScriptedModel):
    """Answers at once, whole or as a stream; as Anthropic's service does where it is asked like that."""

    def script_for(self, request: bytes) -> Script:
        asks_to_stream = b'"stream":true' in request.replace(b" ", b"")
        if b"/v1/messages" in request.split(b"\r\n")[0]:
            if asks_to_stream:
                return stream(*told("thanks ", "a lot"))
            return response("200 OK", "application/json", MESSAGE, "connection: close")
        if asks_to_stream:
            return stream(delta("thanks "), delta("a lot"), finished())
        return response("200 OK", "application/json", answer("ok"), "connection: close")


def told(*texts: str) -> list[bytes]:
    """The events of a message, as Anthropic's service streams it."""
    begun = {**json.loads(MESSAGE), "content": [], "stop_reason": None}
    events = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
            for text in texts
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 4},
        },
        {"type": "message_stop"},
    ]
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]


def finished() -> bytes:
    end = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return f"data: {json.dumps(end | {'choices': [choice]})}\n\ndata: [DONE]\n\n".encode()


class Asking:
    """One call in a thread of its own, by the openai SDK."""

    def __init__(self, scene: Scene, text: str, *, port: int, person: str = "bob", **how: Any) -> None:
        self.text, self.error, self.began = "", None, time.monotonic()
        self.took = 0.0
        self.ended = threading.Event()
        self.client = scene.sdk(person, port, **how.pop("client", {}))
        self._messages, self._how = [{"role": "user", "content": text}], how
        threading.Thread(target=self._run, daemon=True).start()

    error: openai.APIError | httpx.HTTPError | None

    def _run(self) -> None:
        try:
            self.text = self._ask()
        except (openai.APIError, httpx.HTTPError) as error:
            self.error = error
        self.took = time.monotonic() - self.began
        self.ended.set()

    def _ask(self) -> str:
        made: Any = self.client.chat.completions.create(
            model=self._how.pop("model", "m"), messages=self._messages, **self._how
        )
        if self._how.get("stream"):
            return "".join(chunk.choices[0].delta.content or "" for chunk in made if chunk.choices)
        return str(made.choices[0].message.content)

    def result(self, seconds: float = 30) -> str:
        """The answer, or the code of the error."""
        assert self.ended.wait(seconds), "the call goes on"
        if self.error is None:
            return self.text
        return str(getattr(self.error, "code", "")) or type(self.error).__name__


class Scene:
    def __init__(self, house: House, ports: tuple[int, int], model: ScriptedModel) -> None:
        self.house, self.ports, self.model = house, ports, model
        self._desk = self._opened()
        self._lock = threading.Lock()
        for name in REVIEWERS:
            self.tell("make", name)

    def _opened(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.server.reviewer"],
            cwd=ROOT,
            env={**self.house.env, "DJANGO_SETTINGS_MODULE": "gateway.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def reopen(self) -> None:
        """The reviewers' process anew, whatever became of it."""
        self._desk.kill()
        self._desk.wait(10)
        for pipe in (self._desk.stdin, self._desk.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        self._desk = self._opened()

    def vote_and_be_killed(self, approval: Mapping[str, Any], *, after: float) -> None:
        """kill -9 so many seconds after the vote was handed in."""
        assert self._desk.stdin is not None
        self.tell("open")  # it is up and has a connection
        self._desk.stdin.write(json.dumps(["vote", approval["id"], "rita", "approve"]) + "\n")
        self._desk.stdin.flush()
        time.sleep(after)
        self.reopen()

    def tell(self, *given: Any) -> Any:
        assert self._desk.stdin is not None and self._desk.stdout is not None
        with self._lock:
            self._desk.stdin.write(json.dumps(given) + "\n")
            self._desk.stdin.flush()
            line = self._desk.stdout.readline()
        assert line, "the reviewers have left"
        said = json.loads(line)
        assert not (isinstance(said, dict) and "error" in said), said
        return said

    def close(self) -> None:
        assert self._desk.stdin is not None and self._desk.stdout is not None
        self._desk.stdin.close()
        self._desk.wait(10)
        self._desk.stdout.close()

    def sdk(self, person: str, port: int, **how: Any) -> openai.OpenAI:
        base = f"http://127.0.0.1:{port}{self.house.path('openai').removesuffix('/chat/completions')}"
        return openai.OpenAI(base_url=base, api_key=self.house.key(person), **how)

    def ask(self, text: str, *, at: int = 0, **how: Any) -> Asking:
        return Asking(self, text, port=self.ports[at], **how)

    def waiting(self, *, but: frozenset[str] = frozenset(), seconds: float = 10) -> dict[str, Any]:
        """The one approval that is open, besides those known."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = [row for row in self.tell("open") if row["id"] not in but]
            return bool(found)

        assert wait_for(there, seconds=seconds), "nothing waits"
        assert len(found) == 1, found
        return found[0]

    def vote(self, approval: Mapping[str, Any], choice: str = "approve", by: str = "rita") -> str:
        return str(self.tell("vote", approval["id"], by, choice))

    def status(self, approval: Mapping[str, Any]) -> str:
        return str(self.tell("show", approval["id"])["status"])

    def upstream(self) -> int:
        """How many requests the model has got."""
        return len(self.model.requests)

    def publish(self, **settings: Any) -> None:
        """Another version of the policy; returns when both gateways judge by it."""
        number = self.tell("publish", settings)
        for port in self.ports:
            assert wait_for(lambda port=port: self._judges_by(number, port), seconds=10)  # type: ignore[misc]

    def ready(self) -> bool:
        return all(_answers(port) for port in self.ports)

    def may_call(self, person: str) -> bool:
        """At both."""
        asked = [self.ask("hi", at=at, person=person) for at in (0, 1)]
        return all(each.result() == "ok" for each in asked)

    def _judges_by(self, number: int, port: int) -> bool:
        raw = self.sdk("bob", port).chat.completions.with_raw_response.create(
            model="m", messages=[{"role": "user", "content": "hi"}]
        )
        return raw.headers["x-postern-policy"].endswith(f"@{number}")


@contextmanager
def running_scene(root: Path, redis_url: str = "", *, database_url: str | None = None) -> Iterator[Scene]:
    with (
        scripted_model(Model) as model,
        running_house(root, model_url=model.url, redis_url=redis_url, database_url=database_url) as house,
        second_gateway(house) as second,
    ):
        scene = Scene(house, (house.port, second), model)
        try:
            yield scene
        finally:
            scene.close()
