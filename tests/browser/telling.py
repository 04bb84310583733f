"""A model that tells slowly, one that breaks off, and what the pages of the record are shown with."""

from __future__ import annotations

import json
import re
from typing import Any

import requests

from tests.server.scripted import Script, ScriptedModel, response, stream
from tests.server.test_upstreams import END, answer, delta
from tests.server.world import World

PAUSE = 0.3
STORY = (
    "Once upon ",
    "a time there ",
    "was a clerk ",
    "who wrote to ana@example.com ",
    "each and every ",
    "day.",
)
WHOLE = "Once upon a time there was a clerk who wrote to *** each and every day."
HALF = ("The first half ", "of a tale that ", "nobody will ever ", "hear the end of, ")


class Teller(ScriptedModel):
    """`tell`: slowly and to its end; `break off`: never to its end; else at once."""

    def script_for(self, request: bytes) -> Script:
        body = json.loads(request.partition(b"\r\n\r\n")[2])
        said = str(body["messages"][-1]["content"])
        if said.startswith("tell"):
            return stream(*_slowly(STORY), delta("", "stop"), END)
        if said.startswith("break off"):
            return stream(*_slowly(HALF), end=False)
        if said == "answer in broken UTF-8":
            return response("200 OK", "application/json", answer("x").replace(b"x", b"\xff\xfe<b>"))
        text = self.words(body["messages"])
        if body.get("stream"):
            return stream(*map(delta, _cut(text)), delta("", "stop"), END)
        return response("200 OK", "application/json", answer(text), "connection: close")

    def words(self, messages: list[dict[str, str]]) -> str:
        return f"ok: {messages[-1]['content']}"


def _slowly(texts: tuple[str, ...]) -> list[bytes | float]:
    return [step for text in texts for step in (delta(text), PAUSE)]


def _cut(text: str) -> list[str]:
    return re.findall(r".{1,11}", text, re.DOTALL)


def ask(site: World, *said: str, person: str = "alice", **more: Any) -> str:
    """The page of a call; what was said is by user and assistant in turn, the user last."""
    roles = ("assistant", "user") if len(said) % 2 == 0 else ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(said)]
    body = {"model": "m", "messages": messages, **more}
    headers = {"Authorization": f"Bearer {site.key(person)}", "Content-Type": "application/json"}
    found = requests.post(
        site.endpoint("openai") + "/v1/chat/completions",
        data=json.dumps(body),
        headers=headers,
        timeout=30,
        stream=True,
    )
    try:
        for _ in found.iter_content(None):
            pass
    except requests.RequestException:
        pass  # it was cut
    return f"/audit/calls/{found.headers['x-postern-call']}/"
