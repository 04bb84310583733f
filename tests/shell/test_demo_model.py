"""The demo model says what it heard, whole and in pieces, and shows it on this machine only."""

from __future__ import annotations

import json
from typing import Any

from gateway.console.demo_model import KEPT, DemoModel

from .asgi import Answer, ask


def chat(demo: DemoModel, text: Any, **more: Any) -> Answer:
    request = {"model": "demo", "messages": [{"role": "user", "content": text}], **more}
    return ask(demo, "POST", "/v1/chat/completions", body=json.dumps(request).encode())


def events(answer: Answer) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in answer.body.decode().split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_it_answers_with_the_last_thing_the_user_said() -> None:
    answer = json.loads(chat(DemoModel(), "tell me").body)
    assert answer["choices"][0]["message"]["content"] == "tell me"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] > 0


def test_it_reads_text_parts_too() -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "image_url"}, {"type": "text", "text": "two"}]
    assert json.loads(chat(DemoModel(), parts).body)["choices"][0]["message"]["content"] == "one two"


def test_a_stream_carries_the_same_words_in_small_pieces() -> None:
    answer = chat(DemoModel(), "streamed to you in pieces", stream=True)
    said = [e["choices"][0]["delta"].get("content", "") for e in events(answer)]
    assert "".join(said) == "streamed to you in pieces"
    assert max(map(len, said)) <= 7
    assert answer.parts > 4


def test_usage_is_streamed_only_when_asked_for() -> None:
    asked = events(chat(DemoModel(), "x", stream=True, stream_options={"include_usage": True}))
    assert asked[-1]["usage"]["total_tokens"] > 0
    assert all("usage" not in event for event in events(chat(DemoModel(), "x", stream=True)))


def test_the_leaky_model_adds_what_nobody_asked_for() -> None:
    assert b"4111 1111 1111 1111" in chat(DemoModel(), "hello", model="demo-leaky").body


def test_the_classifier_echoes_what_it_got() -> None:
    answer = ask(DemoModel(), "POST", "/classify", body=b'{"ssn":"***","n":12345678901234567890123}')
    assert answer.body.endswith(b'"received":{"ssn":"***","n":12345678901234567890123}}')


def test_it_shows_the_last_bodies_as_they_came() -> None:
    model = DemoModel()
    for number in range(KEPT + 5):
        chat(model, f"call {number}")
    received = json.loads(ask(model, "GET", "/received").body)
    assert len(received) == KEPT
    assert received[-1]["number"] == KEPT + 5
    assert '"call 104"' in received[-1]["body"]


def test_only_this_machine_may_look() -> None:
    assert ask(DemoModel(), "GET", "/received", client="192.0.2.1").status == 403


def test_what_is_not_json_is_refused_and_still_shown() -> None:
    model = DemoModel()
    assert ask(model, "POST", "/v1/chat/completions", body=b"{").status == 400
    assert json.loads(ask(model, "GET", "/received").body)[0]["body"] == "{"
